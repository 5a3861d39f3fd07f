//! Missing PDUs: fetches, pulls, and joins of a context.

pub(crate) mod asking;
mod invented;
mod joining;
mod pulls;
