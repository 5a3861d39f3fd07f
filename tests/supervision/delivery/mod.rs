//! Delivery: timers, retries, holes, rejected items, and the disk before each answer.

mod clocks;
mod dead;
mod holes;
mod parking;
mod sweep;
mod talk;
mod tickets;
