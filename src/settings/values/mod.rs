//! Values of configuration keys: durations, sizes, addresses, ranges, patterns and secrets.

pub(crate) mod listen;
pub(crate) mod operator_token;
pub(crate) mod pattern;
pub(crate) mod profile;
pub(crate) mod push_target;
pub(crate) mod range;
pub(crate) mod secret;
pub(crate) mod units;
pub(crate) mod webhook_secret;
pub(crate) mod written_limit;
