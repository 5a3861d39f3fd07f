//! Rows as read back from the store, and the snapshots that actors are restored from.

use bytes::Bytes;

use super::{
    AttemptError, BridgedMessage, ContextId, ContextRecord, DeadLetterReason, Digest, Gap, GraphPosition, GroupId,
    HeldPdu, Index, Item, Membership, Millis, MissingPrevState, Pdu, PduDraft, PduRef, PeerRecord, PlainForm,
    SeenTransaction, Seq, ServerName, StateKey, StoredForward, SubmissionId,
};

/// A row of a peer's outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRow {
    /// Index in the outbox.
    pub index: Index,
    /// Time at which the item was queued.
    pub queued: Millis,
    /// Item to be sent.
    pub item: Item,
    /// Context of a PDU.
    pub context: Option<ContextId>,
    /// Id of the submission that the item belongs to.
    pub submission: SubmissionId,
    /// Running sum of the bytes queued for the peer, including this item: the difference of two rows is the size of the
    /// items between them.
    pub queued_bytes: u64,
    /// True if the item was a dead letter and was requeued.
    pub again: bool,
}

/// A dead letter: an item that a peer did not accept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Index that the item had in the outbox.
    pub index: Index,
    /// Reason for which it became a dead letter.
    pub fate: DeadLetterReason,
    /// Reason as text, from the peer or from us.
    pub reason: String,
}

/// A page of transactions that were sent to a peer, with their PDUs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SentPage {
    /// PDUs in the order in which they were sent, each with the id of its transaction.
    pub pdus: Vec<(u64, PduRef, Bytes)>,
    /// Last transaction on this page; `None`: there is none after the requested one.
    pub last: Option<u64>,
    /// True if more transactions follow.
    pub more: bool,
}

/// The snapshot from which a peer's actor is restored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PeerSnapshot {
    /// Record of the peer, if it has one.
    pub record: Option<PeerRecord>,
    /// Newest index of the outbox; 0 if nothing was ever queued.
    pub tail: Index,
    /// Running sum of the bytes queued for the peer, up to that index.
    pub queued_bytes: u64,
    /// Digests of the newest strong updates received from the peer, ascending; the last one belongs to the number
    /// before `record.inbound.expected`.
    pub digests: Vec<Digest>,
    /// Newest transactions received from the peer, oldest first.
    pub seen: Vec<SeenTransaction>,
    /// Reason of the newest failed attempt.
    pub last_error: Option<AttemptError>,
    /// Forwarded updates of the peer that wait for the updates before them, in the order of their numbers.
    pub forwards: Vec<StoredForward>,
}

/// The snapshot from which a context's actor is restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextSnapshot {
    /// Record of the context.
    pub record: ContextRecord,
    /// PDUs that wait for parents, in order of arrival.
    pub held: Vec<HeldPdu>,
    /// Parents that were given up.
    pub gaps: Vec<Gap>,
    /// PDUs that are named as `prev_state` and are not delivered.
    pub links: Vec<MissingPrevState>,
    /// True if the context has unfinished work that no other row shows.
    pub unfinished: bool,
}

/// The status of a PDU, looked up by its identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PduStatus {
    /// The PDU is delivered, or the local messenger submitted it.
    Delivered {
        /// Context of the PDU.
        context: ContextId,
        /// Depth of the PDU as computed here.
        depth: u64,
        /// True if the PDU was delivered as history.
        history: bool,
    },
    /// The PDU waits for its parents.
    Held {
        /// Context of the PDU.
        context: ContextId,
    },
    /// The PDU is claimed by a context that processes it and has not committed it yet.
    Claimed {
        /// Context that holds the claim.
        context: ContextId,
    },
}

impl PduStatus {
    /// Returns the context of the PDU.
    pub const fn context(&self) -> &ContextId {
        match self {
            Self::Delivered { context, .. } | Self::Held { context } | Self::Claimed { context } => context,
        }
    }
}

/// A stored PDU as it is served to others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServedPdu {
    /// Context of the PDU.
    pub context: ContextId,
    /// Depth of the PDU as computed here.
    pub depth: u64,
    /// True if the PDU is delivered; a held PDU is not served to peers.
    pub delivered: bool,
    /// The recipients; `None`: all participants.
    pub to: Option<Vec<ServerName>>,
    /// The whole PDU as one JSON object, without `depth` if its origin stated none.
    pub bytes: Bytes,
}

impl ServedPdu {
    /// Returns whether the PDU may be sent to this server if it participates in the context.
    pub fn is_for(&self, server: &ServerName) -> bool {
        self.delivered && self.to.as_ref().is_none_or(|to| to.contains(server))
    }
}

/// The text from which a membership is read.
#[derive(Debug, Clone, Copy)]
pub enum MembershipSource<'a> {
    /// The whole PDU as one JSON object.
    Pdu(&'a [u8]),
    /// Content of the PDU only.
    Content(&'a [u8]),
}

/// A quarantined PDU of a server that is not a participant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantinedPduRow {
    /// Position in the order of arrival.
    pub place: (u64, u64),
    /// Identity of the PDU.
    pub reference: PduRef,
    /// Peer that sent it.
    pub from: ServerName,
    /// Number of the row in that peer's quarantine.
    pub number: u64,
    /// Method by which it, or its sender, was authenticated; rows of earlier versions do not contain it.
    pub verified: Option<&'static str>,
    /// PDU in the form in which it would be stored.
    pub bytes: Bytes,
    /// True if the copy of its origin is quarantined too: that copy counts, and this one is only removed.
    pub superseded: bool,
}

/// A staged PDU of a context that was too busy when the PDU arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagedPdu {
    /// Number among the staged PDUs of its sender.
    pub number: u64,
    /// Identity of the PDU.
    pub reference: PduRef,
    /// Peer that sent the PDU.
    pub from: ServerName,
    /// Method by which the sender was authenticated.
    pub verified: &'static str,
    /// The PDU as it would be stored.
    pub bytes: Bytes,
}

/// A state PDU that is the current state of its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CurrentState {
    /// Key of the state entry.
    pub key: StateKey,
    /// Identity of the PDU.
    pub reference: PduRef,
    /// Depth of the PDU as computed here.
    pub depth: u64,
    /// Peer that sent it to us; `None`: the local messenger.
    pub sender: Option<ServerName>,
    /// Method by which the PDU was authenticated.
    pub verified: String,
    /// Whole PDU as one JSON object, without `depth` if its origin stated none.
    pub bytes: Bytes,
}

/// Composes PDUs and reads the fields that only a dialect understands. Pure: the same input gives the same text.
pub trait PduText: Send + Sync + 'static {
    /// Composes the draft into a whole PDU, as one JSON object.
    fn compose(&self, us: &ServerName, draft: &PduDraft, berth: &GraphPosition) -> Bytes;

    /// Returns the membership that a PDU states for the user named by its key; `None` if it cannot be understood.
    fn membership(&self, key: &str, text: MembershipSource<'_>) -> Option<Membership>;

    /// Returns the form of a PDU for a peer for which its context is this group.
    fn plain(&self, reference: &PduRef, pdu: &Bytes, to: &ServerName, group: GroupId) -> PlainForm;

    /// Returns the JSON text that says where a message of a group came from.
    fn bridged(&self, from: &ServerName, message: &BridgedMessage) -> Bytes;

    /// Returns the id under which the copies of a PDU that the local messenger did not submit are traced.
    fn copies_id(&self, reference: &PduRef) -> SubmissionId;
    /// Writes an item of ours as a signed forward to this server, with its number in our sequence to it; returns the id and the
    /// text. `None`: it cannot be signed.
    fn forward(&self, _us: &ServerName, _to: &ServerName, _number: Seq, _item: &Item) -> Option<(Box<str>, Bytes)> {
        None
    }

    /// Parses a PDU from its stored form. `None`: it is not a PDU, or it is not valid by the current rules.
    fn read(&self, from: &ServerName, bytes: &Bytes) -> Option<Pdu>;
}
