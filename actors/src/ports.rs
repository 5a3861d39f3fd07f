//! The interfaces that the core needs. Adapters implement them; the core never sees redb, HTTP or the system clock.

mod inspect;
mod readers;
mod retention;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::change::Change;
use crate::errors::{AdmissionError, PeerError};
use crate::limits::{ContextLimits, OverloadLimits, PEERS_IDLE_AFTER, PEERS_RESIDENT_MAX, PeerLimits, PeerListing};
use crate::model::{
    BadPdu, ContextId, FetchRequest, InboundEphemeral, Index, Millis, OutboundBatch, Pdu, PullResponse, PushFailure,
    PushResponse, RequestDeadlines, ServerName,
};

pub use crate::change::CommitPriority;
pub use crate::model::{
    ContextSnapshot, CurrentState, DeadLetter, MembershipSource, OutboxRow, PduStatus, PduText, PeerSnapshot,
    QuarantinedPduRow, SentPage, ServedPdu, StagedPdu,
};
pub use crate::ports::readers::{
    ArchiveError, ContextReader, FeedBounds, FeedPage, FeedReader, PeerReader, StatePage, StoreReaders,
    SubmissionReader, SubmissionsPage, TimelineMark,
};
pub use crate::ports::retention::{OldPage, OldPdu, RetentionCursor, RetentionPins, RetentionScan, RetentionStep};
pub use inspect::{
    ContextSummary, Direction, InspectPage, ParkedFilter, ParkedRow, PduReception, QuarantineItemKind, QuarantineKey,
    QuarantineReason, QueuedItem, RefusedRow, SearchedEvent, StoreInspector, SubmissionFilter, SubmissionRow,
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

/// A call that waits for a commit.
pub type SettledCall = Box<dyn FnOnce() + Send>;

/// The length of the journal's queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueueDepth {
    /// Number of rows that were submitted and are not committed.
    pub rows: u64,
    /// Number of rows from which new requests are told to wait.
    pub rows_max: u64,
    /// Limit of the store's log in bytes, if the log has reached it.
    pub full_log: Option<u64>,
}

impl QueueDepth {
    /// Returns whether new requests must be told to wait.
    pub const fn is_high(self) -> bool {
        self.rows >= self.rows_max || self.full_log.is_some()
    }
}

/// The only way to the disk. Its four laws:
///
/// 1. Submitting is synchronous and happens where the decision is made, so the queue is in the order of decisions.
/// 2. No answer without a ticket: even an answer that changes nothing depends on the batches submitted before it.
/// 3. No load without a [`barrier`](Self::barrier): otherwise an actor that restarts reads a state without its own batches.
/// 4. References are read-your-writes: lookups see submitted PDUs before their commit.
///
/// The journal is first in, first out, and durability is prefix-closed: if a batch is on disk, all batches submitted before
/// it are on disk too.
pub trait Journal: Send + Sync + 'static {
    /// Submits a batch. It is committed whole, after everything that was submitted before it.
    fn submit(&self, fence: Fence, changes: Vec<Change>, urgency: CommitPriority) -> CommitTicket;

    /// Returns a ticket for everything submitted so far.
    fn barrier(&self) -> CommitTicket;

    /// Calls `done` once everything submitted so far is on disk, on whichever thread commits it; so the thread of an actor need not
    /// wake up only to pass a reply on. `done` must not block. It is dropped if the journal stops.
    fn when_settled(&self, done: SettledCall) {
        let settled = self.barrier();
        tokio::spawn(async move {
            if settled.committed().await.is_ok() {
                done();
            }
        });
    }

    /// Returns the length of the queue.
    fn pressure(&self) -> QueueDepth;
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

    /// Returns whether this server passes on what `origin` writes to `destination`.
    fn allows_relay(&self, _origin: &ServerName, _destination: &ServerName) -> bool {
        false
    }

    /// Returns the peers that the configuration names, in its order.
    fn listed(&self) -> Vec<ServerName>;

    /// Returns the limits of a server that is no peer and may have pending items, with its place in the configuration.
    fn unlisted(&self, server: &ServerName) -> Arc<PeerLimits> {
        let _ = server;
        Arc::new(PeerLimits { listing: PeerListing::NotListed, ..PeerLimits::default() })
    }

    /// Returns the limits of a server, peer or not.
    fn limits_of(&self, server: &ServerName) -> Arc<PeerLimits> {
        self.limits(server).unwrap_or_else(|| self.unlisted(server))
    }

    /// Returns the limits of a peer, or the reason for which the server is none.
    fn peer_limits(&self, server: &ServerName) -> Result<Arc<PeerLimits>, PeerError> {
        let limits = self.limits_of(server);
        limits.listing.refusal(server).map_or(Ok(limits), Err)
    }

    /// Returns whether receipts are exchanged with any peer.
    fn has_receipts(&self) -> bool {
        self.listed().iter().any(|server| self.limits(server).is_some_and(|limits| limits.receipts))
    }

    /// Returns the limits of every context.
    fn contexts(&self) -> Arc<ContextLimits>;

    /// Returns the maximum number of peers in memory.
    fn peers_resident_max(&self) -> u32 {
        PEERS_RESIDENT_MAX
    }

    /// Returns the time after which a peer without work leaves memory.
    fn peers_idle_after(&self) -> Duration {
        PEERS_IDLE_AFTER
    }

    /// Returns the maximum number of strangers in memory, which do not count as peers in memory.
    fn strangers_resident_max(&self) -> u32 {
        0
    }

    /// Admits a batch of a stranger with this many items, which may become rows on disk.
    fn admit_stranger(&self, _server: &ServerName, _items: usize) -> Result<(), AdmissionError> {
        Ok(())
    }

    /// Returns the thresholds at which the gateway is overloaded.
    fn overload(&self) -> OverloadLimits {
        OverloadLimits::default()
    }
}

/// The messenger as a reader of ephemeral items.
pub trait EphemeralSink: Send + Sync + 'static {
    /// Shows ephemeral items of a peer to the messenger if it listens now, and drops them otherwise. It never waits.
    fn show(&self, from: &ServerName, items: Vec<InboundEphemeral>);
}

/// A messenger that never listens.
#[derive(Debug, Clone, Copy)]
pub struct NoEphemeralReader;

impl EphemeralSink for NoEphemeralReader {
    fn show(&self, _from: &ServerName, _items: Vec<InboundEphemeral>) {}
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
    /// Readers of committed rows.
    pub archive: StoreReaders,
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
    /// Reader of the peers' ephemeral items.
    pub ephemeral: Arc<dyn EphemeralSink>,
    /// Composer and reader of PDUs.
    pub text: Arc<dyn PduText>,
    /// Name of this server.
    pub us: ServerName,
}
