//! The operator's API over a real store, without a wire: what waits, what was put aside, and what can be done about it.

mod contexts;
mod fixture;
mod metrics;
mod orders;
mod parked;
mod peers;
mod queue;
mod release;

mod store;
