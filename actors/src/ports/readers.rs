//! Reads of committed rows, one interface for each family of rows.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;

use crate::model::{
    Attempt, ContextId, ContextRecord, ContextSnapshot, CurrentState, DeadLetter, DigestKey, FeedEntry, FeedPdu, Index,
    Millis, OutboxRow, PduRef, PduStatus, PeerSnapshot, Position, QuarantinedPduRow, ReleasedEvent, SentPage,
    ServedPdu, ServerName, StagedPdu, StateEntry, StateKey, SubmissionId, SubmissionRecord,
};
use crate::ports::Task;

/// Error: the store could not be read. The caller gives up its operation; the message is for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the store cannot be read: {0}")]
pub struct ArchiveError(pub String);

/// A page of the feed, or the reason why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeedPage {
    /// Entries after the requested position, in order; empty at the end of the feed. Positions rise by one, except where a
    /// restored store skipped some.
    Entries(Vec<FeedEntry>),
    /// The events after the position were deleted; this is the oldest that remains.
    Gone {
        /// Oldest position that is kept.
        oldest: Position,
    },
}

/// A page of the current state of a context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatePage {
    /// State PDUs of this page.
    pub state: Vec<CurrentState>,
    /// True if more follow.
    pub more: bool,
}

/// A delivered PDU, as far as a comparison of histories needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimelineMark {
    /// Position in the timeline of the context.
    pub position: i64,
    /// Identity of the PDU.
    pub reference: PduRef,
    /// Time that the PDU's origin states, in whole milliseconds below 2^53; `None`: it states another value.
    pub stated: Option<Millis>,
    /// Time of the delivery here.
    pub since: Millis,
    /// True if the server that asks may have the PDU: it is not narrowed to others.
    pub is_shared: bool,
}

/// A page of submission ids for the retention job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubmissionsPage {
    /// Ids of submissions older than the given time.
    pub old: Vec<SubmissionId>,
    /// Id after which the next page begins; `None` at the end.
    pub next: Option<SubmissionId>,
}

/// The newest and the acknowledged position of the feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FeedBounds {
    /// The newest position; 0 before the first event.
    pub tail: Position,
    /// Newest position that the messenger acknowledged.
    pub acked: Position,
    /// Number of positions between the two that were never assigned, because a restored store skips some.
    pub skipped: u64,
}

impl FeedBounds {
    /// Returns the number of events that are not acknowledged.
    pub const fn unread(self) -> u64 {
        self.tail.since(self.acked).saturating_sub(self.skipped)
    }
}

/// The readers of committed rows. Every read is bounded in items and bytes.
///
/// There is one reader for each family of rows, so that an engine, or a test, can replace one of them. No read blocks its
/// caller: an engine that waits for another process waits in the returned future. An engine that has the row in memory
/// returns a ready future, and the actor continues in the same turn.
#[derive(Clone)]
pub struct StoreReaders {
    /// Reader of the rows of peers.
    pub peers: Arc<dyn PeerReader>,
    /// Reader of the rows of contexts.
    pub contexts: Arc<dyn ContextReader>,
    /// Reader of submissions.
    pub submissions: Arc<dyn SubmissionReader>,
    /// Reader of the messenger's feed.
    pub feed: Arc<dyn FeedReader>,
}

impl StoreReaders {
    /// Returns the readers of a store that reads all families itself.
    pub fn of<S: PeerReader + ContextReader + SubmissionReader + FeedReader>(store: &Arc<S>) -> Self {
        Self { peers: store.clone(), contexts: store.clone(), submissions: store.clone(), feed: store.clone() }
    }
}

/// Reads of the rows of a peer: its record, outbox, dead letters, attempts and quarantine.
pub trait PeerReader: Send + Sync + 'static {
    /// Loads the snapshot of a peer's actor. Await a [`Journal::barrier`](crate::ports::Journal::barrier) first.
    fn peer(&self, server: &ServerName) -> Task<Result<PeerSnapshot, ArchiveError>>;

    /// Returns for each forward, by its origin and id, whether it was taken or passed on before.
    fn are_known_forwards(&self, forwards: Vec<(ServerName, Box<str>)>) -> Task<Result<Vec<bool>, ArchiveError>> {
        Box::pin(async move { Ok(vec![false; forwards.len()]) })
    }

    /// Returns outbox rows of a peer from `from` on, in order: at most `items`, and no more once they exceed `bytes`
    /// (at least one row is returned). Indexes without a row are skipped.
    fn outbox_from(
        &self,
        server: &ServerName,
        from: Index,
        items: u32,
        bytes: u64,
    ) -> Task<Result<Vec<OutboxRow>, ArchiveError>>;

    /// Returns the dead letters of a peer, in order: of the items that were first queued from `first` to `last`, those
    /// that are still kept, each with its reason.
    fn dead_letters(
        &self,
        server: &ServerName,
        first: Index,
        last: Index,
    ) -> Task<Result<Vec<DeadLetter>, ArchiveError>>;

    /// Returns the delivery attempts at a peer that carried any of the items from `first` to `last`, oldest first: the
    /// failed ones that are still kept, and the successful ones. Await a
    /// [`Journal::barrier`](crate::ports::Journal::barrier) first.
    fn attempts(&self, server: &ServerName, first: Index, last: Index) -> Task<Result<Vec<Attempt>, ArchiveError>>;

    /// Returns the first server after `after` whose oldest row of deliveries is older than `before`, and the index that
    /// distinguishes this row from the next. For the maintenance jobs.
    fn old_deliveries(
        &self,
        before: Millis,
        after: Option<ServerName>,
    ) -> Task<Result<Option<(ServerName, Index)>, ArchiveError>>;

    /// Returns the PDUs of the transactions sent to a peer after the one with this id, in whole transactions: at most
    /// `items` and `bytes`, but at least one transaction. `open` is the transaction in flight, which counts as sent.
    /// Await a [`Journal::barrier`](crate::ports::Journal::barrier) first.
    fn sent_after(
        &self,
        server: &ServerName,
        after: u64,
        open: Option<(u64, Index, Index)>,
        items: u32,
        bytes: u64,
    ) -> Task<Result<SentPage, ArchiveError>>;

    /// Returns the peers to start with the process: those with unacknowledged items, and in a restored store those of them
    /// and of `listed` from which transactions must still be pulled.
    fn peers_with_backlog(&self, listed: Vec<ServerName>) -> Task<Result<Vec<ServerName>, ArchiveError>>;

    /// Returns whether quarantine holds a non-participant's PDU as this server sent it; sees uncommitted writes.
    fn is_quarantined(
        &self,
        context: &ContextId,
        reference: &PduRef,
        from: &ServerName,
    ) -> Task<Result<bool, ArchiveError>>;

    /// Returns the PDUs of a context that were quarantined because a server did not participate, and whose origin and
    /// sender are among `participants`: the first `limit` after this position in the order of arrival. Each copy of a PDU
    /// is returned separately.
    fn quarantined_pdus_of(
        &self,
        context: &ContextId,
        participants: Vec<ServerName>,
        after: (u64, u64),
        limit: u32,
    ) -> Task<Result<Vec<QuarantinedPduRow>, ArchiveError>>;
}

/// Reads of the rows of a context: its record, its PDUs, its state, its stage, and the claims on PDUs without a row.
pub trait ContextReader: Send + Sync + 'static {
    /// Loads the snapshot of a context. The context's own actor awaits a [`Journal::barrier`](crate::ports::Journal::barrier) first.
    fn context(&self, context: &ContextId) -> Task<Result<Option<ContextSnapshot>, ArchiveError>>;

    /// Returns the contexts to start with the process: those with held PDUs, missing `prev_state` links, staged PDUs, or
    /// other unfinished work ([`Change::ContextWork`](crate::change::Change::ContextWork)).
    fn contexts_with_held_pdus(&self) -> Task<Result<Vec<ContextId>, ArchiveError>>;

    /// Returns the status of PDUs, read-your-writes, in one read transaction. The same call claims for `context` those of
    /// `arriving` that are unknown, until a commit stores them or [`release`](Self::release) drops the claim.
    fn look_up(
        &self,
        context: &ContextId,
        arriving: Vec<PduRef>,
        parents: Vec<PduRef>,
    ) -> Task<Result<HashMap<PduRef, PduStatus>, ArchiveError>>;

    /// Drops the claims on refused PDUs. Claims are in memory, so this does not wait.
    fn release(&self, context: &ContextId, references: &[PduRef]);

    /// Drops all claims of a context that were never submitted, because its actor restarts behind a barrier. This does not
    /// wait.
    fn release_all(&self, context: &ContextId);

    /// Returns a committed PDU.
    fn pdu(&self, reference: &PduRef) -> Task<Result<Option<ServedPdu>, ArchiveError>>;

    /// Returns delivered PDUs of a context that may be sent to this server: the known ones of `from`, then their ancestors,
    /// level by level, within a level in the order in which they are named, each once; at most `limit`, and no more once
    /// they exceed `bytes` (at least one is returned).
    fn backfill(
        &self,
        context: &ContextId,
        asker: &ServerName,
        from: Vec<PduRef>,
        limit: u32,
        bytes: u64,
    ) -> Task<Result<Vec<ServedPdu>, ArchiveError>>;

    /// Returns delivered PDUs of a context, newest first: those before this timeline position, or the newest of all; at
    /// most `limit`, and no more once they exceed `bytes` (at least one is returned). Each comes with the parents that
    /// are not here.
    fn timeline(
        &self,
        context: &ContextId,
        before: Option<i64>,
        limit: u32,
        bytes: u64,
    ) -> Task<Result<Vec<(i64, FeedPdu)>, ArchiveError>>;

    /// Returns delivered PDUs of a context without their texts, in descending order of their positions: those below this one, or all;
    /// at most `limit`. Each says whether `asker` may have it.
    fn timeline_marks(
        &self,
        context: &ContextId,
        asker: &ServerName,
        below: Option<i64>,
        limit: u32,
    ) -> Task<Result<Vec<TimelineMark>, ArchiveError>>;

    /// Returns the identities of the PDUs at these positions of a context's timeline; positions without a PDU are left out.
    fn timeline_refs(&self, context: &ContextId, positions: Vec<i64>) -> Task<Result<Vec<PduRef>, ArchiveError>>;

    /// Returns the time of the first delivery of news in a context whose history has an edge, because this server joined later: one
    /// that never comes, if there is no news. `None`: its history has no edge.
    fn news_begin(&self, context: &ContextId) -> Task<Result<Option<Millis>, ArchiveError>>;

    /// Returns the committed record of a context.
    fn context_record(&self, context: &ContextId) -> Task<Result<Option<ContextRecord>, ArchiveError>>;

    /// Returns whether a context has a committed record.
    fn has_context(&self, context: &ContextId) -> Task<Result<bool, ArchiveError>> {
        let record = self.context_record(context);
        Box::pin(async move { Ok(record.await?.is_some()) })
    }

    /// Returns the current state PDU of a key, read-your-writes.
    fn state_holder(&self, context: &ContextId, key: &StateKey) -> Task<Result<Option<StateEntry>, ArchiveError>>;

    /// Returns all delivered state PDUs of a key, read-your-writes. The range is as long as the history
    /// of the key, so it is for forks and late links only; a plain replacement does not need it.
    fn state_set(&self, context: &ContextId, key: &StateKey) -> Task<Result<Vec<StateEntry>, ArchiveError>>;

    /// Returns the committed current state, ordered by type and key, after `after`: at most `limit`, and no more once
    /// the PDUs exceed `bytes` (at least one is returned).
    fn current_state(
        &self,
        context: &ContextId,
        after: Option<StateKey>,
        limit: u32,
        bytes: u64,
    ) -> Task<Result<StatePage, ArchiveError>>;

    /// Returns the number of PDUs of this server that are staged for a context, and which of `references` are. Reads committed rows.
    fn stage(
        &self,
        context: &ContextId,
        from: &ServerName,
        references: Vec<PduRef>,
    ) -> Task<Result<(u64, Vec<PduRef>), ArchiveError>>;

    /// Returns staged PDUs of a context, in the order in which each server sent them: at most `limit`, and no more once
    /// they exceed `bytes` (at least one is returned). Servers after `after` in the order of names come first, then the
    /// others: a caller that passes the server of the last page's last PDU gives every server its turn. Await a
    /// [`Journal::barrier`](crate::ports::Journal::barrier) first, so that processed PDUs are gone.
    fn staged(
        &self,
        context: &ContextId,
        after: Option<&ServerName>,
        limit: u32,
        bytes: u64,
    ) -> Task<Result<Vec<StagedPdu>, ArchiveError>>;
}

/// Reads of what the messenger submitted.
pub trait SubmissionReader: Send + Sync + 'static {
    /// Returns the key of the digests of this store. It must not block.
    fn digest_key(&self) -> DigestKey;

    /// Returns a submission by its id.
    fn submission(&self, id: &SubmissionId) -> Task<Result<Option<SubmissionRecord>, ArchiveError>>;

    /// Returns the updates of a submission, in order; `None` if they are no longer kept.
    fn submitted_updates(&self, id: &SubmissionId) -> Task<Result<Option<Vec<Bytes>>, ArchiveError>>;

    /// Returns up to 1,000 submissions older than `before`, in id order, with ids after `after`, and the id to continue
    /// from (`None` at the end). For the retention job.
    fn submissions_before(
        &self,
        before: Millis,
        after: Option<SubmissionId>,
    ) -> Task<Result<SubmissionsPage, ArchiveError>>;
}

/// Reads of the messenger's feed.
pub trait FeedReader: Send + Sync + 'static {
    /// Returns feed entries after `after`: at most `limit`, and no more once they exceed `bytes`.
    fn feed_after(&self, after: Position, limit: u32, bytes: u64) -> Task<Result<FeedPage, ArchiveError>>;

    /// Returns the oldest released events, in the order of releases: at most `limit`, and no more once they exceed `bytes`
    /// (at least one is returned).
    fn released_events(&self, limit: u32, bytes: u64) -> Task<Result<Vec<ReleasedEvent>, ArchiveError>>;

    /// Returns the events after `after` up to `upto` that the messenger has refused, each with the reason.
    fn refused_between(&self, after: Position, upto: Position) -> Task<Result<Vec<(Position, String)>, ArchiveError>>;

    /// Returns the highest transaction id that is reserved for pushes to the messenger; 0 before the first.
    fn push_ids_reserved(&self) -> Task<Result<u64, ArchiveError>>;

    /// Returns a watch on the feed's bounds; it changes with each commit that appends or acknowledges events.
    fn feed_bounds(&self) -> watch::Receiver<FeedBounds>;
}
