//! What actors keep on disk about themselves, and what they show of it.

use bytes::Bytes;

use super::{ContextId, DeliveredSpan, Digest, Index, Millis, PduRef, Seq, ServerName, SubmissionId, Verdict};

/// Everything durable about one peer: the row of its actor, written whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerRecord {
    /// Whose.
    pub server: ServerName,
    /// Our side of what goes to it.
    pub outbound: OutboundRecord,
    /// Our side of what comes from it.
    pub inbound: InboundRecord,
}

impl PeerRecord {
    /// A peer never heard of: numbers start at 1 in both directions.
    pub fn new(server: ServerName) -> Self {
        Self { server, outbound: OutboundRecord::default(), inbound: InboundRecord::default() }
    }
}

/// The outbound half of a [`PeerRecord`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboundRecord {
    /// Everything up to here the peer has acknowledged.
    pub acked: Index,
    /// How indexes become numbers, oldest first; never empty.
    pub segments: Vec<Segment>,
    /// How many strong updates the peer takes in a push; `None`: it never said, so it gets one at a time, without ranges.
    pub window: Option<u32>,
    /// Whether and until when it is left alone.
    pub rest: Rest,
    /// Attempts failed in a row; only a success out clears them.
    pub failures: u32,
    /// Since when `rest` is what it is.
    pub since: Millis,
    /// The newest transaction id this peer may have seen from us: ids are reserved ahead, and never used twice.
    pub transaction_reserved: u64,
    /// The newest transaction it acknowledged.
    pub transaction_last: Option<u64>,
    /// Bytes ever queued for it, up to `acked`. With the same sum in each row of the outbox this tells what waits without a walk.
    pub acked_bytes: u64,
    /// When the oldest unacknowledged item was queued, where that is known while it is left alone.
    pub oldest: Option<Millis>,
    /// No index up to here is given again, even where the rows that had them have left.
    pub newest: Index,
    /// The messenger was told that the configuration no longer names the peer, and not that it does again.
    pub told_not_listed: bool,
    /// When the peer last took what it was sent; `None`: never.
    pub last_success: Option<Millis>,
    /// The deliveries since the last row of them was written, oldest first: fewer than [`DELIVERED_SPANS_IN_ROW`](super::DELIVERED_SPANS_IN_ROW).
    pub delivered: Vec<DeliveredSpan>,
}

impl Default for OutboundRecord {
    fn default() -> Self {
        Self {
            acked: Index(0),
            segments: vec![Segment { first: Index(1), number: Seq(1) }],
            window: None,
            rest: Rest::Ready,
            failures: 0,
            since: Millis(0),
            transaction_reserved: 0,
            transaction_last: None,
            acked_bytes: 0,
            oldest: None,
            newest: Index(0),
            told_not_listed: false,
            last_success: None,
            delivered: Vec::new(),
        }
    }
}

/// Why an item is among the dead letters of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The peer refuses the item, and would for ever.
    Parked,
    /// The peer could not be reached for as long as it may be kept.
    Expired,
    /// An operator took it out.
    Dropped,
    /// The peer took the request and refused this item of it.
    Refused,
    /// The peer took it and put it into its own quarantine.
    ParkedByPeer,
}

impl Fate {
    /// What the messenger is told. What an operator took out can be put back, like what is parked.
    pub const fn state(self) -> &'static str {
        match self {
            Self::Parked | Self::Dropped | Self::ParkedByPeer => "parked",
            Self::Expired => "expired",
            Self::Refused => "refused",
        }
    }

    /// The kind of its dead letter.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dropped => "dropped",
            Self::ParkedByPeer => "parked_by_peer",
            other => other.state(),
        }
    }

    /// The peer has it under its number: its row stays in the outbox beside the dead letter, or a peer that goes back would not
    /// get it again.
    pub const fn was_taken(self) -> bool {
        matches!(self, Self::Refused | Self::ParkedByPeer)
    }
}

/// A run of outbox indexes numbered one by one: the item at `first` carries `number`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// The first index of the run.
    pub first: Index,
    /// Its number on the wire.
    pub number: Seq,
}

/// Why a peer with work is not being written to; the durable part of its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// It may be written to.
    Ready,
    /// It asked for time; obeyed to the moment, and no failure.
    Waiting {
        /// Not before.
        until: Millis,
    },
    /// We failed to reach it.
    BackingOff {
        /// The next attempt.
        until: Millis,
    },
    /// Left alone until something changes.
    Suspended {
        /// Why.
        cause: Cause,
        /// When it is tried all the same; `None`: never by itself.
        probe_at: Option<Millis>,
    },
}

/// Why a peer is suspended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// An operator said so.
    Admin,
    /// It could not be reached too often in a row.
    Unreachable,
    /// It refuses us.
    Refused,
    /// It holds more of our numbers than we ever gave.
    AheadOfUs,
    /// The configuration no longer names it.
    NotListed,
    /// Its actor failed too often in a short time.
    Faulty,
}

impl Cause {
    /// The reason as `/v1/peers` shows it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
            Self::AheadOfUs => "ahead_of_us",
            Self::NotListed => "not_listed",
            Self::Faulty => "faulty",
        }
    }
}

/// The inbound half of a [`PeerRecord`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboundRecord {
    /// The number the next new strong update must carry.
    pub expected: Seq,
    /// How many updates were ever taken from it; the `n` of the feed's ids. Never goes back.
    pub taken: u64,
    /// It was learned that it numbers its pushes, and not its strong updates.
    pub pushes: bool,
    /// It has stated the range of a push (`from_seq`), and so understands being asked to number anew.
    pub ranges: bool,
    /// The `expect_seq` of the configuration that was applied last: each value is applied once.
    pub expect_applied: Option<Seq>,
    /// How many conversations it has begun here.
    pub begun: u64,
    /// After which of its transactions it is still to be asked what it sent to a disk that was lost.
    pub catch_up: Option<u64>,
    /// Since when it is asked for that; 0: not yet.
    pub catch_up_since: Millis,
    /// After which of its transactions it is still to be asked for some that another one named and that never came.
    pub missed: Option<u64>,
    /// Since when it is asked for these; 0: not yet.
    pub missed_since: Millis,
    /// The restore that was settled with it last, as the store counts them; 0 in a store that was never restored.
    pub restored: u64,
    /// The newest of its updates that went into quarantine, by number, each with its code: the answer to a repeat says it again.
    pub parked: Vec<(Seq, &'static str)>,
}

impl Default for InboundRecord {
    fn default() -> Self {
        Self {
            expected: Seq(1),
            taken: 0,
            pushes: false,
            ranges: false,
            begun: 0,
            expect_applied: None,
            catch_up: None,
            catch_up_since: Millis(0),
            missed: None,
            missed_since: Millis(0),
            restored: 0,
            parked: Vec::new(),
        }
    }
}

/// A transaction a peer sent us, remembered so that a repeat gets the same answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenTransaction {
    /// Its id.
    pub id: String,
    /// Over its `pdus`.
    pub digest: Digest,
    /// What each PDU got.
    pub verdicts: Vec<Verdict>,
}

/// What a messenger submits for servers, one durable unit.
#[derive(Debug, Clone)]
pub struct Submission {
    /// The messenger's id.
    pub id: SubmissionId,
    /// Over the bytes of the request.
    pub digest: Digest,
    /// When it came.
    pub accepted: Millis,
    /// Whom it goes to, in the order given, each once.
    pub servers: Vec<ServerName>,
    /// Whom it was for as well, and for whom nothing could be queued. Only a PDU leaves anybody out.
    pub left_out: Vec<ServerName>,
    /// What it is.
    pub what: Submitted,
}

/// What was submitted.
#[derive(Debug, Clone)]
pub enum Submitted {
    /// Updates, in order; each becomes one item for each server.
    Updates(Vec<Bytes>),
    /// A PDU of this conversation, stored in the same batch; one item for each server.
    Pdu(PduRef, ContextId, Bytes),
}

impl Submitted {
    /// The conversation of a PDU.
    pub const fn context(&self) -> Option<&ContextId> {
        match self {
            Self::Updates(_) => None,
            Self::Pdu(_, context, _) => Some(context),
        }
    }
}

/// A [`Submission`] as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubmissionRecord {
    /// Over the bytes of the request.
    pub digest: Digest,
    /// When it came.
    pub accepted: Millis,
    /// Where its updates stand in each server's outbox: first index, and how many follow one another.
    pub queued: Vec<(ServerName, Index)>,
    /// Of several items: those that an operator queued again, where they stand now.
    pub again: Vec<(ServerName, Index)>,
    /// Servers of whose items an operator dropped at least one.
    pub dropped: Vec<ServerName>,
    /// Servers for which nothing could be queued, and nothing has been since.
    pub left_out: Vec<ServerName>,
    /// How many items it is for each server.
    pub items: u32,
    /// The PDU it became, where it is one.
    pub pdu: Option<PduRef>,
}

impl SubmissionRecord {
    /// Where its items stand in a server's queue, run by run: as they were queued first, then each that was queued again.
    pub fn runs<'a>(&'a self, server: &'a ServerName) -> impl Iterator<Item = (Index, Index)> + 'a {
        let last = |first: Index| Index((first.0 + u64::from(self.items)).saturating_sub(1));
        let queued = self.queued.iter().map(move |(of, first)| (of, *first, last(*first)));
        let again = self.again.iter().map(|(of, place)| (of, *place, *place));
        queued.chain(again).filter(move |(of, ..)| *of == server).map(|(_, first, last)| (first, last))
    }
}

/// The five states a peer can be seen in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerState {
    /// Nothing to do.
    Idle,
    /// A request is on its way.
    Sending,
    /// It asked us to wait.
    Waiting,
    /// We failed, and try again later.
    BackingOff,
    /// Left alone, for a cause.
    Suspended(Cause),
}

impl PeerState {
    /// The state as `/v1/peers` shows it.
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

/// A peer as operators and messengers see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerStatus {
    /// Which peer.
    pub server: ServerName,
    /// What it is doing.
    pub state: PeerState,
    /// Since when.
    pub since: Millis,
    /// Items queued and not acknowledged.
    pub backlog: u64,
    /// The newest acknowledged index; what the trace of a submission is compared with.
    pub acked: Index,
    /// When the oldest unacknowledged item was queued, where it is known without reading the disk.
    pub oldest_unacknowledged: Option<Millis>,
    /// When it will be tried next, where a clock decides that.
    pub next_attempt: Option<Millis>,
    /// When it last took what it was sent; `None`: never.
    pub last_success: Option<Millis>,
    /// Attempts failed in a row.
    pub failures: u32,
    /// What the last failed attempt said.
    pub last_error: Option<String>,
    /// The number the peer's next strong update must carry.
    pub expected_seq: Seq,
    /// The number of our first item that it has not acknowledged, or of the next one queued; none in the transactions dialect.
    pub next_seq: Option<Seq>,
    /// Bytes of the items queued and not acknowledged.
    pub backlog_bytes: u64,
    /// The transaction on its way, or to be sent again as it is: its id, its first item and its last.
    pub open: Option<(u64, Index, Index)>,
}
