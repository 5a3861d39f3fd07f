//! gw

pub mod store;
