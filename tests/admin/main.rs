//! The operator's API over a real store, with scripted peers: pending items, quarantine, and the operator's commands.

mod contexts;
mod dashboard;
mod fixture;
mod manual;
mod metrics;
mod orders;
mod parked;
mod peers;
mod queue;
mod release;
mod roles;

mod store;
