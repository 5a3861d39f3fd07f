//! What is old enough to be forgotten, and what may not be: reads for a walk that nobody waits for.

use std::collections::HashSet;

use bytes::Bytes;

use super::{ArchiveError, Task};
use crate::model::{ContextId, Millis, PduRef};

/// What keeps old PDUs from being forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pinned {
    /// Nothing that was delivered at this time or later may go: it was asked for, or is where the feed begins.
    pub before: Millis,
    /// Nothing of our own that was delivered at this time or later may go: a queue holds more than was looked at.
    pub ours_before: Millis,
    /// None of these may go: a queue or a dead letter names them.
    pub named: HashSet<PduRef>,
}

/// How far a walk through all conversations is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalkedTo {
    /// In this conversation.
    pub context: ContextId,
    /// How far through it.
    pub walked: Walked,
}

/// How far a walk through one conversation is: it goes through the timeline in the order of delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Walked {
    /// First through the news, upwards from 1: behind this place.
    News(i64),
    /// Then through what came as history, downwards from 0: behind this place.
    History(i64),
    /// Through all of it.
    All,
}

/// A delivered PDU that is older than was asked, and no open end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldPdu {
    /// Its conversation.
    pub context: ContextId,
    /// Its place in the timeline.
    pub position: i64,
    /// Which one.
    pub reference: PduRef,
    /// When it was delivered.
    pub delivered: Millis,
    /// The whole PDU as one JSON object.
    pub bytes: Bytes,
}

/// A page of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldPage {
    /// Some; there may be more behind a page that has none.
    pub pdus: Vec<OldPdu>,
    /// Where to go on; `None` at the end.
    pub next: Option<WalkedTo>,
}

/// Reads of committed rows for whoever forgets.
pub trait Past: Send + Sync + 'static {
    /// What keeps PDUs delivered before this from going. What it tells holds for as long as it is used: what is queued or fed
    /// later names PDUs that are delivered later, or that count as delivered anew.
    fn pinned(&self, before: Millis) -> Task<Result<Pinned, ArchiveError>>;

    /// Delivered PDUs older than `before` that are no open ends, conversation by conversation: at most `limit`, and no more once
    /// they have `bytes`.
    fn old(
        &self,
        before: Millis,
        after: Option<WalkedTo>,
        limit: u32,
        bytes: u64,
    ) -> Task<Result<OldPage, ArchiveError>>;
}
