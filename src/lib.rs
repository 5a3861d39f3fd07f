//! gw

pub mod settings;
