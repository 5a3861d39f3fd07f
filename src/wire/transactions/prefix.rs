//! The common prefix of the paths of the transactions dialect.

/// Common prefix of all paths.
pub const PREFIX: &str = "/matrix/federation/v1";
