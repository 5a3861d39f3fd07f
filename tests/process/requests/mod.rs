//! Requests from outside: authentication, and what the log says of them.

mod counted;
mod doors;
mod handshakes;
mod seen;
pub(crate) mod silent;
mod slow;
