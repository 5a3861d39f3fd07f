//! Servers of the tests that a gateway calls.

pub mod push_receiver;
