//! What a conversation keeps on disk, and what it shows.

use bytes::Bytes;

use super::{ContextId, Millis, Pdu, PduRef, ServerName, StateKey, StatePiece};

/// Everything durable about one conversation but its PDUs: the row of its actor, written whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextRecord {
    /// Which one.
    pub context: ContextId,
    /// The servers that take part, beside us; each once.
    pub participants: Vec<ServerName>,
    /// The delivered PDUs that nobody has named as a parent yet.
    pub heads: Vec<Head>,
    /// The greatest depth so far.
    pub depth: u64,
    /// The position the next delivered PDU gets in the timeline; the first is 1.
    pub next: u64,
    /// It began with a PDU from outside, not by our messenger's word.
    pub adopted: bool,
    /// How many users of each server take part by the state that holds; each server once, none without a user.
    pub members: Vec<(ServerName, u64)>,
    /// How many delivered PDUs came as history: they stand in the timeline before what was said here, from 0 downwards.
    pub past: u64,
    /// How the conversation is being fetched from a server that takes part, or was.
    pub join: Option<Join>,
}

/// A conversation fetched from a server that takes part: first its state, then its past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Join {
    /// From whom.
    pub via: ServerName,
    /// PDUs of the past that are still wanted.
    pub left: u32,
    /// PDUs that came.
    pub came: u64,
    /// How far it is.
    pub stage: JoinStage,
    /// Why it has failed, or why the server was asked in vain last.
    pub reason: Option<String>,
}

/// How far the fetching of a conversation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinStage {
    /// Its state is asked for.
    State,
    /// Its past is asked for.
    History,
    /// All that was wanted came, or all there is.
    Done,
    /// The server gives nothing: it cannot be reached, or says that we take no part.
    Failed,
}

impl JoinStage {
    /// Whether there is something left to do.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::State | Self::History)
    }

    /// The stage as it is shown, and kept.
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
    /// A conversation nothing has been said in.
    pub fn new(context: ContextId, participants: Vec<ServerName>, adopted: bool) -> Self {
        let (heads, members) = (vec![], vec![]);
        Self { context, participants, heads, depth: 0, next: 1, adopted, members, past: 0, join: None }
    }
}

/// A forward edge of the graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Which PDU.
    pub reference: PduRef,
    /// How deep it lies, computed here.
    pub depth: u64,
    /// The depth that a PDU of ours builds on where it names this one: the one its origin states, where that can be one.
    pub emitted: u64,
}

impl Head {
    /// The edge that a PDU is whose origin states this depth.
    pub fn of(reference: PduRef, depth: u64, stated: Option<u64>) -> Self {
        Self { reference, depth, emitted: stated.filter(|stated| *stated <= DEPTH_BUILT_UPON_MAX).unwrap_or(depth) }
    }
}

/// The greatest depth that others state and that is shown and built upon; larger ones are passed on as they came.
pub const DEPTH_BUILT_UPON_MAX: u64 = (1 << 31) - 1;

/// A PDU on its way to the disk for the first time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPdu {
    /// The PDU.
    pub pdu: Pdu,
    /// Who handed it to us; `None`: our own messenger.
    pub sender: Option<ServerName>,
    /// How it was proved, in the word the messenger is told.
    pub verified: &'static str,
    /// When it came.
    pub received: Millis,
    /// Where it stands.
    pub standing: Standing,
}

/// Where a stored PDU stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Given to the messenger, or come from it.
    Delivered(Delivery),
    /// Waiting for these parents.
    Held(Hold),
    /// It is for other servers only: nothing is kept of it but its name, and so deep it lies.
    Named {
        /// Its depth, computed here.
        depth: u64,
    },
}

/// What a held PDU waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Parents that are not delivered: unknown ones, and held ones.
    pub missing: Vec<PduRef>,
    /// It came with the first batch of a conversation new to us: what cannot be had before it is the edge, and no gap.
    pub edge: bool,
    /// One more than the deepest of its parents that are delivered, 0 where none is: what its own depth is at least.
    pub depth: u64,
    /// It was fetched, and only state rests on it: it is history where what it waits for cannot be had.
    pub for_state: bool,
}

/// A delivery into the timeline, and into the feed unless it is our own messenger's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its place in the conversation's timeline: from 1 on; from 0 downwards what came as history.
    pub position: i64,
    /// Its depth, computed here.
    pub depth: u64,
    /// How the feed shows it; `None`: not at all, it is our own messenger's.
    pub shown: Option<Shown>,
}

impl Delivery {
    /// It comes as history, not as news.
    pub fn is_history(&self) -> bool {
        self.shown.as_ref().is_some_and(|shown| shown.history)
    }
}

/// How the feed shows a delivered PDU.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shown {
    /// Parents given up.
    pub gap: Vec<PduRef>,
    /// It was given up and came after all.
    pub late: bool,
    /// It is history, not news.
    pub history: bool,
    /// It is state, and held its key when this was put into the feed.
    pub current: bool,
    /// It was told before, and is told again because it has come to hold its key.
    pub again: bool,
}

/// A held PDU as read back: what the machine needs of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldPdu {
    /// Which one.
    pub reference: PduRef,
    /// All its parents.
    pub prev: Vec<PduRef>,
    /// What it waits for.
    pub hold: Hold,
    /// When it came.
    pub received: Millis,
    /// Who handed it to us.
    pub sender: Option<ServerName>,
    /// Which piece of state it sets, where it sets one, and what counts of it there.
    pub state: Option<(StateKey, StatePiece)>,
    /// It is for some servers only.
    pub narrowed: bool,
    /// Its depth as its origin states it.
    pub stated: Option<u64>,
    /// Of one that is held for state: a parent of it is delivered, and not as history.
    pub on_news: bool,
}

/// A parent that was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Which one.
    pub missing: PduRef,
    /// The PDUs delivered without it.
    pub children: Vec<PduRef>,
    /// It lies beyond the edge of a conversation we came into later: no gap event was raised.
    pub edge: bool,
}

/// A PDU in the feed, joined with what the store knows of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FedPdu {
    /// Which one.
    pub reference: PduRef,
    /// Its conversation.
    pub context: ContextId,
    /// Its depth, computed here.
    pub depth: u64,
    /// Who handed it to us.
    pub sender: Option<ServerName>,
    /// How it was proved.
    pub verified: String,
    /// How it is shown.
    pub shown: Shown,
    /// The whole PDU as one JSON object.
    pub bytes: Bytes,
}

/// A conversation as messengers and operators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextStatus {
    /// Its row.
    pub record: ContextRecord,
    /// PDUs waiting for parents.
    pub held: u64,
    /// Parents being looked for.
    pub wanted: Vec<PduRef>,
    /// Parents given up.
    pub gaps: Vec<Gap>,
}
