//! The messages between servers in terms common to both dialects: inbound batches, outbound batches and the responses.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use bytesize::ByteSize;

use crate::model::digest::Digest;
use crate::model::{
    BadPdu, ContextId, CountedNoun, DeadLetterReason, Millis, Pdu, PduRef, PduVerdict, Seq, ServerName, ShortDuration,
    SubmissionId,
};

/// A strong update as it was received.
#[derive(Debug, Clone)]
pub struct StrongUpdate {
    /// JSON text of the update; it is never rewritten.
    pub bytes: Bytes,
    /// Digest that identifies the update.
    pub digest: Digest,
    /// Content of the update, as far as the core parses it.
    pub body: StrongBody,
}

/// The content of a strong update.
#[derive(Debug, Clone)]
pub enum StrongBody {
    /// An update for the messenger; the core does not parse it.
    Plain,
    /// `{"update":"pdu","pdu":{..}}`: a PDU of a context.
    Pdu(Box<Pdu>),
    /// An update of that form whose `pdu` is not a valid PDU.
    BadPdu(BadPdu),
    /// An update that is not a JSON object. It still consumes its sequence number, because resending cannot correct it.
    NotAnObject(&'static str),
}

/// An ephemeral item of the transactions dialect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edu {
    /// Type of the item (`edu_type`).
    pub kind: String,
    /// Content of the item, as received or as it is to be sent.
    pub content: Bytes,
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
    /// Method by which the sender was authenticated.
    pub verified: &'static str,
}

/// The result of an inbound batch, for the caller that sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BatchOutcome {
    /// Result of a push.
    Push(Receipt),
    /// Result of a transaction: one verdict per PDU, in request order.
    Transaction(Vec<PduVerdict>),
}

/// A durable item for a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A strong update as it was submitted.
    Update(Bytes),
    /// A PDU: its identity and its whole JSON text.
    Pdu(PduRef, Bytes),
}

impl Item {
    /// Returns the JSON text of the item.
    pub const fn bytes(&self) -> &Bytes {
        match self {
            Self::Update(bytes) | Self::Pdu(_, bytes) => bytes,
        }
    }
}

/// The identification of an outbound batch: a range of sequence numbers or a transaction id. It also selects the
/// dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchId {
    /// Updates dialect: sequence numbers of the strong updates.
    SeqRange {
        /// Number of the first update; `None` if the peer has not shown that it understands ranges.
        first: Option<Seq>,
        /// Number of the last update; in a batch without strong updates, the last number that was sent.
        last: Seq,
    },
    /// Transactions dialect: transaction id.
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
    /// Method by which the sender was authenticated; the messenger sees this word.
    pub verified: &'static str,
}

/// An outbound batch: one request to a peer.
#[derive(Debug, Clone)]
pub struct OutboundBatch {
    /// Peer that the batch is sent to.
    pub to: ServerName,
    /// Sequence numbers or transaction id of the batch; they also select the dialect.
    pub label: BatchId,
    /// The durable items, in order.
    pub items: Vec<Item>,
    /// Ephemeral items that are sent with the batch, in the peer's dialect: weak updates or EDUs.
    pub weak: Vec<Edu>,
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
    /// The numbers of its updates that are in quarantine, each with its code.
    pub parked: Vec<(Seq, &'static str)>,
}

impl From<Ack> for Receipt {
    fn from(ack: Ack) -> Self {
        Self { ack, parked: Vec::new() }
    }
}

/// An objection of a peer to an item that it accepted with the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemObjection {
    /// The place of the item in the frame.
    pub place: usize,
    /// It refuses the item, or has put it into its quarantine.
    pub fate: DeadLetterReason,
    /// The reason in the peer's words.
    pub reason: String,
}

/// A peer's response to a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushResponse {
    /// Acknowledgement, hole or wait that the response states.
    pub ack: Ack,
    /// Number of strong updates that the peer accepts per push. Its presence shows that the peer understands ranges.
    pub window: Option<u32>,
    /// Items that it took with the others and does not deliver.
    pub refused: Vec<ItemObjection>,
    /// The peer's reason for a wait, if it states one.
    pub reason: Option<String>,
}

/// A push without a usable response. Each variant is handled differently by the sender.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PushFailure {
    /// The connection failed or broke. The item is kept, because an unreachable peer says nothing about the item.
    #[error("unreachable: {0}")]
    Unreachable(String),
    /// A connection existed, but no readable response came: the connection broke, or the bytes are not HTTP. The item
    /// is kept, as for an unreachable peer.
    #[error("no answer: {0}")]
    Broken(String),
    /// No response came within the deadline.
    #[error("no answer within the deadline")]
    TimedOut,
    /// The peer failed (5xx), or it asks for time by status 429 instead of the dialect's `wait`.
    #[error("status {status}: {reason}")]
    Troubled {
        /// HTTP status of the response.
        status: u16,
        /// Start of the response body.
        reason: String,
        /// Value of `Retry-After`, if present.
        retry_after: Option<Duration>,
    },
    /// The peer refuses us or what we send (other 4xx).
    #[error("refused with status {status}: {reason}")]
    Refused {
        /// HTTP status of the response.
        status: u16,
        /// Start of the response body.
        reason: String,
    },
    /// The peer answered 200 with a body that is not a valid response.
    #[error("unreadable answer: {0}")]
    Unreadable(String),
}

/// Error: a call to an actor was refused or has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A limit is reached and nothing was accepted; the caller should retry after `wait`.
    #[error("{limit} is reached ({value})")]
    LimitReached {
        /// The configuration key of the limit.
        limit: &'static str,
        /// Value of the limit.
        value: u64,
        /// Time after which to retry.
        wait: Duration,
    },
    /// The disk is nearly full and nothing was accepted; the caller should retry after `wait`.
    #[error(
        "the disk has {} left ({free} bytes), and store.min_free is {}: nothing is taken until there is room",
        ByteSize(*.free), ByteSize(*.min_free)
    )]
    DiskLow {
        /// Free bytes on the disk.
        free: u64,
        /// Limit that `store.min_free` sets.
        min_free: u64,
        /// Time after which to retry.
        wait: Duration,
    },
    /// The outbox of a peer is full, because the peer has not accepted its items for too long; nothing was accepted.
    #[error(
        "too much waits for {server}: {limit} is the most it may ({key}); come again when it has taken some, or raise the limit"
    )]
    OutboxFull {
        /// Peer whose outbox is full.
        server: ServerName,
        /// The configuration key of the limit.
        key: &'static str,
        /// Value of the limit.
        limit: u64,
    },
    /// The push has more strong updates than the limit allows.
    #[error("a request holds at most {} (peers.intake_items), this one has {count}", CountedNoun((*.max).into(), "item"))]
    PushTooLong {
        /// Number of strong updates in the push.
        count: usize,
        /// Maximum number of strong updates.
        max: u32,
    },
    /// The range does not match the number of updates, or it begins below 1.
    #[error(
        "seq {seq} does not fit {}{}",
        CountedNoun(*.count as u64, "strong update"), .from_seq.map(|n| format!(" from {n}")).unwrap_or_default()
    )]
    Misnumbered {
        /// `from_seq` of the push.
        from_seq: Option<Seq>,
        /// `seq` of the push.
        seq: Seq,
        /// Number of strong updates in the push.
        count: usize,
    },
    /// An operator orders a number far above the one in use, and has not confirmed it.
    #[error(
        "number {number} is {above} above the last one in use with {server}, and renumber_max is {max}: all numbers between are \
         skipped for good; to order it all the same add --yes (\"yes\": true)"
    )]
    NumberFarAbove {
        /// Peer whose numbering is changed.
        server: ServerName,
        /// The number that the operator requested.
        number: Seq,
        /// Distance to the last number in use.
        above: u64,
        /// Value of `renumber_max`.
        max: u64,
    },
    /// A number that no update may have.
    #[error("numbers of updates go from 1 to {}: {number} for the first of {count} is beyond that", Seq::LIMIT.0 - 1)]
    NumberOutOfRange {
        /// The number of the first.
        number: Seq,
        /// Number of items that would be numbered.
        count: u64,
    },
    /// The name does not belong to a configured peer.
    #[error("{0} is not a peer of this server")]
    UnknownPeer(ServerName),
    /// The submission is unknown, or it was not queued for this server.
    #[error("nothing is known of {0} there")]
    UnknownSubmission(SubmissionId),
    /// The context does not exist.
    #[error("there is no context {0}")]
    UnknownContext(ContextId),
    /// A server was named that is not a participant of the context.
    #[error("{server} does not take part in {context}")]
    NotAParticipant {
        /// Server that was named.
        server: ServerName,
        /// Context that it does not participate in.
        context: ContextId,
    },
    /// A message is narrowed to a server that knows nothing of such messages.
    #[error(
        "{server} does not honour \"to\", and would pass the message on: only peers whose profile is \"fernpost\" can be named; \
         leave {server} out, or name all participants"
    )]
    ToNotHonoured {
        /// Server that does not support narrowed messages.
        server: ServerName,
    },
    /// State is narrowed, so that not all who take part would have the same.
    #[error("state cannot be narrowed by \"to\": name all participants of {0}, or none")]
    StateNarrowed(ContextId),
    /// A state message of the local messenger has less power than the current state that it would replace.
    #[error(
        "power_level {own} is below {current}, that of the state it would replace (contexts.state.enforce_power); \
         submit it with {current} or more"
    )]
    PowerTooLow {
        /// Power level of the submitted message.
        own: i64,
        /// Power level of the current state.
        current: i64,
    },
    /// The context would have more participants than allowed.
    #[error(
        "a context has at most {} (contexts.participants_max), these are {count}",
        CountedNoun((*.max).into(), "participant")
    )]
    TooManyParticipants {
        /// Number of participants that the context would have.
        count: usize,
        /// Maximum number of participants.
        max: u32,
    },
    /// The context's actor crashed too often and is suspended as faulty.
    #[error("the context {0} is faulty; see the log, then restart")]
    FaultyContext(ContextId),
    /// The peer's actor crashed too often and is suspended as faulty; an operator must resume it.
    #[error("the state of {0} is faulty; see the log, then resume it")]
    Faulty(ServerName),
    /// The actor stopped while it handled the request, so the request may have been executed. Repeating it is safe.
    #[error("the outcome is unknown; repeat the request")]
    OutcomeUnknown,
    /// The gateway is stopping.
    #[error("the gateway is stopping")]
    Stopping,
}
