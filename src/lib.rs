//! gw
pub mod admin;
pub mod messenger;
pub mod store;
