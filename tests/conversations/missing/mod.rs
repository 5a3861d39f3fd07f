//! Missing PDUs: fetches, pulls, and joins of a context.

pub(crate) mod asking;
mod comparing;
mod invented;
mod joining;
mod pulls;
