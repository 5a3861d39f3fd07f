//! Eviction, restart, restore and retention of contexts.

mod forgetting;
mod idle;
mod restart;
mod restored;
