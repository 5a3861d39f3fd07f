//! What operators and their machines ask of a running gateway.

pub mod health;
