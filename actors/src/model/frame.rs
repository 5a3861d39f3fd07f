//! What crosses the wire, in the dialects' common words: a push in, a frame out, and what either side answers.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use super::{
    BadPdu, ContextId, Counted, Fate, Lasting, Millis, Pdu, PduRef, Seq, ServerName, Size, SubmissionId, Verdict,
};

/// What identifies an update, for telling a repeat from something else: the first half of a SHA-256.
///
/// Taken by the dialect, over the bytes of a plain update; the core only compares.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 16]);

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..4].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// One strong update as it arrived.
#[derive(Debug, Clone)]
pub struct Strong {
    /// Its JSON text, carried and never rewritten.
    pub bytes: Bytes,
    /// What identifies it.
    pub digest: Digest,
    /// What it is.
    pub body: StrongBody,
}

/// What a strong update is.
#[derive(Debug, Clone)]
pub enum StrongBody {
    /// Something for the messenger, unread.
    Plain,
    /// `{"update":"pdu","pdu":{..}}`: an item of a conversation.
    Pdu(Box<Pdu>),
    /// The same, with something in it that is no sound PDU.
    BadPdu(BadPdu),
    /// Nothing that can be given to a messenger. It still takes its number: resending cannot mend it.
    Unsound(&'static str),
}

/// An ephemeral item of the transactions dialect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edu {
    /// `edu_type`.
    pub kind: String,
    /// Its content, as it came or as it is to go.
    pub content: Bytes,
}

/// A transaction, decoded.
#[derive(Debug, Clone)]
pub struct InboundTransaction {
    /// Its id, from the path.
    pub id: String,
    /// Over its `pdus`: the same id with others is another transaction.
    pub digest: Digest,
    /// The transactions its sender sent us before it.
    pub prev_ids: Vec<String>,
    /// Its PDUs, in order, each alone.
    pub pdus: Vec<Result<Pdu, BadPdu>>,
    /// Its ephemeral items.
    pub edus: Vec<Edu>,
    /// How the sender was proved.
    pub verified: &'static str,
}

/// What a batch got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// A push.
    Push(Receipt),
    /// A transaction: one verdict a PDU, in order.
    Transaction(Vec<Verdict>),
}

/// One durable item for a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A strong update as it was submitted.
    Update(Bytes),
    /// A PDU: its identity and its whole JSON text.
    Pdu(PduRef, Bytes),
}

impl Item {
    /// The bytes of its JSON text.
    pub const fn bytes(&self) -> &Bytes {
        match self {
            Self::Update(bytes) | Self::Pdu(_, bytes) => bytes,
        }
    }
}

/// How a request is numbered, and so in which dialect it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Label {
    /// In the updates dialect: by the numbers of its strong updates.
    Numbers {
        /// The number of the first, where the peer has shown that it understands ranges.
        first: Option<Seq>,
        /// The number of the last; of the last one ever sent where there is none.
        last: Seq,
    },
    /// In the transactions dialect: by an id of its own.
    Transaction {
        /// Its id, decimal on the wire.
        id: u64,
        /// The one sent before it.
        prev: Option<u64>,
        /// When it was made.
        ts: Millis,
    },
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Numbers { first: Some(first), last } if first != last => write!(f, "updates {first} to {last}"),
            Self::Numbers { last, .. } => write!(f, "update {last}"),
            Self::Transaction { id, .. } => write!(f, "transaction {id}"),
        }
    }
}

/// Something to fetch from a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Want {
    /// One PDU.
    Pdu(PduRef),
    /// These PDUs and what lies before them, level by level: so many in all.
    Backfill {
        /// Their conversation.
        context: ContextId,
        /// Those that are missing.
        from: Vec<PduRef>,
        /// How many PDUs at most.
        limit: u32,
    },
    /// The same, because somebody wants to read the past and not because something is missing.
    History {
        /// Their conversation.
        context: ContextId,
        /// Where to begin.
        from: Vec<PduRef>,
        /// How many PDUs at most.
        limit: u32,
    },
    /// The state of a conversation as it is now.
    State(ContextId),
}

impl Want {
    /// The missing PDUs it names.
    pub fn named(&self) -> &[PduRef] {
        match self {
            Self::Pdu(reference) => std::slice::from_ref(reference),
            Self::Backfill { from, .. } => from,
            Self::History { .. } | Self::State(_) => &[],
        }
    }
}

/// A peer's answer when it is asked for the transactions after one of its own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pulled {
    /// What was in them, in their order, each alone.
    pub pdus: Vec<Result<Pdu, BadPdu>>,
    /// The last transaction in it, where it says so.
    pub upto: Option<u64>,
    /// It has more after that one.
    pub more: bool,
}

/// A push of the updates dialect, decoded.
#[derive(Debug, Clone)]
pub struct InboundPush {
    /// The number of the first strong update, where the sender says it.
    pub from_seq: Option<Seq>,
    /// The number of the last strong update; of the last one ever sent where the push has none.
    pub seq: Seq,
    /// The strong updates, in order.
    pub strong: Vec<Strong>,
    /// How many ephemeral updates came with them.
    pub weak: usize,
    /// How the sender was proved, in the word the messenger is told.
    pub verified: &'static str,
}

/// One request to a peer.
#[derive(Debug, Clone)]
pub struct OutFrame {
    /// Whom it goes to.
    pub to: ServerName,
    /// How it is numbered, which is also how it is written: the dialect.
    pub label: Label,
    /// The durable items, in order.
    pub items: Vec<Item>,
    /// Ephemeral items that ride along, in the peer's dialect: weak updates, or EDUs.
    pub weak: Vec<Edu>,
    /// Until when connecting may take, and the whole request.
    pub deadlines: Deadlines,
}

/// How long a request may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// To a connection.
    pub connect: Duration,
    /// From start to the last byte of the answer.
    pub total: Duration,
}

/// The three answers of the updates dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ack {
    /// Everything up to this number is on the receiver's disk.
    Ok(Seq),
    /// Numbers are missing, or (`conflict`) taken by something else.
    Hole {
        /// The number the receiver expects next.
        expected: Seq,
        /// The sender numbered something anew that the receiver holds otherwise.
        conflict: bool,
    },
    /// Not now: come again after this long.
    Wait(Duration),
    /// A transaction was taken.
    Taken,
    /// The same, by a status alone: what the answer says is no JSON, and may be the word of something else than a gateway.
    TakenBlindly,
}

impl fmt::Display for Ack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok(seq) => write!(f, "\"ok\" with number {seq}"),
            Self::Hole { expected, .. } => write!(f, "\"hole_detected\" at number {expected}"),
            Self::Wait(time) => write!(f, "\"wait\" for {}", Lasting(*time)),
            Self::Taken | Self::TakenBlindly => f.write_str("the answer to a transaction"),
        }
    }
}

/// Our answer to a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The answer.
    pub ack: Ack,
    /// The numbers of its updates that are in quarantine, each with its code.
    pub parked: Vec<(Seq, &'static str)>,
}

impl From<Ack> for Receipt {
    fn from(ack: Ack) -> Self {
        Self { ack, parked: Vec::new() }
    }
}

/// What a peer says against an item that it took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Objection {
    /// The place of the item in the frame.
    pub place: usize,
    /// It refuses the item, or has put it into its quarantine.
    pub fate: Fate,
    /// Why, in the peer's words.
    pub reason: String,
}

/// A peer's answer to our push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// What it says.
    pub ack: Ack,
    /// How many strong updates it takes in one push. Its presence says that it understands ranges.
    pub window: Option<u32>,
    /// Items that it took with the others and does not deliver.
    pub refused: Vec<Objection>,
    /// Why it asks for time, in its words, where it says so.
    pub reason: Option<String>,
}

/// Why a push has no usable answer. The variants are what the sender does differently.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PushFailure {
    /// No connection, or it broke: distance, which never costs an item its life.
    #[error("unreachable: {0}")]
    Unreachable(String),
    /// There was a connection, and no answer came over it that can be read: it broke, or what came is not HTTP. Like distance, it
    /// costs no item its life.
    #[error("no answer: {0}")]
    Broken(String),
    /// No answer within the deadline.
    #[error("no answer within the deadline")]
    TimedOut,
    /// The peer is in trouble (5xx) or asks for time without the dialect's words (429).
    #[error("status {status}: {reason}")]
    Troubled {
        /// The HTTP status.
        status: u16,
        /// The start of its body.
        reason: String,
        /// Its `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// The peer refuses us or what we send (other 4xx).
    #[error("refused with status {status}: {reason}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The start of its body.
        reason: String,
    },
    /// It answered 200 with something that is no answer.
    #[error("unreadable answer: {0}")]
    Unreadable(String),
}

/// Why a caller of an actor gets no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A limit is reached; nothing was taken; come again after `wait`.
    #[error("{limit} is reached ({value})")]
    Busy {
        /// The configuration key of the limit.
        limit: &'static str,
        /// Its value.
        value: u64,
        /// When to come again.
        wait: Duration,
    },
    /// The disk is nearly full; nothing was taken; come again after `wait`.
    #[error(
        "the disk has {} left ({free} bytes), and store.min_free is {}: nothing is taken until there is room",
        Size(*.free), Size(*.min_free)
    )]
    DiskLow {
        /// Bytes that are free.
        free: u64,
        /// The limit.
        min_free: u64,
        /// When to come again.
        wait: Duration,
    },
    /// A peer has not taken what was queued for it for too long; nothing was taken.
    #[error(
        "too much waits for {server}: {limit} is the most it may ({key}); come again when it has taken some, or raise the limit"
    )]
    OutboxFull {
        /// Which peer.
        server: ServerName,
        /// The configuration key of the limit.
        key: &'static str,
        /// Its value.
        limit: u64,
    },
    /// More strong updates in one push than we take.
    #[error("a request holds at most {} (peers.intake_items), this one has {count}", Counted((*.max).into(), "item"))]
    PushTooLong {
        /// How many there are.
        count: usize,
        /// How many we take.
        max: u32,
    },
    /// A range that does not fit its own length, or runs below 1.
    #[error(
        "seq {seq} does not fit {}{}",
        Counted(*.count as u64, "strong update"), .from_seq.map(|n| format!(" from {n}")).unwrap_or_default()
    )]
    Misnumbered {
        /// `from_seq` as given.
        from_seq: Option<Seq>,
        /// `seq` as given.
        seq: Seq,
        /// The number of strong updates.
        count: usize,
    },
    /// An operator orders a number far above the one in use, and has not confirmed it.
    #[error(
        "number {number} is {above} above the last one in use with {server}, and renumber_max is {max}: all numbers between are \
         skipped for good; to order it all the same add --yes (\"yes\": true)"
    )]
    NumberFarAbove {
        /// Which peer.
        server: ServerName,
        /// The number.
        number: Seq,
        /// How far above.
        above: u64,
        /// The limit.
        max: u64,
    },
    /// A number that no update may have.
    #[error("numbers of updates go from 1 to {}: {number} for the first of {count} is beyond that", Seq::LIMIT.0 - 1)]
    NumberOutOfRange {
        /// The number of the first.
        number: Seq,
        /// How many there are.
        count: u64,
    },
    /// Not a peer of ours.
    #[error("{0} is not a peer of this server")]
    UnknownPeer(ServerName),
    /// Nothing is known of a submission, or it does not go there.
    #[error("nothing is known of {0} there")]
    UnknownSubmission(SubmissionId),
    /// No such conversation.
    #[error("there is no context {0}")]
    UnknownContext(ContextId),
    /// Somebody who does not take part was named.
    #[error("{server} does not take part in {context}")]
    NotAParticipant {
        /// Who.
        server: ServerName,
        /// In what.
        context: ContextId,
    },
    /// A message is narrowed to a server that knows nothing of such messages.
    #[error(
        "{server} does not honour \"to\", and would pass the message on: only peers whose profile is \"fernpost\" can be named; \
         leave {server} out, or name all participants"
    )]
    ToNotHonoured {
        /// Which one.
        server: ServerName,
    },
    /// State is narrowed, so that not all who take part would have the same.
    #[error("state cannot be narrowed by \"to\": name all participants of {0}, or none")]
    StateNarrowed(ContextId),
    /// A messenger's own state weighs less than what it would replace.
    #[error(
        "power_level {own} is below {current}, that of the state it would replace (contexts.state.enforce_power); \
         submit it with {current} or more"
    )]
    PowerTooLow {
        /// Its own.
        own: i64,
        /// That of the PDU that holds the key.
        current: i64,
    },
    /// More servers than a conversation may have.
    #[error(
        "a context has at most {} (contexts.participants_max), these are {count}",
        Counted((*.max).into(), "participant")
    )]
    TooManyParticipants {
        /// How many there would be.
        count: usize,
        /// The limit.
        max: u32,
    },
    /// The conversation's actor fails whatever it is given.
    #[error("the context {0} is faulty; see the log, then restart")]
    FaultyContext(ContextId),
    /// The actor fails whatever it is given; an operator is needed.
    #[error("the state of {0} is faulty; see the log, then resume it")]
    Faulty(ServerName),
    /// The actor stopped while it held the request: it may or may not have been done. Repeating is safe.
    #[error("the outcome is unknown; repeat the request")]
    OutcomeUnknown,
    /// The gateway is stopping.
    #[error("the gateway is stopping")]
    Stopping,
}
