//! Requests from outside: authentication, and what the log says of them.

mod doors;
mod seen;
mod slow;
