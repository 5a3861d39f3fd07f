//! The limits of actors: plain, already validated values. Where they come from is the settings' business.

use std::time::Duration;

use crate::model::{Deadlines, Seq};

/// Everything that bounds one peer's actor.
#[derive(Debug, Clone, PartialEq)]
pub struct PeerLimits {
    /// The configuration names it; one that it does not name is not written to, and keeps what waits for it until its time is over.
    pub listed: bool,
    /// How it is written to.
    pub speech: Speech,
    /// It can be asked for PDUs by the GETs of the transactions dialect.
    pub fetches: bool,
    /// It passes what is for some servers only on to nobody else.
    pub honours_to: bool,
    /// What it does in its own way.
    pub habits: Habits,
    /// Requests of this peer being handled at once; the next is told to wait.
    pub intake_max: u32,
    /// Durable items taken in one request (told to the peer as `window` or `limits.pdus`); [`u32::MAX`]: only bytes bound it.
    pub intake_items: u32,
    /// Durable items sent in one request.
    pub batch_items: u32,
    /// It handles all PDUs of a request at once: one request holds at most one PDU of each conversation.
    pub one_a_context: bool,
    /// Bytes of updates in one push; a larger update or message is refused to our messenger, and one queued under a higher limit goes alone.
    pub batch_bytes: u64,
    /// Unacknowledged items kept for the peer; beyond it a submission to it is refused.
    pub outbox_items: u64,
    /// Bytes of unacknowledged items kept for the peer, in the same way.
    pub outbox_bytes: u64,
    /// How long an item waits for the peer before it is given up.
    pub keep: Duration,
    /// An item that was queued longer is told of when the peer has it.
    pub notify_after: Duration,
    /// A peer that asks for numbers this far above ours is not believed.
    pub renumber_max: u64,
    /// Every answer but 200 means that the peer has lost what it was sent: it is not asked for the same for ever.
    pub loss_on_error: bool,
    /// How long acknowledged items are kept for a peer that comes back older.
    pub retain: Duration,
    /// How many acknowledged items are kept at most.
    pub retain_items: u64,
    /// The longest wait a peer may ask for.
    pub wait_max: Duration,
    /// The delays between attempts.
    pub backoff: BackoffLimits,
    /// Attempts failed in a row after which the peer counts as unreachable and is only probed.
    pub failures_to_suspend: u32,
    /// The time between probes of a suspended peer.
    pub probe_every: Duration,
    /// How long a request may take.
    pub deadlines: Deadlines,
    /// How often the actor may crash before it is given up as faulty.
    pub restarts: RestartLimits,
    /// Inbound items kept in quarantine, and as many outbound ones that the peer refused; the oldest goes first.
    pub quarantine_items: u64,
    /// Failed attempts kept for the trace of what they carried; 0 keeps none.
    pub attempts_keep: u32,
    /// Ephemeral items kept for the peer; beyond it the oldest goes.
    pub weak_items: u32,
    /// How long an ephemeral item is worth sending, unless it says less.
    pub weak_ttl: Duration,
    /// Hold what is queued; what the peer sends is still taken.
    pub paused: bool,
    /// The number the peer's next new strong update carries, as the operator knows it; applied once.
    pub expect_seq: Option<Seq>,
    /// What the peer's `seq` counts.
    pub numbering: Numbering,
    /// What may be fetched, from whomever, to fill gaps that this peer's PDUs open.
    pub fetch: FetchLimits,
    /// Items it may bring in a second; 0: as many as come.
    pub rate: u32,
    /// It takes every refusal for good: a request that cannot be taken now is answered later, and not with "later".
    pub answers_late: bool,
    /// How long such a request is held before it is taken all the same.
    pub hold_max: Duration,
}

impl PeerLimits {
    /// Items that may come at once under a `rate`: what one request may bring, or what we would send in one where only bytes bound
    /// that.
    pub const fn burst(&self) -> u32 {
        if self.intake_items == u32::MAX { self.batch_items } else { self.intake_items }
    }
}

/// How many peers are in memory at once, unless the configuration says otherwise: some forty megabytes of them.
pub const PEERS_RESIDENT_MAX: u32 = 10_000;

/// When the gateway is too full to take more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OverloadLimits {
    /// Events not acknowledged at which peers are told to wait.
    pub feed_high: u64,
    /// Fewer than this, and what they send is taken again.
    pub feed_low: u64,
    /// Bytes that stay free on the disk: below it nothing is taken from anybody.
    pub min_free: u64,
}

impl Default for OverloadLimits {
    fn default() -> Self {
        Self { feed_high: 1_000_000, feed_low: 900_000, min_free: 1 << 30 }
    }
}

/// What a peer's `seq` counts in the updates dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Numbering {
    /// Its strong updates, until a push shows otherwise; what was learned is remembered.
    #[default]
    Auto,
    /// Its strong updates.
    Updates,
    /// Its pushes, those without strong updates too.
    Pushes,
}

/// What one peer may cause to be fetched: an hour's worth. Used up, it comes back evenly over the hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchLimits {
    /// PDUs.
    pub items: u64,
    /// Bytes of PDUs.
    pub bytes: u64,
    /// Time spent asking.
    pub seconds: Duration,
}

impl Default for FetchLimits {
    fn default() -> Self {
        Self { items: 20_000, bytes: 64 << 20, seconds: Duration::from_secs(600) }
    }
}

/// How a peer is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speech {
    /// Pushes of weak and strong updates, numbered.
    Updates,
    /// Transactions of PDUs, each with an id.
    Transactions,
}

/// What the dialects leave open and a peer does in its own way. The core carries it; only what writes and reads looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Habits {
    /// How it writes the pairs that name PDUs, and how it reads them.
    pub pairs: PairOrder,
    /// It takes request targets as they stand: what is encoded in them it does not decode.
    pub raw_targets: bool,
}

/// Which comes first in a pair that names a PDU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PairOrder {
    /// `[origin, id]`, as the published text shows it and as we store it.
    #[default]
    OriginFirst,
    /// `[id, origin]`, as the servers of 2014 write it.
    IdFirst,
}

/// Everything that bounds one conversation's actor.
#[derive(Debug, Clone, PartialEq)]
pub struct ContextLimits {
    /// Anybody's PDU makes its origin a participant; otherwise only participants are heard.
    pub open: bool,
    /// Servers in one conversation, beside us.
    pub participants_max: u32,
    /// Conversations one peer may begin here.
    pub adopt_max: u64,
    /// PDUs waiting for parents; beyond it the oldest is delivered as if its gap had been given up.
    pub held_max: u32,
    /// How long a peer's actor waits for a conversation to take its PDUs before they are staged.
    pub arrive_timeout: Duration,
    /// Staged PDUs of one conversation and peer; beyond it the peer is told to come again.
    pub stage_max: u64,
    /// How long a conversation without work stays in memory.
    pub idle: Duration,
    /// Requests of one conversation being handled at once.
    pub intake_max: u32,
    /// PDUs of servers that take no part kept in quarantine, a sender; the oldest goes first.
    pub quarantine_items: u64,
    /// How a missing parent is waited for.
    pub gap: GapLimits,
    /// What is asked for, and served, of the past.
    pub history: HistoryLimits,
    /// Open ends remembered; beyond it the shallowest is forgotten.
    pub heads_max: u32,
    /// The type of what joins open ends at an operator's word.
    pub merge_type: String,
    /// What is done about state.
    pub state: StateLimits,
    /// Types whose state says who takes part.
    pub membership_types: Vec<String>,
    /// How often the actor may crash before it is given up as faulty.
    pub restarts: RestartLimits,
}

/// How a missing parent is waited for, asked for, and given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GapLimits {
    /// It may come by itself: nobody is asked before this.
    pub grace: Duration,
    /// After this the children are delivered without it.
    pub give_up: Duration,
    /// How often each server that may have it is asked.
    pub tries_max: u32,
    /// Missing parents asked for at once.
    pub asks_max: u32,
    /// How far a walk goes back: what so many questions in a row have led to is asked for, and what lies behind it is given up.
    pub depth_max: u32,
    /// Parents given up that a conversation remembers; beyond it the one given up longest ago is forgotten.
    pub kept_max: u32,
}

/// What is asked for, and served, of a conversation's past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryLimits {
    /// PDUs in one answer to `backfill`, and in one question.
    pub backfill_max: u32,
    /// PDUs in one page of an answer to `pull`.
    pub pull_max: u32,
    /// History reads of one conversation that may wait at once for what other servers are asked.
    pub reads_max: u32,
    /// How long the text of a PDU is kept after it was delivered here; `None`: for ever.
    pub keep: Option<Duration>,
}

impl Default for HistoryLimits {
    fn default() -> Self {
        Self { backfill_max: 200, pull_max: 200, reads_max: 256, keep: None }
    }
}

/// What is done about state whose links are missing, and about weak words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateLimits {
    /// How far a chain of state PDUs is followed: so many links are asked for, then the next is given up.
    pub chain_max: u32,
    /// State of our own messenger that weighs less than what it would replace is refused.
    pub enforce_power: bool,
}

impl Default for ContextLimits {
    fn default() -> Self {
        Self {
            open: false,
            participants_max: 1000,
            adopt_max: 10_000,
            held_max: 1000,
            arrive_timeout: Duration::from_secs(1),
            stage_max: 1000,
            idle: Duration::from_secs(600),
            intake_max: 64,
            quarantine_items: 10_000,
            gap: GapLimits {
                grace: Duration::from_millis(750),
                give_up: Duration::from_secs(60),
                tries_max: 8,
                asks_max: 4,
                depth_max: 50,
                kept_max: 10_000,
            },
            history: HistoryLimits::default(),
            heads_max: 2_000,
            merge_type: "fernpost.merge".to_owned(),
            state: StateLimits { chain_max: 50, enforce_power: true },
            membership_types: vec!["m.room.member".to_owned()],
            restarts: RestartLimits { max: 5, period: Duration::from_secs(60) },
        }
    }
}

/// How the delay between attempts grows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BackoffLimits {
    /// After the first failure.
    pub min: Duration,
    /// Never longer.
    pub max: Duration,
    /// The share by which a delay is moved at random, to either side: 0.2 is a fifth.
    pub jitter: f64,
}

/// OTP's restart intensity: so many in such a period, then no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestartLimits {
    /// Restarts allowed in a period.
    pub max: u32,
    /// The period.
    pub period: Duration,
}

impl Default for PeerLimits {
    fn default() -> Self {
        const DAY: u64 = 24 * 60 * 60;
        Self {
            listed: true,
            speech: Speech::Updates,
            fetches: true,
            honours_to: true,
            habits: Habits::default(),
            intake_max: 4,
            intake_items: 1000,
            batch_items: 100,
            one_a_context: false,
            batch_bytes: 1 << 20,
            outbox_items: 1_000_000,
            outbox_bytes: 1 << 30,
            keep: Duration::from_secs(30 * DAY),
            notify_after: Duration::from_secs(300),
            renumber_max: 1_000_000,
            loss_on_error: false,
            retain: Duration::from_secs(7 * DAY),
            retain_items: 100_000,
            wait_max: Duration::from_secs(3600),
            backoff: BackoffLimits { min: Duration::from_secs(1), max: Duration::from_secs(3600), jitter: 0.2 },
            failures_to_suspend: 20,
            probe_every: Duration::from_secs(3600),
            deadlines: Deadlines { connect: Duration::from_secs(10), total: Duration::from_secs(30) },
            restarts: RestartLimits { max: 5, period: Duration::from_secs(60) },
            quarantine_items: 10_000,
            attempts_keep: 20,
            weak_items: 1000,
            weak_ttl: Duration::from_secs(30),
            paused: false,
            numbering: Numbering::Auto,
            fetch: FetchLimits::default(),
            expect_seq: None,
            rate: 0,
            answers_late: false,
            hold_max: Duration::from_secs(25),
        }
    }
}
