//! The gateway: adapters around the core, and their composition.
//!
//! # Map
//! - [`http`]: serving, and what every listener shares: refusals as JSON, limits, who is calling. Knows no route.
//! - [`egress`]: the one gate outward.
//! - [`wire`]: the dialects peers speak.
//!
//! # Arrows
//! `actors <- http, egress <- wire`.

pub mod egress;
pub mod http;
pub mod wire;
