//! The interfaces that the core needs. Adapters implement them; the core never sees redb, HTTP or the system clock.

mod inspect;
mod retention;

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{oneshot, watch};

use crate::change::Change;
use crate::limits::{ContextLimits, OverloadLimits, PEERS_RESIDENT_MAX, PeerLimits};
use crate::model::{
    Attempt, BadPdu, ContextId, ContextRecord, FeedEntry, FeedPdu, FetchRequest, Index, Millis, OutboundBatch, Pdu,
    PduRef, Position, PullResponse, PushFailure, PushResponse, RequestDeadlines, ServerName, StateEntry, StateKey,
    SubmissionId, SubmissionRecord,
};

pub use crate::change::CommitPriority;
pub use crate::model::{
    ContextSnapshot, CurrentState, DeadLetter, MembershipSource, OutboxRow, PduStatus, PduText, PeerSnapshot,
    QuarantinedPduRow, SentPage, ServedPdu, StagedPdu,
};
pub use crate::ports::retention::{OldPage, OldPdu, RetentionCursor, RetentionPins, RetentionScan, RetentionStep};
pub use inspect::{
    ContextSummary, Direction, InspectPage, ParkedFilter, ParkedRow, QuarantineItemKind, QuarantineKey,
    QuarantineReason, QueuedItem, StoreInspector,
};

/// A future that may cross threads.
pub type Task<T> = Pin<Box<dyn Future<Output = T> + Send + 'static>>;

/// Wall time. It is for display and timers only, never for ordering.
pub trait Clock: Send + Sync + 'static {
    /// Returns the current time.
    fn now(&self) -> Millis;
}

/// Proof that its holder owns an actor's rows; the store refuses a batch whose fence is no longer current.
///
/// Opaque to actors. Today there is one slot, and its epoch is raised at every open of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fence {
    /// Part of the key space that the fence covers.
    pub slot: u32,
    /// Term of ownership that the fence belongs to.
    pub epoch: u64,
}

/// Decides which actors this process may run. It is asked before an actor starts; no other code may assume that this
/// process is alone.
pub trait Ownership: Send + Sync + 'static {
    /// Returns the fence under which this process owns the peer's rows; `None`: another process owns them.
    fn claim(&self, peer: &ServerName) -> Option<Fence>;

    /// Returns the fence under which this process owns the context's rows; `None`: another process owns them.
    fn claim_context(&self, context: &ContextId) -> Option<Fence>;

    /// Returns the fence for rows that belong to no peer: the messenger's feed, its cursor and the submissions.
    fn claim_feed(&self) -> Option<Fence>;
}

/// Error: the journal could not commit. The process is about to exit, and submitted batches may or may not be on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the journal has stopped; the outcome is unknown")]
pub struct JournalStopped;

/// Completes when everything submitted so far, this batch included, is on disk.
#[derive(Debug)]
pub struct CommitTicket(oneshot::Receiver<()>);

impl CommitTicket {
    /// Returns a ticket and the sender that completes it; dropping the sender yields an error instead.
    pub fn pair() -> (oneshot::Sender<()>, Self) {
        let (done, waits) = oneshot::channel();
        (done, Self(waits))
    }

    /// Waits until the batch is committed.
    pub async fn committed(self) -> Result<(), JournalStopped> {
        self.0.await.map_err(|_| JournalStopped)
    }
}

/// The length of the journal's queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueueDepth {
    /// Number of rows that were submitted and are not committed.
    pub rows: u64,
    /// Number of rows from which new requests are told to wait.
    pub rows_max: u64,
}

impl QueueDepth {
    /// Returns whether new requests must be told to wait.
    pub const fn is_high(self) -> bool {
        self.rows >= self.rows_max
    }
}

/// The one way to the disk. Its four laws:
///
/// 1. Handing over is a synchronous act, done where the decision is made: the queue is in the order of decisions.
/// 2. No answer without a ticket: also one that changes nothing rests on what was handed over before it.
/// 3. No load without a [`barrier`](Self::barrier): else an actor that restarts reads a state that its own batches have
///    not reached yet.
/// 4. References are read-your-writes: what is handed over and not yet committed is seen by look-ups.
///
/// It is first in, first out, and durability is prefix-closed: what was handed over earlier is on disk whenever what
/// was handed over later is.
pub trait Journal: Send + Sync + 'static {
    /// Submits a batch. It is committed whole, after everything that was submitted before it.
    fn submit(&self, fence: Fence, changes: Vec<Change>, urgency: CommitPriority) -> CommitTicket;

    /// Returns a ticket for everything submitted so far.
    fn barrier(&self) -> CommitTicket;

    /// Returns the length of the queue.
    fn pressure(&self) -> QueueDepth;
}

/// Error: the store could not be read. The caller gives up its operation; the message is for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the store cannot be read: {0}")]
pub struct ArchiveError(pub String);

/// A page of the feed, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeedPage {
    /// Entries after the position asked for, in order; empty at the end of the feed. Positions rise by one, but where a restored
    /// store skipped some.
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
    /// The newest position the messenger acknowledged.
    pub acked: Position,
    /// Positions between the two that no event ever had: a restored store skips some.
    pub skipped: u64,
}

impl FeedBounds {
    /// Returns the number of events that are not acknowledged.
    pub const fn unread(self) -> u64 {
        self.tail.since(self.acked).saturating_sub(self.skipped)
    }
}

/// Reads of committed rows. Every read is bounded in items and bytes.
pub trait StoreReader: Send + Sync + 'static {
    /// Loads the snapshot of a peer's actor. Await a [`Journal::barrier`] first.
    fn peer(&self, server: &ServerName) -> Task<Result<PeerSnapshot, ArchiveError>>;

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

    /// Attempts to deliver any of the items from `first` to `last` to a peer, oldest first: the failed ones that are still kept, and
    /// those that worked. Await a [`Journal::barrier`] first.
    fn attempts(&self, server: &ServerName, first: Index, last: Index) -> Task<Result<Vec<Attempt>, ArchiveError>>;

    /// The first server after `after` whose oldest row of deliveries is older than `before`, and the index that tells this row
    /// from the next. For housekeeping.
    fn old_deliveries(
        &self,
        before: Millis,
        after: Option<ServerName>,
    ) -> Task<Result<Option<(ServerName, Index)>, ArchiveError>>;

    /// Returns the PDUs of the transactions sent to a peer after the one with this id, in whole transactions: at most
    /// `items` and `bytes`, but at least one transaction. `open` is the transaction in flight, which counts as sent.
    /// Await a [`Journal::barrier`] first.
    fn sent_after(
        &self,
        server: &ServerName,
        after: u64,
        open: Option<(u64, Index, Index)>,
        items: u32,
        bytes: u64,
    ) -> Task<Result<SentPage, ArchiveError>>;

    /// Peers with unacknowledged items, and in a store that was restored those of them and of `listed` that are still to be
    /// asked what they sent to the lost disk: those to start when the process starts.
    fn peers_with_backlog(&self, listed: Vec<ServerName>) -> Task<Result<Vec<ServerName>, ArchiveError>>;

    /// Loads the snapshot of a context. The context's own actor awaits a [`Journal::barrier`] first.
    fn context(&self, context: &ContextId) -> Task<Result<Option<ContextSnapshot>, ArchiveError>>;

    /// Conversations with PDUs waiting for parents, with state whose link is looked for, with staged PDUs, or with
    /// other unfinished work ([`Change::ContextWork`]): those to start when the process starts.
    fn contexts_with_held_pdus(&self) -> Task<Result<Vec<ContextId>, ArchiveError>>;

    /// Returns the status of PDUs synchronously, read-your-writes, in one read transaction. The same call claims for
    /// `context` those of `arriving` that are unknown, until a commit stores them or [`release`](Self::release) drops
    /// the claim.
    fn look_up(
        &self,
        context: &ContextId,
        arriving: &[PduRef],
        parents: &[PduRef],
    ) -> Result<HashMap<PduRef, PduStatus>, ArchiveError>;

    /// Drops the claims on PDUs that were refused.
    fn release(&self, context: &ContextId, references: &[PduRef]);

    /// Drops all claims of a context that were never submitted: its actor restarts, behind a barrier.
    fn release_all(&self, context: &ContextId);

    /// Returns a committed PDU synchronously.
    fn pdu(&self, reference: &PduRef) -> Result<Option<ServedPdu>, ArchiveError>;

    /// Delivered PDUs of a conversation that may be given to this server: those of `from` that are there, then their ancestors, level by level, within a level in
    /// the order in which they are named, each once: at most `limit`, and not more once they exceed `bytes` (one always fits).
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

    /// Returns the committed record of a context synchronously.
    fn context_record(&self, context: &ContextId) -> Result<Option<ContextRecord>, ArchiveError>;

    /// Returns the current state PDU of a key synchronously, read-your-writes.
    fn state_holder(&self, context: &ContextId, key: &StateKey) -> Result<Option<StateEntry>, ArchiveError>;

    /// Returns all delivered state PDUs of a key synchronously, read-your-writes. The range is as long as the history
    /// of the key, so it is for forks and late links only; a plain replacement does not need it.
    fn state_set(&self, context: &ContextId, key: &StateKey) -> Result<Vec<StateEntry>, ArchiveError>;

    /// Returns the committed current state, ordered by type and key, after `after`: at most `limit`, and no more once
    /// the PDUs exceed `bytes` (at least one is returned).
    fn current_state(
        &self,
        context: &ContextId,
        after: Option<StateKey>,
        limit: u32,
        bytes: u64,
    ) -> Task<Result<StatePage, ArchiveError>>;

    /// Returns at once whether quarantine holds a non-participant's PDU as this server sent it; sees uncommitted writes.
    fn is_quarantined(&self, context: &ContextId, reference: &PduRef, from: &ServerName) -> Result<bool, ArchiveError>;

    /// The PDUs of a conversation that lie in quarantine because a server took no part, and whose origin and sender are among
    /// `participants`: the first `limit` after this place in the order of their arrival. Copies of one PDU come one by one.
    fn quarantined_pdus_of(
        &self,
        context: &ContextId,
        participants: Vec<ServerName>,
        after: (u64, u64),
        limit: u32,
    ) -> Task<Result<Vec<QuarantinedPduRow>, ArchiveError>>;

    /// Returns the number of PDUs of this server that are staged for a context, and which of `references` are. Reads committed rows.
    fn stage(
        &self,
        context: &ContextId,
        from: &ServerName,
        references: Vec<PduRef>,
    ) -> Task<Result<(u64, Vec<PduRef>), ArchiveError>>;

    /// Staged PDUs of a conversation, in the order in which each server sent them: at most `limit`, and not more once they
    /// exceed `bytes` (one always fits). The servers behind `after` in the order of names come first, then the others from the
    /// first name on: a caller that passes the server of the last page's last PDU gives every server its turn. Await a
    /// [`Journal::barrier`] first: what was taken must have left.
    fn staged(
        &self,
        context: &ContextId,
        after: Option<&ServerName>,
        limit: u32,
        bytes: u64,
    ) -> Task<Result<Vec<StagedPdu>, ArchiveError>>;

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

    /// Returns feed entries after `after`: at most `limit`, and no more once they exceed `bytes`.
    fn feed_after(&self, after: Position, limit: u32, bytes: u64) -> Task<Result<FeedPage, ArchiveError>>;

    /// Returns a watch on the feed's bounds; it changes with each commit that appends or acknowledges events.
    fn feed_bounds(&self) -> watch::Receiver<FeedBounds>;
}

/// Sends requests to peers.
pub trait Transport: Send + Sync + 'static {
    /// Delivers one batch: resolves, connects, sends and reads the whole response, all within the batch's deadlines.
    fn push(&self, frame: OutboundBatch) -> Task<Result<PushResponse, PushFailure>>;

    /// Fetches PDUs from a peer; an empty list means that the peer has none. Each PDU is valid or bad independently.
    fn fetch(
        &self,
        from: &ServerName,
        want: FetchRequest,
        deadlines: RequestDeadlines,
    ) -> Task<Result<Vec<Result<Pdu, BadPdu>>, PushFailure>>;

    /// Asks a peer for the PDUs of its transactions after this one. The default returns nothing, for transports that
    /// have no such request.
    fn pull(
        &self,
        from: &ServerName,
        after: u64,
        deadlines: RequestDeadlines,
    ) -> Task<Result<PullResponse, PushFailure>> {
        let _ = (from, after, deadlines);
        Box::pin(async { Ok(PullResponse::default()) })
    }
}

/// The peers and the limits of peers, contexts and the gateway.
pub trait PeerConfig: Send + Sync + 'static {
    /// Returns the limits of a peer; `None`: the name is not a peer.
    fn limits(&self, server: &ServerName) -> Option<Arc<PeerLimits>>;

    /// Returns the peers that the configuration names, in its order.
    fn listed(&self) -> Vec<ServerName>;

    /// The limits of a server that is no peer of ours any more and for which something waits.
    fn unlisted(&self) -> Arc<PeerLimits> {
        Arc::new(PeerLimits { listed: false, ..PeerLimits::default() })
    }

    /// Returns the limits of every context.
    fn contexts(&self) -> Arc<ContextLimits>;

    /// Returns the maximum number of peers in memory.
    fn peers_resident_max(&self) -> u32 {
        PEERS_RESIDENT_MAX
    }

    /// Returns the thresholds at which the gateway is overloaded.
    fn overload(&self) -> OverloadLimits {
        OverloadLimits::default()
    }
}

/// The disk that holds the store.
pub trait Disk: Send + Sync + 'static {
    /// Returns the number of free bytes; `None` if it cannot be read. It is called from any thread and must not block
    /// for long.
    fn free(&self) -> Option<u64>;
}

/// A notification after a commit that an outbox has grown. It is a hint that may be lost, because the work itself is
/// found in the store.
#[derive(Debug, Clone)]
pub struct OutboxGrown {
    /// Peer whose outbox grew.
    pub server: ServerName,
    /// Newest index of the outbox.
    pub tail: Index,
    /// Running sum of the bytes queued for the peer, up to that index.
    pub queued_bytes: u64,
    /// New rows, if memory allowed passing them on (all peers share their bytes); empty otherwise.
    pub rows: Vec<OutboxRow>,
    /// Guard that counts the bytes of `rows` against the memory limit until the last copy is dropped.
    pub held: Option<Arc<dyn std::any::Any + Send + Sync>>,
}

/// All interfaces that an actor may use.
#[derive(Clone)]
pub struct Ports {
    /// Journal for durable changes.
    pub journal: Arc<dyn Journal>,
    /// Reader of committed rows.
    pub archive: Arc<dyn StoreReader>,
    /// Sender of requests to peers.
    pub transport: Arc<dyn Transport>,
    /// Peers and limits from the configuration.
    pub roster: Arc<dyn PeerConfig>,
    /// Ownership of actors by processes.
    pub ownership: Arc<dyn Ownership>,
    /// Free space of the disk.
    pub disk: Arc<dyn Disk>,
    /// Source of wall time.
    pub clock: Arc<dyn Clock>,
    /// Composer and reader of PDUs.
    pub text: Arc<dyn PduText>,
    /// Name of this server.
    pub us: ServerName,
}
