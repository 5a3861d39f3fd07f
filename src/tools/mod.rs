//! Tools beside the gateway: the demo and the simulated peers.

pub(crate) mod demo;
pub(crate) mod peer_sim;
