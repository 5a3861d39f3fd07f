//! What the tests of the gateway start from. A test of a new feature names what is special to it and takes the rest from here:
//!
//! - [`node::Node`]: a whole gateway that can be ended and started again, with the messenger behind it ([`messenger`]);
//! - [`network::Network`]: the wire between such gateways, with delays and losses drawn from a seed;
//! - [`surroundings::TestConfig`]: the peers of a gateway, their limits and the addresses they call from;
//! - [`disk::Disk`]: a disk in memory that fails or loses power when told;
//! - [`read_hooks::ReadHooks`]: store readers of which a test overrides single reads;
//! - [`api_shapes`]: the answers of the APIs, held against their types.
//!
//! [`actors::testkit`] has what the tests of the core need too: the clock, the scripted transport and the free space.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests themselves do")]

pub mod api_shapes;
pub mod disk;
pub mod messenger;
pub mod network;
pub mod node;
pub mod read_hooks;
pub mod surroundings;
pub mod toy_dialect;
