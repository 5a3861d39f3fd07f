//! gw
pub mod admin;
pub mod messenger;
