//! What the core asks of its surroundings. An adapter supplies each; the core never sees redb, HTTP or the system clock.

mod inspect;
mod past;

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{oneshot, watch};

use crate::change::Change;
pub use crate::change::Urgency;
use crate::limits::{ContextLimits, OverloadLimits, PEERS_RESIDENT_MAX, PeerLimits};
use crate::model::{
    Answered, Attempt, BadPdu, ContextId, ContextRecord, Deadlines, FedPdu, FeedEntry, Index, Millis, OutFrame, Pdu,
    PduRef, Position, Pulled, PushFailure, ServerName, StateKey, StatePiece, SubmissionId, SubmissionRecord, Want,
};
pub use crate::model::{
    ContextLoad, CurrentState, Known, Letter, OutboxRow, PduText, PeerLoad, SentPage, ServedPdu, Spoken, StagedPdu,
    StrangersPdu,
};
pub use inspect::{ContextRow, Direction, Inspect, Page, ParkedFilter, ParkedRow, Place, QueuedItem, What, Why};
pub use past::{OldPage, OldPdu, Past, Pinned, Walked, WalkedTo};

/// A future that may cross threads.
pub type Task<T> = Pin<Box<dyn Future<Output = T> + Send + 'static>>;

/// Wall time. Orders nothing: it says when to people, and until when to timers.
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> Millis;
}

/// Proof that its holder owns an actor's rows; the store refuses a batch whose fence is no longer current.
///
/// Opaque to actors. Today there is one slot, and its epoch is raised at every open of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fence {
    /// Which part of the key space.
    pub slot: u32,
    /// Which term of ownership.
    pub epoch: u64,
}

/// Who may run which actor. Asked before an actor starts; nothing else may assume that this process is alone.
pub trait Ownership: Send + Sync + 'static {
    /// The fence under which this process owns the peer's rows, or `None`: another process does.
    fn claim(&self, peer: &ServerName) -> Option<Fence>;

    /// The fence under which this process owns the conversation's rows, or `None`: another process does.
    fn claim_context(&self, context: &ContextId) -> Option<Fence>;

    /// The fence for what belongs to no peer: the messenger's feed, its cursor, and the submissions remembered.
    fn claim_feed(&self) -> Option<Fence>;
}

/// The journal could not commit: the process is about to end, and what was handed over may or may not be on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the journal has stopped; the outcome is unknown")]
pub struct Lost;

/// Answers when everything handed over so far, this batch included, is on disk.
#[derive(Debug)]
pub struct Ticket(oneshot::Receiver<()>);

impl Ticket {
    /// A ticket and what completes it; dropping the sender instead says [`Lost`].
    pub fn pair() -> (oneshot::Sender<()>, Self) {
        let (done, waits) = oneshot::channel();
        (done, Self(waits))
    }

    /// Wait for the disk.
    pub async fn committed(self) -> Result<(), Lost> {
        self.0.await.map_err(|_| Lost)
    }
}

/// How full the journal's queue is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pressure {
    /// Rows handed over and not committed.
    pub rows: u64,
    /// The mark at which doors answer "wait".
    pub rows_max: u64,
}

impl Pressure {
    /// Doors should take nothing more.
    pub const fn is_high(self) -> bool {
        self.rows >= self.rows_max
    }
}

/// The one way to the disk. Its four laws:
///
/// 1. Handing over is a synchronous act, done where the decision is made: the queue is in the order of decisions.
/// 2. No answer without a ticket: also one that changes nothing rests on what was handed over before it.
/// 3. No load without a [`barrier`](Self::barrier): else an actor that restarts reads a past its own batches have not reached.
/// 4. References are read-your-writes: what is handed over and not yet committed is seen by look-ups.
///
/// It is first in, first out, and durability is prefix-closed: what was handed over earlier is on disk whenever what was
/// handed over later is.
pub trait Journal: Send + Sync + 'static {
    /// Hand a batch over. It is committed whole, after all that was handed over before it.
    fn submit(&self, fence: Fence, changes: Vec<Change>, urgency: Urgency) -> Ticket;

    /// A ticket for everything handed over so far.
    fn barrier(&self) -> Ticket;

    /// How full the queue is.
    fn pressure(&self) -> Pressure;
}

/// The store could not be read. A caller gives up what it is doing; the message is for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the store cannot be read: {0}")]
pub struct ArchiveError(pub String);

/// A page of the feed, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeedPage {
    /// Entries after the position asked for, in order; empty at the end of the feed. Positions rise by one, but where a restored
    /// store skipped some.
    Entries(Vec<FeedEntry>),
    /// What follows the position is no longer kept; this is the oldest that is.
    Gone {
        /// The oldest kept position.
        oldest: Position,
    },
}

/// A page of the state that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatePage {
    /// Some of it.
    pub state: Vec<CurrentState>,
    /// More follows.
    pub more: bool,
}

/// A page of ids for housekeeping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubmissionsPage {
    /// Submissions older than asked.
    pub old: Vec<SubmissionId>,
    /// The id to go on after; `None` at the end.
    pub next: Option<SubmissionId>,
}

/// How far the feed reaches.
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
    /// How many events are not acknowledged.
    pub const fn unread(self) -> u64 {
        self.tail.since(self.acked).saturating_sub(self.skipped)
    }
}

/// Reads of committed rows. Every range is bounded in items and bytes; nothing unbounded exists here.
pub trait Archive: Send + Sync + 'static {
    /// What a peer's actor starts from. Await a [`Journal::barrier`] first.
    fn peer(&self, server: &ServerName) -> Task<Result<PeerLoad, ArchiveError>>;

    /// Outbox rows of a peer from `from` on, in order: at most `items`, and not more once they exceed `bytes` (one row always
    /// fits). Indexes without a row are skipped.
    fn outbox_from(
        &self,
        server: &ServerName,
        from: Index,
        items: u32,
        bytes: u64,
    ) -> Task<Result<Vec<OutboxRow>, ArchiveError>>;

    /// The dead letters of a peer, in order: of the items that were first queued from `first` to `last`, those still
    /// remembered, each with what became of it since.
    fn letters(&self, server: &ServerName, first: Index, last: Index) -> Task<Result<Vec<Letter>, ArchiveError>>;

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

    /// The PDUs of the transactions sent to a peer after the one with this id, whole transactions at a time: at most `items`
    /// and `bytes` of them, and one transaction at least. `open` is the one on its way, which counts as sent. Await a
    /// [`Journal::barrier`] first.
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
    fn peers_behind(&self, listed: Vec<ServerName>) -> Task<Result<Vec<ServerName>, ArchiveError>>;

    /// A conversation, whole. Await a [`Journal::barrier`] first where its own actor asks.
    fn context(&self, context: &ContextId) -> Task<Result<Option<ContextLoad>, ArchiveError>>;

    /// Conversations with PDUs waiting for parents, with state whose link is looked for, with staged PDUs, or with
    /// other unfinished work ([`Change::ContextWork`]): those to start when the process starts.
    fn contexts_holding(&self) -> Task<Result<Vec<ContextId>, ArchiveError>>;

    /// What is known of PDUs, read-your-writes, at once and in one read transaction. Of `arriving`, those that nothing is known
    /// of are claimed for `context` in the same call, until a commit stores them or [`release`](Self::release) lets them go.
    fn look_up(
        &self,
        context: &ContextId,
        arriving: &[PduRef],
        parents: &[PduRef],
    ) -> Result<HashMap<PduRef, Known>, ArchiveError>;

    /// Let claims go: these were refused.
    fn release(&self, context: &ContextId, references: &[PduRef]);

    /// Let all claims of a conversation go that were never handed over: its actor starts again, behind a barrier.
    fn release_all(&self, context: &ContextId);

    /// A PDU, at once, from committed rows.
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

    /// PDUs delivered in a conversation, the newest first: those before this place of its timeline, or the newest of all; at most
    /// `limit`, and not more once they exceed `bytes` (one always fits). Each with the parents that are not here.
    fn timeline(
        &self,
        context: &ContextId,
        before: Option<i64>,
        limit: u32,
        bytes: u64,
    ) -> Task<Result<Vec<(i64, FedPdu)>, ArchiveError>>;

    /// A conversation's row, at once, from committed rows.
    fn context_record(&self, context: &ContextId) -> Result<Option<ContextRecord>, ArchiveError>;

    /// The state PDU that holds a key, at once, read-your-writes.
    fn state_holder(&self, context: &ContextId, key: &StateKey) -> Result<Option<StatePiece>, ArchiveError>;

    /// All delivered state PDUs of a key, at once, read-your-writes: one range, as long as what was ever said of this key. For
    /// forks and late links only; a plain replacement needs none of it.
    fn state_set(&self, context: &ContextId, key: &StateKey) -> Result<Vec<StatePiece>, ArchiveError>;

    /// The state PDUs that hold their keys, by type and key, those after `after`: at most `limit`, and not more once they
    /// exceed `bytes` (one always fits). From committed rows.
    fn current_state(
        &self,
        context: &ContextId,
        after: Option<StateKey>,
        limit: u32,
        bytes: u64,
    ) -> Task<Result<StatePage, ArchiveError>>;

    /// Whether a PDU of a server that takes no part lies in quarantine as this server sent it, at once, read-your-writes.
    fn is_kept(&self, context: &ContextId, reference: &PduRef, from: &ServerName) -> Result<bool, ArchiveError>;

    /// The PDUs of a conversation that lie in quarantine because a server took no part, and whose origin and sender are among
    /// `participants`: the first `limit` after this place in the order of their arrival. Copies of one PDU come one by one.
    fn strangers(
        &self,
        context: &ContextId,
        participants: Vec<ServerName>,
        after: (u64, u64),
        limit: u32,
    ) -> Task<Result<Vec<StrangersPdu>, ArchiveError>>;

    /// How many PDUs of this server are staged for a conversation, and which of these are. From committed rows.
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

    /// A submission by its id.
    fn submission(&self, id: &SubmissionId) -> Task<Result<Option<SubmissionRecord>, ArchiveError>>;

    /// The updates of a submission, in order; `None` once they are no longer kept.
    fn submitted_updates(&self, id: &SubmissionId) -> Task<Result<Option<Vec<Bytes>>, ArchiveError>>;

    /// Up to 1,000 submissions older than `before`, in the order of their ids, with ids after `after`; and the id to go on
    /// from, `None` at the end. For housekeeping.
    fn submissions_before(
        &self,
        before: Millis,
        after: Option<SubmissionId>,
    ) -> Task<Result<SubmissionsPage, ArchiveError>>;

    /// Feed entries after `after`: at most `limit`, and not more once they exceed `bytes`.
    fn feed_after(&self, after: Position, limit: u32, bytes: u64) -> Task<Result<FeedPage, ArchiveError>>;

    /// How far the feed reaches; changes with each commit that feeds or acknowledges.
    fn feed_bounds(&self) -> watch::Receiver<FeedBounds>;
}

/// Requests to peers.
pub trait Transport: Send + Sync + 'static {
    /// Deliver one frame: resolve, connect, send, read the whole answer, all within the frame's deadlines.
    fn push(&self, frame: OutFrame) -> Task<Result<Answered, PushFailure>>;

    /// Ask a peer for PDUs. None: it says that it has none. Each comes alone, as PDUs of a batch do.
    fn fetch(
        &self,
        from: &ServerName,
        want: Want,
        deadlines: Deadlines,
    ) -> Task<Result<Vec<Result<Pdu, BadPdu>>, PushFailure>>;

    /// Ask a peer for what it sent us in transactions after this one of its own. A transport that knows no such question has
    /// nothing to bring.
    fn pull(&self, from: &ServerName, after: u64, deadlines: Deadlines) -> Task<Result<Pulled, PushFailure>> {
        let _ = (from, after, deadlines);
        Box::pin(async { Ok(Pulled::default()) })
    }
}

/// Who is a peer, and under which limits.
pub trait Roster: Send + Sync + 'static {
    /// The limits of a peer; `None`: this name is no peer of ours.
    fn limits(&self, server: &ServerName) -> Option<Arc<PeerLimits>>;

    /// The peers named in the configuration, in its order.
    fn listed(&self) -> Vec<ServerName>;

    /// The limits of a server that is no peer of ours any more and for which something waits.
    fn unlisted(&self) -> Arc<PeerLimits> {
        Arc::new(PeerLimits { listed: false, ..PeerLimits::default() })
    }

    /// The limits of every conversation.
    fn contexts(&self) -> Arc<ContextLimits>;

    /// How many peers are in memory at once.
    fn peers_resident_max(&self) -> u32 {
        PEERS_RESIDENT_MAX
    }

    /// When the gateway is too full to take more.
    fn overload(&self) -> OverloadLimits {
        OverloadLimits::default()
    }
}

/// The disk the journal writes to.
pub trait Disk: Send + Sync + 'static {
    /// Bytes that are free on it; `None`: it cannot be told. Asked from any thread, and must not block for long.
    fn free(&self) -> Option<u64>;
}

/// What the journal tells after a commit: a hint that may be lost, the work itself is found in the store.
#[derive(Debug, Clone)]
pub struct Woken {
    /// Whose outbox grew.
    pub server: ServerName,
    /// Its newest index.
    pub tail: Index,
    /// Bytes ever queued there, up to that.
    pub queued_bytes: u64,
    /// The new rows, where memory allowed to pass them on (bytes are shared by all peers they go to); empty otherwise.
    pub rows: Vec<OutboxRow>,
    /// Counts the bytes of `rows` against the bound on such bytes until the last copy is dropped.
    pub held: Option<Arc<dyn std::any::Any + Send + Sync>>,
}

/// Everything an actor may reach.
#[derive(Clone)]
pub struct Ports {
    /// The way to the disk.
    pub journal: Arc<dyn Journal>,
    /// Reads from it.
    pub archive: Arc<dyn Archive>,
    /// Requests to peers.
    pub transport: Arc<dyn Transport>,
    /// Who is a peer.
    pub roster: Arc<dyn Roster>,
    /// Whose actors run here.
    pub ownership: Arc<dyn Ownership>,
    /// The space that is left.
    pub disk: Arc<dyn Disk>,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// How a message becomes a PDU.
    pub text: Arc<dyn PduText>,
    /// Our own name.
    pub us: ServerName,
}
