//! Runs of forwards: updates of one origin with consecutive numbers, as a push of that origin.

use crate::model::{InboundPush, PeerReceipts, Seq, ServerName, StrongBody, StrongUpdate};

/// Word for the proof of an update that came as a forward, in the events of the feed.
pub const VERIFIED_BY_FORWARD: &str = "forward-signature";

/// Forwards of one origin for us, with consecutive numbers.
#[derive(Debug, Clone)]
pub struct ForwardRun {
    /// Their origin.
    pub origin: ServerName,
    /// Place of their batch and position of the first in it, which the answer names.
    pub place: RunPlace,
    /// Their updates, as a push of their origin.
    pub push: InboundPush,
}

/// The place of a run of forwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunPlace {
    /// Number of the batch among those of the actor whose forwards are under way.
    pub batch: u64,
    /// Position of the first forward in the batch.
    pub first: usize,
}

/// Returns updates with consecutive numbers, the first of them `first`, as a push of their origin.
pub(crate) fn forwarded_push(first: Seq, strong: Vec<StrongUpdate>) -> InboundPush {
    debug_assert!(strong.iter().all(|update| !matches!(update.body, StrongBody::Forward(_))), "a forward in a forward");
    InboundPush {
        receipts: PeerReceipts::NONE,
        from_seq: Some(first),
        seq: Seq(first.0 + strong.len() as u64 - 1),
        strong,
        weak: 0,
        ephemeral: vec![],
        verified: VERIFIED_BY_FORWARD,
        nonce: None,
    }
}
