//! The way of the messenger's calls to peers.

use std::sync::Arc;

use crate::egress::EgressClient;
use crate::json::nesting::BodyNestingLimit;
use crate::rpc::CallRegister;

/// The parts that a call to a peer needs.
#[derive(Clone)]
pub(super) struct PeerLine {
    pub(super) egress: Arc<EgressClient>,
    pub(super) calls: Arc<CallRegister>,
    /// Limit of the nesting of answers.
    pub(super) nesting: BodyNestingLimit,
}
