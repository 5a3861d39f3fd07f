//! The names of the demo's servers and contexts.

/// Names of the gateways, in the order of all output.
pub(super) const NAMES: [&str; 3] = ["red", "blue", "green"];

/// Contexts of all three servers.
pub(super) const CONTEXTS: [&str; 2] = ["#garden", "#harbour"];
