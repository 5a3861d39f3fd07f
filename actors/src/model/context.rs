//! The durable records of a context, and its status.

use bytes::Bytes;

use super::{ContextId, Millis, Pdu, PduRef, ServerName, StateEntry, StateKey};

/// The durable state of one context without its PDUs: one row, which the context's actor writes whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextRecord {
    /// Context that the record belongs to.
    pub context: ContextId,
    /// Servers that participate beside us, without duplicates.
    pub participants: Vec<ServerName>,
    /// Heads: delivered PDUs that no other PDU names as a parent yet.
    pub heads: Vec<Head>,
    /// Greatest depth of a delivered PDU.
    pub depth: u64,
    /// Timeline position of the next delivered PDU; the first is 1.
    pub next: u64,
    /// True if the context was created by a PDU from a peer and not by the local messenger.
    pub adopted: bool,
    /// Number of joined users per server according to the current state; servers without users are not listed.
    pub members: Vec<(ServerName, u64)>,
    /// Number of PDUs that were delivered as history. They take the timeline positions from 0 downwards.
    pub history_count: u64,
    /// Progress of the join, if the context was or is being fetched from a participant.
    pub join: Option<JoinProgress>,
}

/// The progress of a join: the context is fetched from a participant, its state first and then its history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinProgress {
    /// Participant that the context is fetched from.
    pub via: ServerName,
    /// Number of history PDUs still to be fetched.
    pub left: u32,
    /// Number of PDUs that were received.
    pub came: u64,
    /// Stage of the join.
    pub stage: JoinStage,
    /// Reason of the failure, or of the last unsuccessful attempt.
    pub reason: Option<String>,
}

/// The stage of a join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinStage {
    /// The state is being fetched.
    State,
    /// The history is being fetched.
    History,
    /// Everything that was requested was received, or the server has no more.
    Done,
    /// The server is unreachable, or it says that we are not a participant.
    Failed,
}

impl JoinStage {
    /// Returns whether the join is still in progress.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::State | Self::History)
    }

    /// Returns the stage as it is shown and stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::History => "history",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

impl ContextRecord {
    /// Returns the record of a context without PDUs.
    pub fn new(context: ContextId, participants: Vec<ServerName>, adopted: bool) -> Self {
        let (heads, members) = (vec![], vec![]);
        Self { context, participants, heads, depth: 0, next: 1, adopted, members, history_count: 0, join: None }
    }
}

/// A head (forward extremity) of the context's graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Identity of the PDU.
    pub reference: PduRef,
    /// Depth of the PDU as computed here.
    pub depth: u64,
    /// Depth on which a local PDU with this parent builds: the one that its origin states, if that is valid.
    pub emitted: u64,
}

impl Head {
    /// Returns the head for a PDU whose origin states this depth.
    pub fn of(reference: PduRef, depth: u64, stated: Option<u64>) -> Self {
        Self { reference, depth, emitted: stated.filter(|stated| *stated <= DEPTH_BUILT_UPON_MAX).unwrap_or(depth) }
    }
}

/// The greatest stated depth that is shown and built upon; larger ones are passed on unchanged.
pub const DEPTH_BUILT_UPON_MAX: u64 = (1 << 31) - 1;

/// A PDU that is being stored for the first time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPdu {
    /// PDU to be stored.
    pub pdu: Pdu,
    /// Peer that sent it to us; `None`: the local messenger.
    pub sender: Option<ServerName>,
    /// Method by which the PDU was authenticated; the messenger sees this word.
    pub verified: &'static str,
    /// Time at which it was received.
    pub received: Millis,
    /// State of the PDU: delivered or held.
    pub standing: PduState,
}

/// The state of a stored PDU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PduState {
    /// The PDU was delivered to the messenger, or it came from the messenger.
    Delivered(Delivery),
    /// The PDU is held until its parents are delivered.
    Held(PendingParents),
    /// The PDU is narrowed to other servers: only its identity and depth are stored.
    Named {
        /// Its depth, computed here.
        depth: u64,
    },
}

/// The parents that a held PDU waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingParents {
    /// Parents that are not delivered: unknown ones, and held ones.
    pub missing: Vec<PduRef>,
    /// True if the PDU came with the first batch of a new context: ancestors that cannot be fetched are then its
    /// history edge, not a gap.
    pub edge: bool,
    /// Lower bound of the PDU's depth: one more than the deepest delivered parent, 0 if none is delivered.
    pub depth: u64,
    /// True if it was fetched and only state depends on it: if its parents cannot be fetched, it is history.
    pub for_state: bool,
}

/// The delivery of a PDU into the timeline, and into the feed unless the local messenger submitted it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Position in the context's timeline: from 1 upwards; history takes positions from 0 downwards.
    pub position: i64,
    /// Depth of the PDU as computed here.
    pub depth: u64,
    /// Flags of the feed event; `None`: no event, because the local messenger submitted the PDU.
    pub shown: Option<FeedFlags>,
}

impl Delivery {
    /// Returns whether the PDU is delivered as history, not as news.
    pub const fn is_history(&self) -> bool {
        self.position < 1
    }
}

/// The flags of a PDU event in the feed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FeedFlags {
    /// Parents that were given up.
    pub gap: Vec<PduRef>,
    /// True if the PDU had been given up and arrived later.
    pub late: bool,
    /// True if the PDU was delivered as history and not as news.
    pub history: bool,
    /// True if the PDU is state and was the current state of its key when the event was written.
    pub current: bool,
    /// True if the PDU was in the feed before and is emitted again because it became the current state of its key.
    pub again: bool,
}

/// A held PDU as read back from the store, with the fields that the state machine needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldPdu {
    /// Identity of the PDU.
    pub reference: PduRef,
    /// All parents of the PDU.
    pub prev: Vec<PduRef>,
    /// Parents that it waits for.
    pub hold: PendingParents,
    /// Time at which it was received.
    pub received: Millis,
    /// Peer that sent it to us.
    pub sender: Option<ServerName>,
    /// Key and state entry that the PDU sets; `None` for a PDU that is not state.
    pub state: Option<(StateKey, StateEntry)>,
    /// True if the PDU is narrowed.
    pub narrowed: bool,
    /// Depth that its origin states.
    pub stated: Option<u64>,
    /// For a PDU held for state: true if a parent of it was delivered as news.
    pub on_news: bool,
}

/// A gap: a parent that was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Identity of the missing parent.
    pub missing: PduRef,
    /// PDUs that were delivered without it.
    pub children: Vec<PduRef>,
    /// True if the parent lies beyond the history edge of the context; no gap event was emitted for it.
    pub edge: bool,
}

/// The result of a repair, one entry for each PDU that was to be fetched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RepairOutcome {
    /// PDUs that are here now: delivered, or held until their parents come.
    pub arrived: Vec<PduRef>,
    /// PDUs that were refused or quarantined, each with the code of the reason.
    pub refused: Vec<(PduRef, &'static str)>,
    /// PDUs that no server gave before `contexts.gap.give_up`.
    pub absent: Vec<PduRef>,
}

/// A PDU event of the feed, joined with the stored PDU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedPdu {
    /// Identity of the PDU.
    pub reference: PduRef,
    /// Context that the PDU belongs to.
    pub context: ContextId,
    /// Depth of the PDU as computed here.
    pub depth: u64,
    /// Peer that sent it to us.
    pub sender: Option<ServerName>,
    /// Method by which the PDU was authenticated.
    pub verified: String,
    /// Flags of the event.
    pub shown: FeedFlags,
    /// The whole PDU as one JSON object.
    pub bytes: Bytes,
}

/// The status of a context for messengers and operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextStatus {
    /// Durable record of the context.
    pub record: ContextRecord,
    /// Number of PDUs that wait for parents.
    pub held: u64,
    /// Missing parents that are being fetched.
    pub wanted: Vec<PduRef>,
    /// Parents that were given up.
    pub gaps: Vec<Gap>,
}
