//! Requests from outside: authentication, and what the log says of them.

mod counted;
mod doors;
mod seen;
mod silent;
mod slow;
