//! Paged reads for operators: queues, quarantine, dead letters, contexts. The gateway itself does not need them.

use bytes::Bytes;

use crate::model::{
    ContextId, ContextRecord, DeadLetterReason, Index, Millis, ParkedCode, ParkedWhat, PduRef, Position, RefusedEvent,
    Seq, ServerName, SubmissionId, SubmissionRecord,
};
use crate::ports::{ArchiveError, Task};

/// The direction in which an item was going.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// The item came from a peer and is in quarantine.
    In,
    /// The item was for a peer and is a dead letter.
    Out,
}

/// The key of a quarantined item or a dead letter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct QuarantineKey {
    /// Peer that the item came from or was for.
    pub server: ServerName,
    /// Direction of the item.
    pub direction: Direction,
    /// Number of the item: a number of its own in quarantine, or the outbox index of a dead letter.
    pub number: u64,
}

/// The kind and identity of a quarantined item or a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QuarantineItemKind {
    /// Inbound update with this sequence number.
    UpdateIn(Seq),
    /// Inbound forward with this sequence number, of the server that it names as its origin.
    ForwardIn(Seq, ServerName),
    /// Inbound PDU, with the fields that could be read.
    PduIn {
        /// Origin of the PDU.
        origin: Option<String>,
        /// Id of the PDU.
        id: Option<String>,
        /// Context of the PDU.
        context: Option<ContextId>,
    },
    /// Outbound update for a peer.
    UpdateOut,
    /// Outbound PDU and its context.
    PduOut(PduRef, ContextId),
}

impl QuarantineItemKind {
    /// Returns whether the item is a PDU.
    pub const fn is_pdu(&self) -> bool {
        matches!(self, Self::PduIn { .. } | Self::PduOut(..))
    }
}

impl From<ParkedWhat> for QuarantineItemKind {
    fn from(what: ParkedWhat) -> Self {
        match what {
            ParkedWhat::Update(seq) => Self::UpdateIn(seq),
            ParkedWhat::Forward(seq, origin) => Self::ForwardIn(seq, origin),
            ParkedWhat::Pdu { origin, id, context } => Self::PduIn { origin, id, context },
        }
    }
}

/// A quarantined item or a dead letter, in one form for both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedRow {
    /// Key of the row.
    pub place: QuarantineKey,
    /// Kind and identity of the item.
    pub what: QuarantineItemKind,
    /// Reason as a code.
    pub code: QuarantineReason,
    /// Reason as a message.
    pub reason: String,
    /// Time at which the row was written.
    pub time: Millis,
    /// Submission that a dead letter belongs to; `None` for a quarantined item.
    pub submission: Option<SubmissionId>,
    /// Size of the item in bytes.
    pub size: u64,
    /// Bytes of the item, if they were asked for.
    pub bytes: Option<Bytes>,
}

/// The reason for which an item was quarantined or became a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuarantineReason {
    /// An inbound item was quarantined.
    Inbound(ParkedCode),
    /// An outbound item became a dead letter.
    Outbound(DeadLetterReason),
}

/// A filter for quarantined items and dead letters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ParkedFilter {
    /// Server to select; `None`: all.
    pub server: Option<ServerName>,
    /// Direction to select; `None`: both.
    pub direction: Option<Direction>,
    /// `Some(true)` selects PDUs, `Some(false)` updates; `None`: both.
    pub pdus: Option<bool>,
}

/// One page of a walk: the rows found and the position to continue from. A page in the middle may be empty, because it
/// is bounded by the rows it examines, not by those that match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InspectPage<T, P> {
    /// Rows that were found.
    pub rows: Vec<T>,
    /// Position after which the next page begins; `None` at the end.
    pub next: Option<P>,
}

/// An event that the messenger refused, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedRow {
    /// The event and the reason.
    pub event: RefusedEvent,
    /// Time of the refusal.
    pub time: Millis,
}

/// An item of a peer's outbox, without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedItem {
    /// Index in the outbox.
    pub index: Index,
    /// Time at which the item was queued.
    pub queued: Millis,
    /// PDU and its context; `None`: the item is an update.
    pub pdu: Option<(PduRef, ContextId)>,
    /// Submission that the item belongs to.
    pub submission: SubmissionId,
    /// Size of the item in bytes.
    pub size: u64,
}

/// A filter for submissions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SubmissionFilter {
    /// Recipient to select; `None`: all.
    pub recipient: Option<ServerName>,
    /// Context to select, which only messages have; `None`: all.
    pub context: Option<ContextId>,
    /// Time before which the submission was accepted; `None`: any time.
    pub before: Option<Millis>,
    /// PDU that the submission became; `None`: any.
    pub pdu: Option<PduRef>,
}

/// A submission as a row of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubmissionRow {
    /// Id of the submission.
    pub id: SubmissionId,
    /// Record of the submission.
    pub record: SubmissionRecord,
    /// Context of the PDU that it became.
    pub context: Option<ContextId>,
}

/// A PDU as it was received and delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PduReception {
    /// Context of the PDU.
    pub context: ContextId,
    /// Server that sent it to us.
    pub sender: ServerName,
    /// Method by which the sender was authenticated.
    pub verified: String,
    /// Time of the delivery; of a PDU that waits for parents, that of its arrival.
    pub since: Millis,
    /// Parents that a PDU waits for; `None`: it is delivered.
    pub waits_for: Option<Vec<PduRef>>,
}

/// An event of the feed that is searched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SearchedEvent {
    /// The first event of a PDU.
    Pdu(PduRef),
    /// The event of the update with this count among those of a server.
    Update(ServerName, u64),
}

/// A context as a row of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextSummary {
    /// Record of the context; it names at most a hundred heads.
    pub record: ContextRecord,
    /// Number of all its heads.
    pub heads: u64,
    /// Number of PDUs that wait for parents.
    pub held: u64,
    /// Number of parents that were given up, without those beyond the history edge.
    pub gaps: u64,
    /// Time at which the last PDU of the timeline was received; `None`: the timeline is empty.
    pub last: Option<Millis>,
}

/// Reads for operators. Each call returns one bounded page and runs on a thread that may block.
pub trait StoreInspector: Send + Sync + 'static {
    /// Returns items of a peer's outbox after `after`, in order, including acknowledged ones that are still kept.
    fn queued(&self, server: &ServerName, after: Index, limit: u32) -> Task<Result<Vec<QueuedItem>, ArchiveError>>;

    /// Counts the items after `after` by age: those queued at `edges[0]` or later, at `edges[1]` or later and so on;
    /// the last count is of those older than the last edge. `edges` must be in descending order. The result covers one
    /// page; continue after the index in `next`.
    fn ages(
        &self,
        server: &ServerName,
        after: Index,
        edges: Vec<Millis>,
    ) -> Task<Result<InspectPage<u64, Index>, ArchiveError>>;

    /// Counts the submissions up to this index in a peer's outbox whose author has asked for a receipt, and which have none yet; no
    /// more than one page of them is counted.
    fn receipts_awaited(&self, server: &ServerName, upto: Index) -> Task<Result<u64, ArchiveError>>;

    /// Returns quarantined items and dead letters by server, direction and number, without their bytes: at most `limit`
    /// after `after`.
    fn parked(
        &self,
        filter: ParkedFilter,
        after: Option<QuarantineKey>,
        limit: u32,
    ) -> Task<Result<InspectPage<ParkedRow, QuarantineKey>, ArchiveError>>;

    /// Returns contexts by name: at most `limit` after `after`. The page ends earlier if its contexts have many rows to
    /// count.
    fn contexts(
        &self,
        after: Option<ContextId>,
        limit: u32,
    ) -> Task<Result<InspectPage<ContextSummary, ContextId>, ArchiveError>>;

    /// Returns the events that the messenger refused, by position: at most `limit` after
    /// `after`, and no more once they exceed `bytes` (at least one is returned).
    fn refused_events(
        &self,
        after: Position,
        limit: u32,
        bytes: u64,
    ) -> Task<Result<InspectPage<RefusedRow, Position>, ArchiveError>>;

    /// Returns one quarantined item or dead letter, with its bytes.
    fn parked_row(&self, place: QuarantineKey) -> Task<Result<Option<ParkedRow>, ArchiveError>>;

    /// Returns submissions by id: at most `limit` after `after`. The page ends earlier if many rows do not match.
    fn submissions(
        &self,
        filter: SubmissionFilter,
        after: Option<SubmissionId>,
        limit: u32,
    ) -> Task<Result<InspectPage<SubmissionRow, SubmissionId>, ArchiveError>>;

    /// Returns for each range of an outbox the reason for which its first dead letter left the queue; `None`: it has none.
    fn fates(
        &self,
        ranges: Vec<(ServerName, Index, Index)>,
    ) -> Task<Result<Vec<Option<DeadLetterReason>>, ArchiveError>>;

    /// Returns how a PDU came in; `None`: it is not stored.
    fn reception(&self, reference: PduRef) -> Task<Result<Option<PduReception>, ArchiveError>>;

    /// Searches one page of the feed after `after` for an event; the page has one row if it is found there.
    fn find_event(
        &self,
        event: SearchedEvent,
        after: Position,
    ) -> Task<Result<InspectPage<Position, Position>, ArchiveError>>;
}
