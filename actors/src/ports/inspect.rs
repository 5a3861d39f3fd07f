//! What an operator may look at: queues and what was parked, in pages. None of it is needed to run.

use bytes::Bytes;

use super::{ArchiveError, Task};
use crate::model::{
    ContextId, ContextRecord, Fate, Index, Millis, ParkedCode, ParkedWhat, PduRef, Seq, ServerName, SubmissionId,
};

/// Which way an item was going.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// It came from a peer, and lies in quarantine.
    In,
    /// It was for a peer, and is a dead letter.
    Out,
}

/// Where a parked item lies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Whose it is.
    pub server: ServerName,
    /// Which way it was going.
    pub direction: Direction,
    /// Its number among those: of its own in quarantine, the index in the outbox that it left.
    pub number: u64,
}

/// What a parked item is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// An update that came under this number.
    UpdateIn(Seq),
    /// A PDU that came, as far as it could be read.
    PduIn {
        /// Its origin.
        origin: Option<String>,
        /// Its id.
        id: Option<String>,
        /// Its conversation.
        context: Option<ContextId>,
    },
    /// An update of ours.
    UpdateOut,
    /// A PDU of ours, and its conversation.
    PduOut(PduRef, ContextId),
}

impl What {
    /// Whether it is a PDU.
    pub const fn is_pdu(&self) -> bool {
        matches!(self, Self::PduIn { .. } | Self::PduOut(..))
    }
}

impl From<ParkedWhat> for What {
    fn from(what: ParkedWhat) -> Self {
        match what {
            ParkedWhat::Update(seq) => Self::UpdateIn(seq),
            ParkedWhat::Pdu { origin, id, context } => Self::PduIn { origin, id, context },
        }
    }
}

/// An item that was put aside, in either direction: one form for all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedRow {
    /// Where it lies.
    pub place: Place,
    /// What it is.
    pub what: What,
    /// Why, for programs.
    pub code: Why,
    /// Why, for people.
    pub reason: String,
    /// When it was put there.
    pub time: Millis,
    /// Of a dead letter: the submission it is a part of.
    pub submission: Option<SubmissionId>,
    /// How many bytes it has.
    pub size: u64,
    /// These bytes, where they were asked for.
    pub bytes: Option<Bytes>,
}

/// Why something was put aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// What a peer sent could not be taken.
    Inbound(ParkedCode),
    /// What became of an item for a peer: a dead letter.
    Outbound(Fate),
}

/// Which parked items are meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ParkedFilter {
    /// Of this server alone.
    pub server: Option<ServerName>,
    /// In this direction alone.
    pub direction: Option<Direction>,
    /// PDUs alone, or updates alone.
    pub pdus: Option<bool>,
}

/// One page of a walk: what was found, and where to go on. A page may be empty in the middle of a walk: it is bounded by the rows
/// it looks at, not by those it likes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T, P> {
    /// What was found.
    pub rows: Vec<T>,
    /// Go on after this; `None` at the end.
    pub next: Option<P>,
}

/// An item of a peer's queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedItem {
    /// Its place.
    pub index: Index,
    /// When it was queued.
    pub queued: Millis,
    /// The PDU it is, with its conversation; `None`: an update.
    pub pdu: Option<(PduRef, ContextId)>,
    /// The submission it is a part of.
    pub submission: SubmissionId,
    /// How many bytes it has.
    pub size: u64,
}

/// A conversation in a list of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextRow {
    /// Its row; of many open ends it names a hundred.
    pub record: ContextRecord,
    /// All its open ends.
    pub heads: u64,
    /// PDUs waiting for parents.
    pub held: u64,
    /// Parents given up, those beyond the place where we came in left out.
    pub gaps: u64,
    /// When what stands last in its timeline came; `None`: nothing stands there.
    pub last: Option<Millis>,
}

/// Reads for an operator. Every call is one bounded page on a thread that may block.
pub trait Inspect: Send + Sync + 'static {
    /// Items of a peer's outbox after `after`, in order, acknowledged ones that are still kept included.
    fn queued(&self, server: &ServerName, after: Index, limit: u32) -> Task<Result<Vec<QueuedItem>, ArchiveError>>;

    /// How many items after `after` were queued at `edges[0]` or later, at `edges[1]` or later and so on; the last count is of
    /// those older than the last edge. `edges` fall. Ends with a page: go on after the index it names.
    fn ages(
        &self,
        server: &ServerName,
        after: Index,
        edges: Vec<Millis>,
    ) -> Task<Result<Page<u64, Index>, ArchiveError>>;

    /// Parked items by server, direction and number, without their bytes: at most `limit` after `after`.
    fn parked(
        &self,
        filter: ParkedFilter,
        after: Option<Place>,
        limit: u32,
    ) -> Task<Result<Page<ParkedRow, Place>, ArchiveError>>;

    /// Conversations by name: at most `limit` after `after`. Ends earlier where those on the page have much to count.
    fn contexts(&self, after: Option<ContextId>, limit: u32)
    -> Task<Result<Page<ContextRow, ContextId>, ArchiveError>>;

    /// One parked item, with its bytes.
    fn parked_row(&self, place: Place) -> Task<Result<Option<ParkedRow>, ArchiveError>>;
}
