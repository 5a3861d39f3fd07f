//! The manual in `docs/`: every key, verb, event and code stands in it, its links lead somewhere, and its examples can be read.
//!
//! Each complaint names the item and the file in which it is missing. Metrics and codes of the source are compared by `tests/tidy`; the
//! examples that are marked `sh run` are run by `tests/process/manual`.

mod codes;
mod configuration;
mod examples;
mod links;
mod messenger;
mod pages;
mod verbs;
