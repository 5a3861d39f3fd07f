//! What is read back from the store: rows, and what actors start from.

use bytes::Bytes;

use super::{
    Berth, ContextId, ContextRecord, Digest, Draft, Fate, Gap, HeldPdu, Index, Item, Membership, Millis, Pdu, PduRef,
    PeerRecord, SeenTransaction, ServerName, StateKey, StateLink, SubmissionId,
};

/// One row of a peer's outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRow {
    /// Its place.
    pub index: Index,
    /// When it was queued.
    pub queued: Millis,
    /// What it is.
    pub item: Item,
    /// The conversation of a PDU.
    pub context: Option<ContextId>,
    /// What the messenger calls the submission it is a part of.
    pub submission: SubmissionId,
    /// Bytes ever queued for the peer, up to and with this item: the difference of two rows is what lies between.
    pub queued_bytes: u64,
    /// It was among the dead letters, and is queued anew.
    pub again: bool,
}

/// What became of an item that a peer did not simply take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// The place it had in the outbox.
    pub index: Index,
    /// What became of it.
    pub fate: Fate,
    /// Why, in the peer's words or in ours.
    pub reason: String,
}

/// Transactions sent to a peer, and what was in them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SentPage {
    /// The id of the transaction, and a PDU of it, in the order in which they were sent.
    pub pdus: Vec<(u64, PduRef, Bytes)>,
    /// The last transaction on this page; `None`: there is none after the one asked for.
    pub last: Option<u64>,
    /// There are more.
    pub more: bool,
}

/// What a peer's actor starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerLoad {
    /// Its row, where it has one.
    pub record: Option<PeerRecord>,
    /// The newest index of its outbox; 0 where nothing was ever queued.
    pub tail: Index,
    /// Bytes ever queued for it, up to there.
    pub queued_bytes: u64,
    /// The digests of the last strong updates taken from it, ascending, ending below `record.inbound.expected`.
    pub digests: Vec<Digest>,
    /// The transactions taken from it last, oldest first.
    pub seen: Vec<SeenTransaction>,
    /// What the newest failed attempt said.
    pub last_error: Option<String>,
}

/// What a conversation's actor starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextLoad {
    /// Its row.
    pub record: ContextRecord,
    /// PDUs waiting for parents, in the order in which they came.
    pub held: Vec<HeldPdu>,
    /// Parents given up.
    pub gaps: Vec<Gap>,
    /// State PDUs that are named as replaced and were not delivered.
    pub links: Vec<StateLink>,
    /// It has unfinished work that no other row tells of.
    pub unfinished: bool,
}

/// What is known of a PDU by its identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// Delivered, or our own messenger's.
    Delivered {
        /// Its conversation.
        context: ContextId,
        /// Its depth, computed here.
        depth: u64,
        /// It came as history.
        history: bool,
    },
    /// Waiting for its parents.
    Held {
        /// Its conversation.
        context: ContextId,
    },
    /// Claimed by a conversation that has it in hand, and not committed yet.
    Claimed {
        /// Which conversation.
        context: ContextId,
    },
}

impl Known {
    /// The conversation it belongs to.
    pub const fn context(&self) -> &ContextId {
        match self {
            Self::Delivered { context, .. } | Self::Held { context } | Self::Claimed { context } => context,
        }
    }
}

/// A stored PDU as it is served to others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServedPdu {
    /// Its conversation.
    pub context: ContextId,
    /// Its depth, computed here.
    pub depth: u64,
    /// Whether it was delivered; a held one is not shown to others.
    pub delivered: bool,
    /// The servers it is for; `None`: everybody who takes part.
    pub to: Option<Vec<ServerName>>,
    /// The whole PDU as one JSON object; without `depth` where its origin stated none.
    pub bytes: Bytes,
}

impl ServedPdu {
    /// Whether it may be given to this server, where that takes part in its conversation.
    pub fn is_for(&self, server: &ServerName) -> bool {
        self.delivered && self.to.as_ref().is_none_or(|to| to.contains(server))
    }
}

/// Where what a PDU says stands.
#[derive(Debug, Clone, Copy)]
pub enum Spoken<'a> {
    /// The whole PDU as one JSON object.
    Pdu(&'a [u8]),
    /// Its content alone.
    Content(&'a [u8]),
}

/// A PDU of a server that took no part, as it lies in quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StrangersPdu {
    /// Its place in the order of arrival.
    pub place: (u64, u64),
    /// Which one.
    pub reference: PduRef,
    /// Who sent it.
    pub from: ServerName,
    /// Its number in that server's quarantine.
    pub number: u64,
    /// The PDU as it would be stored.
    pub bytes: Bytes,
    /// The copy that its origin sent itself lies there too: that one counts, and this one only leaves.
    pub superseded: bool,
}

/// A PDU in the stage of its conversation, which was too busy to take it when it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagedPdu {
    /// Its number among the staged ones of its sender.
    pub number: u64,
    /// Which one.
    pub reference: PduRef,
    /// Who sent it.
    pub from: ServerName,
    /// How that was proved.
    pub verified: &'static str,
    /// The PDU as it would be stored.
    pub bytes: Bytes,
}

/// A state PDU that holds its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CurrentState {
    /// The key.
    pub key: StateKey,
    /// Which PDU.
    pub reference: PduRef,
    /// Its depth, computed here.
    pub depth: u64,
    /// Who handed it to us; `None`: our own messenger.
    pub sender: Option<ServerName>,
    /// How it was proved.
    pub verified: String,
    /// The whole PDU as one JSON object; without `depth` where its origin stated none.
    pub bytes: Bytes,
}

/// Writes a draft as a PDU, and reads what only a dialect can. Pure: the same draft and place give the same text.
pub trait PduText: Send + Sync + 'static {
    /// The whole PDU as one JSON object.
    fn compose(&self, us: &ServerName, draft: &Draft, berth: &Berth) -> Bytes;

    /// What a PDU says of the membership of the user its key names; `None`: nothing that can be understood.
    fn membership(&self, key: &str, text: Spoken<'_>) -> Option<Membership>;

    /// A PDU from the form in which it is stored. `None`: it is none, or not by today's rules.
    fn read(&self, from: &ServerName, bytes: &Bytes) -> Option<Pdu>;
}
