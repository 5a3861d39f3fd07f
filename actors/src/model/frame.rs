//! The messages between servers in terms common to both dialects: inbound batches, outbound batches and the responses.

pub(super) mod receipts;

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use crate::model::dialect::DialectSpec;
use crate::model::digest::Digest;
use crate::model::frame::forward::ForwardRoute;
use crate::model::frame::strong::StrongUpdate;
use crate::model::{
    BadPdu, ContextId, DeadLetterReason, Millis, Pdu, PduRef, PduVerdict, PeerReceipts, Seq, ServerName, ShortDuration,
    SubmissionId,
};

/// An ephemeral item of the transactions dialect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edu {
    /// Type of the item (`edu_type`).
    pub kind: String,
    /// Content of the item, as received or as it is to be sent.
    pub content: Bytes,
}

/// An ephemeral item of a peer, for the messenger if it listens now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InboundEphemeral {
    /// A weak update of the updates dialect, as received.
    Update(Bytes),
    /// An ephemeral item of the transactions dialect.
    Edu(Edu),
}

/// A decoded transaction of a peer.
#[derive(Debug, Clone)]
pub struct InboundTransaction {
    /// Id of the transaction, from the request path.
    pub id: String,
    /// Digest of its `pdus`: the same id with other PDUs is another transaction.
    pub digest: Digest,
    /// Ids of the transactions that the sender sent to us before this one.
    pub prev_ids: Vec<String>,
    /// PDUs in request order; each is valid or bad independently of the others.
    pub pdus: Vec<Result<Pdu, BadPdu>>,
    /// Ephemeral items of the transaction.
    pub edus: Vec<Edu>,
    /// Servers to which the sender's own PDUs are passed on.
    pub relay_to: Vec<ServerName>,
    /// Receipts for items of ours.
    pub receipts: PeerReceipts,
    /// Method by which the sender was authenticated.
    pub verified: &'static str,
    /// Nonce of the request's signature, if it has one; it is stored in the commit of the batch.
    pub nonce: Option<UsedNonce>,
}

/// The nonce of a signature, which its key must not use again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsedNonce {
    /// Name of the key: `<server>/<key id>`.
    pub key: Box<str>,
    /// The nonce.
    pub nonce: Box<str>,
    /// Time from which the signature is too old, so that the nonce need not be remembered.
    pub until: Millis,
}

/// A durable item for a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A strong update as it was submitted.
    Update(Bytes),
    /// A PDU: its identity and its whole JSON text.
    Pdu(PduRef, Bytes),
    /// An update that the peer passes on, or is to take as one of its origin.
    Forward(ForwardRoute, Bytes),
}

impl Item {
    /// Returns the way of an item that the peer passes on; `None`: it is for the peer itself.
    pub const fn route(&self) -> Option<&ForwardRoute> {
        match self {
            Self::Forward(route, _) => Some(route),
            Self::Update(_) | Self::Pdu(..) => None,
        }
    }

    /// Returns the JSON text of the item.
    pub const fn bytes(&self) -> &Bytes {
        match self {
            Self::Update(bytes) | Self::Pdu(_, bytes) | Self::Forward(_, bytes) => bytes,
        }
    }
}

/// The identification of an outbound batch: a range of sequence numbers or a transaction id, as the numbering of the dialect
/// decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchId {
    /// Numbering by [`Sequence`](crate::model::NumberingScheme::Sequence): the numbers of the strong updates.
    SeqRange {
        /// Number of the first update; `None` if the peer has not shown that it understands ranges.
        first: Option<Seq>,
        /// Number of the last update; in a batch without strong updates, the last number that was sent.
        last: Seq,
    },
    /// Numbering by [`TransactionIds`](crate::model::NumberingScheme::TransactionIds): the id of the transaction.
    Transaction {
        /// Id of the transaction; it is written in decimal.
        id: u64,
        /// Id of the transaction that was sent before it.
        prev: Option<u64>,
        /// Time at which the transaction was created.
        ts: Millis,
    },
}

impl fmt::Display for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SeqRange { first: Some(first), last } if first != last => write!(f, "updates {first} to {last}"),
            Self::SeqRange { last, .. } => write!(f, "update {last}"),
            Self::Transaction { id, .. } => write!(f, "transaction {id}"),
        }
    }
}

/// A fetch request to a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchRequest {
    /// Fetches one PDU by its identity.
    Pdu(PduRef),
    /// Fetches these PDUs and their ancestors, level by level, up to a limit.
    Backfill {
        /// Context of the PDUs.
        context: ContextId,
        /// Missing PDUs to begin with.
        from: Vec<PduRef>,
        /// Maximum number of PDUs in the response.
        limit: u32,
    },
    /// Fetches like `Backfill`, but for a reader of history and not because parents are missing.
    History {
        /// Context of the PDUs.
        context: ContextId,
        /// PDUs to begin with.
        from: Vec<PduRef>,
        /// Maximum number of PDUs in the response.
        limit: u32,
    },
    /// Fetches the current state of a context.
    State(ContextId),
}

impl FetchRequest {
    /// Returns the missing PDUs that the request names.
    pub fn named(&self) -> &[PduRef] {
        match self {
            Self::Pdu(reference) => std::slice::from_ref(reference),
            Self::Backfill { from, .. } => from,
            Self::History { .. } | Self::State(_) => &[],
        }
    }
}

/// A peer's response to a `pull`: the PDUs of its transactions after a given one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PullResponse {
    /// PDUs of these transactions, in order; each is valid or bad independently of the others.
    pub pdus: Vec<Result<Pdu, BadPdu>>,
    /// Id of the last transaction in the response, if the peer states it.
    pub upto: Option<u64>,
    /// True if the peer has more transactions after that one.
    pub more: bool,
}

/// A decoded push of the updates dialect.
#[derive(Debug, Clone)]
pub struct InboundPush {
    /// Number of the first strong update, if the sender states it.
    pub from_seq: Option<Seq>,
    /// Number of the last strong update; in a push without strong updates, the last number that was sent.
    pub seq: Seq,
    /// The strong updates, in order.
    pub strong: Vec<StrongUpdate>,
    /// Number of ephemeral updates in the push.
    pub weak: usize,
    /// The last of these updates, as received; each is a JSON object.
    pub ephemeral: Vec<Bytes>,
    /// Receipts for items of ours.
    pub receipts: PeerReceipts,
    /// Method by which the sender was authenticated; the messenger sees this word.
    pub verified: &'static str,
    /// Nonce of the request's signature, if it has one; it is stored in the commit of the batch.
    pub nonce: Option<UsedNonce>,
}

/// The origin of an item in an outbound batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemTrace {
    /// Submission that the item belongs to.
    pub submission: SubmissionId,
    /// Context of a PDU.
    pub context: Option<ContextId>,
    /// Time at which the item was queued.
    pub queued: Millis,
}

/// An outbound batch: one request to a peer.
#[derive(Debug, Clone)]
pub struct OutboundBatch {
    /// Peer that the batch is sent to.
    pub to: ServerName,
    /// Dialect in which the batch is written.
    pub dialect: DialectSpec,
    /// Sequence numbers or transaction id of the batch.
    pub label: BatchId,
    /// The durable items, in order.
    pub items: Vec<Item>,
    /// Origin of each item, in the same order, for logs and metrics; nothing of it is sent.
    pub traces: Vec<ItemTrace>,
    /// Ephemeral items that are sent with the batch, in the peer's dialect: weak updates or EDUs.
    pub weak: Vec<Edu>,
    /// Receipts for items of the peer.
    pub receipts: PeerReceipts,
    /// Deadlines for the connection and for the whole request.
    pub deadlines: RequestDeadlines,
}

/// The time limits of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestDeadlines {
    /// Time limit for establishing a connection.
    pub connect: Duration,
    /// Time limit from the start to the last byte of the response.
    pub total: Duration,
}

/// The response of a peer to a batch: three answers of the updates dialect, two of the transactions dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ack {
    /// The receiver has stored everything up to this number on disk.
    Ok(Seq),
    /// Numbers are missing, or (`conflict`) are already used for other updates.
    Hole {
        /// The number the receiver expects next.
        expected: Seq,
        /// True if the sender reused numbers for updates that differ from those the receiver holds.
        conflict: bool,
    },
    /// The receiver asks the sender to retry after this time.
    Wait(Duration),
    /// The receiver accepted a transaction.
    Taken,
    /// The receiver accepted a transaction by its status alone: the body is not JSON and may come from something other
    /// than a gateway, such as a proxy.
    AcceptedUnparsedBody,
}

impl fmt::Display for Ack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok(seq) => write!(f, "\"ok\" with number {seq}"),
            Self::Hole { expected, .. } => write!(f, "\"hole_detected\" at number {expected}"),
            Self::Wait(time) => write!(f, "\"wait\" for {}", ShortDuration(*time)),
            Self::Taken | Self::AcceptedUnparsedBody => f.write_str("the answer to a transaction"),
        }
    }
}

/// Our answer to a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The acknowledgement that is sent to the peer.
    pub ack: Ack,
    /// Numbers of its updates that are in quarantine, each with its code.
    pub parked: Vec<(Seq, &'static str)>,
    /// Receipts for items of the peer.
    pub receipts: PeerReceipts,
    /// Novelty of the updates, which decides whether the answer may carry receipts.
    pub novelty: PushNovelty,
}

/// Novelty of the updates of a push that was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PushNovelty {
    /// All of its updates: the peer has read the answer to the push before, and repeats this one unless it reads its answer.
    New,
    /// Some of its updates came before. Its first one has this number.
    Repeated(Seq),
    /// It has no updates, or the answer does not go to their sender: nothing shows whether the peer has read it.
    Empty,
}

/// Our answer to a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionReceipt {
    /// One verdict per PDU, in request order.
    pub verdicts: Vec<PduVerdict>,
    /// Receipts for items of the peer.
    pub receipts: PeerReceipts,
    /// Id of the transaction.
    pub id: Box<str>,
    /// Ids that the transaction names as those before it. `None`: it came before, so that its answer carries no receipts.
    pub new_after: Option<Vec<String>>,
}

impl From<Ack> for Receipt {
    fn from(ack: Ack) -> Self {
        Self { ack, parked: Vec::new(), receipts: PeerReceipts::NONE, novelty: PushNovelty::Empty }
    }
}

/// An objection of a peer to an item that it accepted with the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemObjection {
    /// Index of the item in the batch.
    pub place: usize,
    /// Kind of the objection: the peer refuses the item, or has quarantined it.
    pub fate: DeadLetterReason,
    /// Reason as the peer states it.
    pub reason: String,
}

/// A peer's response to a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushResponse {
    /// Acknowledgement, hole or wait that the response states.
    pub ack: Ack,
    /// Number of strong updates that the peer accepts per push. Its presence shows that the peer understands ranges.
    pub window: Option<u32>,
    /// Items that the peer accepted with the others and does not deliver.
    pub refused: Vec<ItemObjection>,
    /// Receipts for items of ours.
    pub receipts: PeerReceipts,
    /// The peer's reason for a wait, if it states one.
    pub reason: Option<String>,
}

pub(crate) mod forward;
pub(crate) mod strong;
