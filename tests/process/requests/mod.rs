//! Requests from outside: authentication, malformed input, and what the log says of them.

mod doors;
mod malformed;
mod seen;
