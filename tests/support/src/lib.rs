//! Fixtures that the tests of the gateway start from. A test of a new feature names what is special to it and takes the rest from here:
//!
//! - [`gateway::GatewayFixture`]: a gateway core on the real store in memory, without a wire;
//! - [`node::TestNode`]: a whole gateway that can be ended and started again, with the messenger behind it ([`messenger`]);
//! - [`clients::messenger_client::MessengerClient`]: the messenger of a gateway with real listeners;
//! - [`receivers::push_receiver::PushReceiver`]: a messenger that events are pushed to;
//! - [`clients::http_caller::HttpCaller`]: calls of its other listeners;
//! - [`network::TestNetwork`]: the wire between gateways, with delays and losses drawn from a seed;
//! - [`actors::testkit::TestPeers`]: the peers of a gateway and their limits, [`peers`]: the usual ones and their addresses;
//! - [`actors::testkit::ScriptedTransport`]: peers that answer, delay or panic as told;
//! - [`actors::testkit::TestClock`]: wall time that moves with tokio's, stands, or breaks; [`time`]: how it passes;
//! - [`keys`]: the signing keys of the servers, and who takes PDUs of others on which proof;
//! - [`disk::FaultyDisk`]: a disk in memory that fails or loses power when told;
//! - [`name_server::TestNameServer`]: a name server on loopback, with the answers that a test sets;
//! - [`read_hooks::ReadHooks`]: store readers of which a test overrides single reads;
//! - [`api_shapes`]: the answers of the APIs, held against their types.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests themselves do")]

pub mod api_shapes;
pub mod clients;
pub mod disk;
pub mod gateway;
pub mod keys;
pub mod listener;
pub mod messenger;
pub mod name_server;
pub mod network;
pub mod network_transport;
pub mod node;
pub mod peers;
pub mod read_hooks;
pub mod receivers;
pub mod time;
pub mod toy_dialect;
