//! Reads for the retention job: PDUs that are old enough to be pruned, and those that must not be.

use std::collections::HashSet;

use bytes::Bytes;

use super::{ArchiveError, Task};
use crate::model::{ContextId, Millis, PduRef};

/// The references that keep old PDUs from being pruned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetentionPins {
    /// PDUs delivered at this time or later must not be pruned: it is the requested time, or the start of the feed.
    pub before: Millis,
    /// PDUs of our own delivered at this time or later must not be pruned: a queue holds more rows than were examined.
    pub ours_before: Millis,
    /// PDUs that a queue or a dead letter names; they must not be pruned.
    pub named: HashSet<PduRef>,
}

/// The position of a walk through all contexts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetentionCursor {
    /// Context that the walk is in.
    pub context: ContextId,
    /// Position within the context.
    pub walked: RetentionStep,
}

/// The position of a walk through the timeline of one context, in the order of delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetentionStep {
    /// In the news, which is walked first, upwards from 1: after this position.
    News(i64),
    /// In the history, which is walked second, downwards from 0: after this position.
    History(i64),
    /// At the end of the timeline.
    All,
}

/// A delivered PDU that is older than the given time and is not a head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldPdu {
    /// Context of the PDU.
    pub context: ContextId,
    /// Position in the timeline.
    pub position: i64,
    /// Identity of the PDU.
    pub reference: PduRef,
    /// Time at which it was delivered.
    pub delivered: Millis,
    /// The whole PDU as one JSON object.
    pub bytes: Bytes,
}

/// A page of old PDUs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldPage {
    /// PDUs of this page; more may follow an empty page.
    pub pdus: Vec<OldPdu>,
    /// Position to continue from; `None` at the end.
    pub next: Option<RetentionCursor>,
}

/// Reads of committed rows for the retention job.
pub trait RetentionScan: Send + Sync + 'static {
    /// Returns what keeps PDUs delivered before this time from being pruned. The result stays valid while it is used,
    /// because items queued or fed later name PDUs that are delivered later or count as delivered anew.
    fn pinned(&self, before: Millis) -> Task<Result<RetentionPins, ArchiveError>>;

    /// Returns delivered PDUs older than `before` that are not heads, context by context: at most `limit`, and no more
    /// once they exceed `bytes`.
    fn old(
        &self,
        before: Millis,
        after: Option<RetentionCursor>,
        limit: u32,
        bytes: u64,
    ) -> Task<Result<OldPage, ArchiveError>>;
}
