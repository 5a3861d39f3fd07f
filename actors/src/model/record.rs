//! Durable records of peers and submissions, and the status views derived from them.

use bytes::Bytes;

use super::{
    ContextId, DeliveredSpan, Digest, FailureCode, Index, Millis, PduRef, PduVerdict, Seq, ServerName, SubmissionId,
};
use crate::word_enum::word_enum;

/// The durable state of one peer: one row, which the peer's actor writes whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerRecord {
    /// Peer that the record belongs to.
    pub server: ServerName,
    /// State of the outbound direction.
    pub outbound: OutboundRecord,
    /// State of the inbound direction.
    pub inbound: InboundRecord,
}

impl PeerRecord {
    /// Returns the record of a peer without history: sequence numbers start at 1 in both directions.
    pub fn new(server: ServerName) -> Self {
        Self { server, outbound: OutboundRecord::default(), inbound: InboundRecord::default() }
    }
}

/// The outbound half of a [`PeerRecord`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboundRecord {
    /// Newest index up to which the peer has acknowledged everything.
    pub acked: Index,
    /// Segments that map indexes to sequence numbers, oldest first; never empty.
    pub segments: Vec<NumberSegment>,
    /// Number of strong updates that the peer accepts per push. `None`: the peer never stated it, so it gets one update
    /// per push, without ranges.
    pub window: Option<u32>,
    /// Delivery state: ready, or paused and until when.
    pub rest: DeliveryState,
    /// Number of failed attempts in a row; only a successful outbound request resets it.
    pub failures: u32,
    /// Time of the last change of the delivery state.
    pub since: Millis,
    /// Highest transaction id that the peer may have seen: ids are reserved ahead and never used twice.
    pub transaction_reserved: u64,
    /// Id of the newest transaction that the peer acknowledged.
    pub transaction_last: Option<u64>,
    /// Sum of the bytes ever queued for the peer, up to `acked`. Each outbox row carries the same running sum, so the
    /// size of the backlog is a subtraction and needs no walk.
    pub acked_bytes: u64,
    /// Time at which the oldest unacknowledged item was queued, if it is known while the peer is paused.
    pub oldest_queued_at: Option<Millis>,
    /// Highest index ever assigned; no index up to it is assigned again, even if its row was removed.
    pub highest_index_assigned: Index,
    /// Cause of the suspension by the configuration that the messenger was told of, and not told since that it has ended.
    pub told_suspension: Option<SuspendReason>,
    /// Time at which the peer last accepted a batch; `None`: never.
    pub last_success: Option<Millis>,
    /// The deliveries since the last row of them was written, oldest first: fewer than
    /// [`DELIVERED_SPANS_IN_ROW`](super::DELIVERED_SPANS_IN_ROW).
    pub delivered: Vec<DeliveredSpan>,
    /// Ranges of items whose fate is known from receipts or because they are dead letters, both ends included.
    pub settled: Vec<(u64, u64)>,
    /// Receipts that wait for the acknowledgement of the peer itself.
    pub held: HeldReceiptRecord,
    /// First number for which a receipt counts.
    pub told_from: Seq,
    /// State of the delivery through third servers.
    pub relay: RelayRecord,
}

/// Receipts of a peer's messenger for items that the peer itself has not acknowledged yet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HeldReceiptRecord {
    /// Ranges of acknowledged items, both ends included.
    pub delivered: Vec<(u64, u64)>,
    /// Refused items.
    pub rejected: Vec<HeldRejection>,
}

/// An item that the peer's messenger refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldRejection {
    /// The item.
    pub index: Index,
    /// Reason as the messenger gave it.
    pub reason: String,
    /// True if the receipt names it by its number.
    pub is_numbered: bool,
}

/// The durable state of the delivery to a peer through third servers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RelayRecord {
    /// First of the failures in a row that show that the peer cannot be reached.
    pub failing_since: Option<Millis>,
    /// Server in use, and the index up to which it was given everything.
    pub via: Option<(ServerName, Index)>,
}

impl Default for OutboundRecord {
    fn default() -> Self {
        Self {
            acked: Index(0),
            segments: vec![NumberSegment { first: Index(1), number: Seq(1) }],
            window: None,
            rest: DeliveryState::Ready,
            failures: 0,
            since: Millis(0),
            transaction_reserved: 0,
            transaction_last: None,
            acked_bytes: 0,
            oldest_queued_at: None,
            highest_index_assigned: Index(0),
            told_suspension: None,
            last_success: None,
            delivered: Vec::new(),
            relay: RelayRecord::default(),
            settled: Vec::new(),
            held: HeldReceiptRecord::default(),
            told_from: Seq(0),
        }
    }
}

word_enum! {
    /// The reason for which an item became a dead letter of a peer; the words are the kinds of dead letters.
    pub enum DeadLetterReason {
        /// The peer refuses the item permanently.
        Parked = "parked",
        /// The peer could not be reached within the `keep` time of the item.
        Expired = "expired",
        /// An operator removed the item from the outbox.
        Dropped = "dropped",
        /// The peer accepted the request and refused this item of it.
        Refused = "refused",
        /// The peer accepted the item and put it into its own quarantine.
        ParkedByPeer = "parked_by_peer",
        /// The peer accepted the item, and its messenger refuses it.
        Rejected = "rejected",
    }
}

impl DeadLetterReason {
    /// Returns the state that a `delivery` event carries. A dropped item is reported as `parked`, because it can be
    /// requeued like one.
    pub const fn state(self) -> &'static str {
        match self {
            Self::Parked | Self::Dropped | Self::ParkedByPeer => "parked",
            Self::Expired => "expired",
            Self::Refused => "refused",
            Self::Rejected => "rejected",
        }
    }

    /// Returns whether the peer has the item under its number. Its row then stays in the outbox beside the dead letter,
    /// because a peer that is restored must receive it again.
    pub const fn was_taken(self) -> bool {
        match self {
            Self::Refused | Self::ParkedByPeer | Self::Rejected => true,
            Self::Parked | Self::Expired | Self::Dropped => false,
        }
    }
}

/// A run of outbox indexes with consecutive numbers: the item at `first` has `number`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NumberSegment {
    /// First index of the run.
    pub first: Index,
    /// Sequence number of the item at `first`.
    pub number: Seq,
}

/// The durable part of the outbound state: whether items may be sent to the peer, and if not, why and until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryState {
    /// Items may be sent to the peer.
    Ready,
    /// The peer asked us to wait. The time is kept exactly, and the wait does not count as a failure.
    Waiting {
        /// Earliest time of the next attempt.
        until: Millis,
    },
    /// An attempt failed, and the next one waits for the back-off.
    BackingOff {
        /// Time of the next attempt.
        until: Millis,
    },
    /// Sending is suspended until something changes.
    Suspended {
        /// Cause of the suspension.
        cause: SuspendReason,
        /// Time of the next probe; `None`: the peer is never probed automatically.
        probe_at: Option<Millis>,
    },
}

word_enum! {
    /// The cause of a suspension; the words are those that `/v1/peers` shows.
    pub enum SuspendReason {
        /// An operator suspended the peer.
        Admin = "admin",
        /// Too many attempts in a row failed because the peer was unreachable.
        Unreachable = "unreachable",
        /// The peer refuses our requests.
        Refused = "refused",
        /// The peer expects a sequence number far above any that we assigned.
        AheadOfUs = "ahead_of_us",
        /// The configuration no longer names the peer.
        NotListed = "not_listed",
        /// The configuration denies the name.
        Denied = "denied",
        /// The peer's actor crashed too often within a short time.
        Faulty = "faulty",
    }
}

/// The inbound half of a [`PeerRecord`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboundRecord {
    /// The number that the next new strong update must have.
    pub expected: Seq,
    /// Number of updates ever accepted from the peer: the `n` in feed ids. It never decreases.
    pub taken: u64,
    /// True if the peer was found to number its pushes instead of its strong updates.
    pub numbers_pushes: bool,
    /// True if the peer has sent `from_seq`, and so understands a request to renumber.
    pub sends_from_seq: bool,
    /// The `expect_seq` of the configuration that was applied last: each value is applied once.
    pub expect_applied: Option<Seq>,
    /// Number of contexts that the peer has created here.
    pub contexts_created: u64,
    /// Transaction id after which the peer must still be asked for what was lost with a restored disk.
    pub catch_up: Option<u64>,
    /// Time of the first pull for that; 0: none yet.
    pub catch_up_since: Millis,
    /// Transaction id after which the peer must still be asked for transactions that `prev_ids` named and that never
    /// arrived.
    pub missed: Option<u64>,
    /// Time of the first pull for these; 0: none yet.
    pub missed_since: Millis,
    /// Number of the store restore that was last reconciled with the peer; 0 if the store was never restored.
    pub restored: u64,
    /// The newest of its updates that were quarantined, by number, each with its code: the answer to a repeat states them
    /// again.
    pub parked: Vec<(Seq, &'static str)>,
    /// Name of the dialect of a stranger, that of its first request; `None` for a listed peer, whose dialect is configured.
    pub dialect: Option<&'static str>,
}

impl Default for InboundRecord {
    fn default() -> Self {
        Self {
            expected: Seq(1),
            taken: 0,
            numbers_pushes: false,
            sends_from_seq: false,
            contexts_created: 0,
            expect_applied: None,
            catch_up: None,
            catch_up_since: Millis(0),
            missed: None,
            missed_since: Millis(0),
            restored: 0,
            parked: Vec::new(),
            dialect: None,
        }
    }
}

/// A transaction that a peer sent, remembered so that a repeat gets the same response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenTransaction {
    /// Id of the transaction.
    pub id: String,
    /// Digest of its `pdus`.
    pub digest: Digest,
    /// Verdict of each PDU.
    pub verdicts: Vec<PduVerdict>,
}

/// A submission of the messenger for one or more servers: one durable unit.
#[derive(Debug, Clone)]
pub struct Submission {
    /// Id that the messenger gave to it.
    pub id: SubmissionId,
    /// Digest of the request body.
    pub digest: Digest,
    /// Time at which the submission was accepted.
    pub accepted: Millis,
    /// Servers that the submission is queued for, in the given order, without duplicates.
    pub servers: Vec<ServerName>,
    /// Servers that it was addressed to but could not be queued for. Only a PDU skips recipients.
    pub left_out: Vec<ServerName>,
    /// True if a delivery event is to report what the recipients' messengers acknowledge.
    pub receipt: bool,
    /// Items that were submitted.
    pub what: SubmittedContent,
}

/// The content of a submission.
#[derive(Debug, Clone)]
pub enum SubmittedContent {
    /// Updates, in order; each becomes one item for each server.
    Updates(Vec<Bytes>),
    /// A PDU of this context, stored in the same batch; one item for each server.
    Pdu(PduRef, ContextId, Bytes),
}

impl SubmittedContent {
    /// Returns the context of the PDU.
    pub const fn context(&self) -> Option<&ContextId> {
        match self {
            Self::Updates(_) => None,
            Self::Pdu(_, context, _) => Some(context),
        }
    }
}

/// The stored record of a [`Submission`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubmissionRecord {
    /// Digest of the request body.
    pub digest: Digest,
    /// Time at which the submission was accepted.
    pub accepted: Millis,
    /// First outbox index of the submission for each server; its items follow one another.
    pub queued: Vec<(ServerName, Index)>,
    /// Current outbox indexes of items that an operator requeued.
    pub requeued: Vec<(ServerName, Index)>,
    /// Servers of whose items an operator dropped at least one.
    pub dropped: Vec<ServerName>,
    /// Servers for which the submission could not be queued and has not been queued since.
    pub left_out: Vec<ServerName>,
    /// Servers without PDUs for which the message has no form.
    pub formless: Vec<ServerName>,
    /// Number of items per server.
    pub items: u32,
    /// PDU that the submission became, if it is a message.
    pub pdu: Option<PduRef>,
}

impl SubmissionRecord {
    /// Returns the index ranges of the submission in a server's outbox: the original range, then each requeued item.
    pub fn runs<'a>(&'a self, server: &'a ServerName) -> impl Iterator<Item = (Index, Index)> + 'a {
        let last = |first: Index| Index((first.0 + u64::from(self.items)).saturating_sub(1));
        let queued = self.queued.iter().map(move |(of, first)| (of, *first, last(*first)));
        let again = self.requeued.iter().map(|(of, place)| (of, *place, *place));
        queued.chain(again).filter(move |(of, ..)| *of == server).map(|(_, first, last)| (first, last))
    }
}

/// The state of a peer as operators see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerState {
    /// There is nothing to send.
    Idle,
    /// A request is in flight.
    Sending,
    /// The peer asked us to wait.
    Waiting,
    /// An attempt failed; the next one is scheduled.
    BackingOff,
    /// Sending is suspended for this cause.
    Suspended(SuspendReason),
}

impl PeerState {
    /// Returns the state as `/v1/peers` shows it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Sending => "sending",
            Self::Waiting => "waiting",
            Self::BackingOff => "backing_off",
            Self::Suspended(_) => "suspended",
        }
    }
}

/// The status of a peer for operators and messengers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerStatus {
    /// Peer that the status is about.
    pub server: ServerName,
    /// State of the peer.
    pub state: PeerState,
    /// Cause for which nothing is asked of the peer: an operator has suspended it, or its actor has crashed too often.
    pub shut: Option<SuspendReason>,
    /// Time of the last state change.
    pub since: Millis,
    /// Number of items that are queued and not acknowledged.
    pub backlog: u64,
    /// Newest acknowledged index; the trace of a submission is compared with it.
    pub acked: Index,
    /// Time at which the oldest unacknowledged item was queued, if it is known without reading the store.
    pub oldest_unacknowledged: Option<Millis>,
    /// Time of the next attempt, if a timer decides it.
    pub next_attempt: Option<Millis>,
    /// Time at which the peer last accepted a batch; `None`: never.
    pub last_success: Option<Millis>,
    /// Number of failed attempts in a row.
    pub failures: u32,
    /// Error of the last failed attempt.
    pub last_error: Option<String>,
    /// Code of that error, if it has one.
    pub last_code: Option<FailureCode>,
    /// The number that the peer's next strong update must have.
    pub expected_seq: Seq,
    /// Number of our first item that the peer has not acknowledged, or of the next one queued; `None` in the transactions
    /// dialect.
    pub next_seq: Option<Seq>,
    /// Size of the items that are queued and not acknowledged, in bytes.
    pub backlog_bytes: u64,
    /// Ranges of items that the peer's messenger has acknowledged, or that are dead letters.
    pub settled: Vec<(u64, u64)>,
    /// Transaction that is in flight or will be resent unchanged: its id, its first and its last index.
    pub open: Option<(u64, Index, Index)>,
    /// Server through which unacknowledged items went, and the index of the newest of them.
    pub relayed: Option<(ServerName, Index)>,
}

/// The queue and the state of a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerQueueSize {
    /// Name of the peer.
    pub server: ServerName,
    /// State, as in the metrics.
    pub state: &'static str,
    /// Number of items that are not acknowledged.
    pub backlog: u64,
    /// Size of these items in bytes.
    pub backlog_bytes: u64,
    /// Newest acknowledged index: the oldest pending item follows it.
    pub acked: Index,
    /// Time at which the oldest pending item was queued, if the actor knows it.
    pub oldest: Option<Millis>,
}
