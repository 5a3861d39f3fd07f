//! The limits of actors: plain, validated values. The settings module computes them.

mod peer_groups;
pub mod relay;
pub mod verify;

use std::time::Duration;

use crate::errors::PeerError;
pub use crate::limits::peer_groups::{ContextGroups, PeerGroups};
use crate::limits::relay::RelayLimits;
use crate::limits::verify::VerifyLimits;
use crate::model::{DialectSpec, RequestDeadlines, Seq, ServerName, SuspendReason};

/// The table of a peer's limits: key in the configuration, type, unit in which it is written, default, and `positive` if it
/// must not be 0. It is passed to the macro `$with`: here this makes the fields and defaults of [`PeerLimits`], in the
/// settings the keys, their checks and the effective values.
#[macro_export]
macro_rules! peer_limits {
    ($with:ident) => {
        $with! {
            /// Maximum number of concurrent requests from this peer; further ones are told to wait.
            intake_max: u32 as count = 4, positive;
            /// Maximum number of calls of messengers (RPC) under way, from this peer and to it, each by itself; further ones are refused.
            rpc_max: u32 as count = 16, positive;
            /// Maximum number of connections of this peer, once it has proved its name; requests on further ones are refused.
            connections_max: u32 as count = 64, positive;
            /// Maximum number of durable items accepted in one request (announced to the peer as `window` or
            /// `limits.pdus`); [`u32::MAX`], written 0: only bytes are limited.
            intake_items: u32 as count_or_unbounded = 1000;
            /// Maximum number of durable items sent in one request.
            batch_items: u32 as count = 1000, positive;
            /// Maximum size of the updates in one push, in bytes. A larger submission is refused; one that was queued under a
            /// higher limit is sent alone.
            batch_bytes: u64 as bytes = 1 << 20, positive;
            /// Maximum number of unacknowledged items kept for the peer; further updates to it are refused, and messages are
            /// accepted without this peer.
            outbox_items: u64 as count = 1_000_000, positive;
            /// Maximum size of the unacknowledged items kept for the peer, in bytes; beyond it the same happens.
            outbox_bytes: u64 as bytes = 1 << 30, positive;
            /// Time for which an item waits for the peer before it expires.
            keep: Duration as time = days(30), positive;
            /// Queue time after which the delivery of an item is reported by an event.
            notify_after: Duration as time = seconds(300);
            /// Maximum distance by which a peer may move the numbering; a peer that asks for more is suspended.
            renumber_max: u64 as count = 1_000_000;
            /// Time for which acknowledged items are kept, for a peer that is restored from a backup.
            retain: Duration as time = days(7);
            /// Maximum number of acknowledged items that are kept.
            retain_items: u64 as count = 100_000;
            /// Longest wait that a peer may request.
            wait_max: Duration as time = seconds(3600), positive;
            /// Delay after the first failure; it doubles with each further one.
            backoff_min: Duration as time = seconds(1), positive;
            /// Longest delay between two attempts.
            backoff_max: Duration as time = seconds(3600);
            /// Share by which a delay is moved at random, in either direction: 0.2 is a fifth.
            jitter: f64 as share = 0.2;
            /// Number of failed attempts in a row after which the peer is suspended as unreachable and only probed.
            failures_to_suspend: u32 as count = 20, positive;
            /// Time between probes of a suspended peer.
            probe_every: Duration as time = seconds(3600), positive;
            /// Maximum time to connect.
            connect_timeout: Duration as time = seconds(10), positive;
            /// Maximum time of a whole request, including the response.
            request_timeout: Duration as time = seconds(30), positive;
            /// Maximum number of restarts of the peer's actor in a period; above it the peer is suspended as faulty.
            restarts_max: u32 as count = 5;
            /// Period in which restarts are counted.
            restarts_period: Duration as time = seconds(60), positive;
            /// Maximum number of quarantined items, and the same number of dead letters; the oldest is removed first.
            quarantine_items: u64 as count = 10_000, positive;
            /// Number of failed attempts kept for the traces of their items; 0 keeps none.
            attempts_keep: u32 as count = 20;
            /// Maximum number of ephemeral items kept for the peer; the oldest is dropped first.
            weak_items: u32 as count = 1000;
            /// Lifetime of an ephemeral item, unless it states a shorter one.
            weak_ttl: Duration as time = seconds(30);
            /// Number of PDUs fetched per hour, from any server, for missing parents of this peer's PDUs.
            fetch_items: u64 as count = 20_000;
            /// Size of the PDUs fetched per hour for this peer, in bytes.
            fetch_bytes: u64 as bytes = 64 << 20;
            /// Time spent per hour on fetches for this peer.
            fetch_seconds: Duration as time = seconds(600);
            /// True if outbound items are only queued; inbound items are still accepted.
            paused: bool as switch = false;
            /// Number of the peer's next new strong update, as the operator set it; each value is applied once.
            expect_seq: Option<Seq> as sequence = None;
            /// Meaning of the peer's `seq`.
            numbering: Numbering as numbering = Numbering::Auto;
            /// PDUs of other origins that are accepted from the peer.
            accept_relayed: RelayPolicy as relay_policy = RelayPolicy::Signed;
            /// True if the peer is told what our messenger has acknowledged, and what it tells of our items is believed.
            receipts: bool as switch = false;
            /// Number of items that the peer may send per second; 0: unlimited.
            rate: u32 as count = 0;
            /// Time for which a request over the limits is held before it is accepted, for a peer that treats every refusal as
            /// final.
            hold_max: Duration as time = seconds(25);
        }
    };
}

/// Makes the struct of the table, beside the fields that a peer's profile and dialect imply.
macro_rules! define_peer_limits {
    ($($(#[$doc:meta])* $key:ident: $type:ty as $unit:ident = $default:expr $(, $range:ident)?;)*) => {
        /// The limits of one peer's actor.
        #[derive(Debug, Clone, PartialEq)]
        pub struct PeerLimits {
            /// Place of the server in the configuration.
            pub listing: PeerListing,
            /// Dialect in which the peer is addressed.
            pub dialect: DialectSpec,
            /// True if the peer answers the GETs of the transactions dialect.
            pub fetches: bool,
            /// True if the peer answers calls of messengers (RPC).
            pub answers_calls: bool,
            /// True if the peer passes a narrowed PDU to no other server.
            pub honours_to: bool,
            /// Deviations of the peer's implementation from the protocol text.
            pub habits: InteropQuirks,
            /// True if the peer processes all PDUs of a request at once: a request then holds at most one PDU of each
            /// context.
            pub one_a_context: bool,
            /// True if any status but 200 means that the peer lost the batch: the same batch is then not resent without end.
            pub drops_batch_on_error_status: bool,
            /// True if the peer treats every refusal as final: a request over the limits is then held and answered later
            /// instead of being refused.
            pub never_refuse: bool,
            /// Groups of the peer that are contexts here.
            pub groups: PeerGroups,
            /// Delivery through third servers.
            pub relay: RelayLimits,
            $($(#[$doc])* pub $key: $type,)*
        }

        impl Default for PeerLimits {
            fn default() -> Self {
                Self {
                    listing: PeerListing::Listed,
                    dialect: DialectSpec::UPDATES,
                    fetches: true,
                    answers_calls: true,
                    honours_to: true,
                    habits: InteropQuirks::default(),
                    one_a_context: false,
                    drops_batch_on_error_status: false,
                    never_refuse: false,
                    groups: PeerGroups::default(),
                    relay: RelayLimits::default(),
                    $($key: $default,)*
                }
            }
        }
    };
}

peer_limits!(define_peer_limits);

/// Configuration key of the maximum number of rows on disk for all strangers.
pub const STRANGERS_ROWS_MAX: &str = "federation.strangers.rows_max";

/// The place of a server in the configuration. Nothing is sent to a server that is no peer; pending items are kept until they
/// expire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PeerListing {
    /// It is a peer.
    #[default]
    Listed,
    /// It is a peer because the federation is open, and the configuration does not name it.
    Stranger,
    /// The configuration does not name it.
    NotListed,
    /// `federation.deny` names it.
    Denied,
}

impl PeerListing {
    /// Returns the refusal of everything that concerns the server; `None` if it is a peer.
    pub fn refusal(self, server: &ServerName) -> Option<PeerError> {
        match self {
            Self::Listed | Self::Stranger => None,
            Self::NotListed => Some(PeerError::UnknownPeer(server.clone())),
            Self::Denied => Some(PeerError::Denied(server.clone())),
        }
    }
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn days(days: u64) -> Duration {
    seconds(days * 24 * 60 * 60)
}

impl PeerLimits {
    /// Number of items that may arrive at once under a `rate`: the maximum of one request, or what we would send in one
    /// request if only bytes are limited.
    pub const fn burst(&self) -> u32 {
        if self.intake_items == u32::MAX { self.batch_items } else { self.intake_items }
    }

    /// Returns the cause for which the configuration suspends the peer, if it does.
    pub const fn suspension(&self) -> Option<SuspendReason> {
        match self.listing {
            PeerListing::NotListed => Some(SuspendReason::NotListed),
            PeerListing::Denied => Some(SuspendReason::Denied),
            PeerListing::Listed | PeerListing::Stranger if self.paused => Some(SuspendReason::Admin),
            PeerListing::Listed | PeerListing::Stranger => None,
        }
    }

    /// Returns the delays between attempts.
    pub const fn backoff(&self) -> BackoffLimits {
        BackoffLimits { min: self.backoff_min, max: self.backoff_max, jitter: self.jitter }
    }

    /// Returns the time limits of a request.
    pub const fn deadlines(&self) -> RequestDeadlines {
        RequestDeadlines { connect: self.connect_timeout, total: self.request_timeout }
    }

    /// Returns the restart intensity above which the actor is suspended as faulty.
    pub const fn restarts(&self) -> RestartLimits {
        RestartLimits { max: self.restarts_max, period: self.restarts_period }
    }

    /// Returns the budget for fetches, from any server, that fill gaps opened by this peer's PDUs.
    pub const fn fetch(&self) -> FetchLimits {
        FetchLimits { items: self.fetch_items, bytes: self.fetch_bytes, seconds: self.fetch_seconds }
    }
}

/// Default maximum number of peers in memory; they take about forty megabytes.
pub const PEERS_RESIDENT_MAX: u32 = 10_000;

/// Default time after which a peer without work leaves memory: about as long as a conversation pauses. To load it again takes a
/// few reads of the store.
pub const PEERS_IDLE_AFTER: Duration = Duration::from_secs(30);

/// The thresholds at which the gateway is overloaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OverloadLimits {
    /// Number of unacknowledged feed events from which peers are told to wait.
    pub feed_high: u64,
    /// Number of unacknowledged feed events below which their items are accepted again.
    pub feed_low: u64,
    /// Free bytes on the disk below which nothing is accepted from anybody.
    pub min_free: u64,
}

impl Default for OverloadLimits {
    fn default() -> Self {
        Self { feed_high: 1_000_000, feed_low: 900_000, min_free: 1 << 30 }
    }
}

/// The meaning of a peer's `seq` in the updates dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Numbering {
    /// `seq` counts strong updates until a push shows otherwise; the finding is stored.
    #[default]
    Auto,
    /// `seq` counts strong updates.
    Updates,
    /// `seq` counts pushes, including those without strong updates.
    Pushes,
}

/// The PDUs that are accepted from a peer although they are of another origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RelayPolicy {
    /// None.
    None,
    /// Those with a valid signature of their origin.
    #[default]
    Signed,
    /// All: the word of the peer is enough.
    Any,
}

/// The fetch budget of one peer for one hour. Spent budget is refilled evenly over an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchLimits {
    /// Number of PDUs per hour.
    pub items: u64,
    /// Size of the PDUs per hour, in bytes.
    pub bytes: u64,
    /// Time spent in requests per hour.
    pub seconds: Duration,
}

/// The choices that the dialects leave to an implementation. The core only carries them; the code that writes and reads
/// requests uses them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InteropQuirks {
    /// Order of the elements in pairs that name PDUs, written and read.
    pub pairs: PairOrder,
    /// True if the peer does not percent-decode request targets.
    pub raw_targets: bool,
    /// True if pushes are written in Protobuf.
    pub protobuf: bool,
}

/// The order of the elements in a pair that names a PDU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PairOrder {
    /// `[origin, id]`, as the protocol text shows it and as we store it.
    #[default]
    OriginFirst,
    /// `[id, origin]`, as the servers of 2014 write it.
    IdFirst,
}

/// The limits of one context's actor.
#[derive(Debug, Clone, PartialEq)]
pub struct ContextLimits {
    /// True if a PDU makes its origin a participant; otherwise only participants are accepted.
    pub open: bool,
    /// Maximum number of servers in one context beside us.
    pub participants_max: u32,
    /// Maximum number of contexts that one peer may create here.
    pub adopt_max: u64,
    /// Maximum number of held PDUs; above it the oldest is delivered as if its gap had been given up.
    pub held_max: u32,
    /// Time for which a peer's actor waits for a context to accept its PDUs before they are staged.
    pub arrive_timeout: Duration,
    /// Maximum number of staged PDUs per context and peer; above it the peer is told to retry.
    pub stage_max: u64,
    /// Time for which a context without work stays in memory.
    pub idle: Duration,
    /// Maximum number of concurrent requests to one context.
    pub intake_max: u32,
    /// Maximum number of quarantined PDUs of non-participants per sender; the oldest is removed first.
    pub quarantine_items: u64,
    /// Limits for missing parents.
    pub gap: GapLimits,
    /// Limits for history that is fetched and served.
    pub history: HistoryLimits,
    /// Maximum number of heads; above it the one with the smallest depth is no longer tracked.
    pub heads_max: u32,
    /// PDU type of the merge that an operator orders to join heads.
    pub merge_type: String,
    /// PDU type of the messages that come from groups of peers.
    pub group_type: String,
    /// Servers for which contexts are groups.
    pub groups: ContextGroups,
    /// Limits for state and its links.
    pub state: StateLimits,
    /// PDU types whose state determines the participants.
    pub membership_types: Vec<String>,
    /// PDUs of ours that are signed.
    pub sign: SigningMode,
    /// Restart intensity above which the actor is suspended as faulty.
    pub restarts: RestartLimits,
    /// Limits of comparisons of histories.
    pub verify: VerifyLimits,
}

/// The PDUs of ours that are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SigningMode {
    /// Those of contexts in which a third server may get them from another one than us.
    #[default]
    Relayable,
    /// All.
    Always,
    /// None.
    Never,
}

impl SigningMode {
    /// Returns whether a PDU is signed that is made in a context with this number of participants beside us.
    pub const fn signs(self, others: usize) -> bool {
        match self {
            Self::Relayable => others > 1,
            Self::Always => true,
            Self::Never => false,
        }
    }
}

/// The limits for missing parents: waiting, fetching, giving up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GapLimits {
    /// Time before a missing parent is fetched, because it may arrive by itself.
    pub grace: Duration,
    /// Time after which the children are delivered without it.
    pub give_up: Duration,
    /// Number of attempts at each candidate server.
    pub tries_max: u32,
    /// Maximum number of missing parents that are fetched at the same time.
    pub asks_max: u32,
    /// Maximum number of fetches in a row from parent to parent; parents found by the last of them are fetched, and those
    /// after them are given up.
    pub depth_max: u32,
    /// Maximum number of given-up parents that a context remembers; above it the one given up longest ago is forgotten.
    pub kept_max: u32,
}

/// The limits for history that is fetched and served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryLimits {
    /// Maximum number of PDUs in one `backfill` response, served or requested.
    pub backfill_max: u32,
    /// Maximum number of PDUs in one page of a `pull` response.
    pub pull_max: u32,
    /// Maximum number of history reads per context that wait for responses of other servers.
    pub reads_max: u32,
    /// Time for which the text of a PDU is kept after its delivery; `None`: forever.
    pub keep: Option<Duration>,
}

impl Default for HistoryLimits {
    fn default() -> Self {
        Self { backfill_max: 200, pull_max: 200, reads_max: 256, keep: None }
    }
}

/// The limits for state: missing links and low power levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateLimits {
    /// Maximum length of a chain of `prev_state` links that is fetched; the next link is given up.
    pub chain_max: u32,
    /// True if state of the local messenger is refused when it has less power than what it would replace.
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
            group_type: "m.text".to_owned(),
            groups: ContextGroups::default(),
            state: StateLimits { chain_max: 50, enforce_power: true },
            membership_types: vec!["m.room.member".to_owned()],
            sign: SigningMode::Relayable,
            restarts: RestartLimits { max: 5, period: Duration::from_secs(60) },
            verify: VerifyLimits::default(),
        }
    }
}

/// The growth of the delay between attempts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BackoffLimits {
    /// Delay after the first failure.
    pub min: Duration,
    /// Longest delay between two attempts.
    pub max: Duration,
    /// Share by which a delay is moved at random, in either direction: 0.2 is a fifth.
    pub jitter: f64,
}

/// The restart intensity, as in OTP: a maximum number of restarts within a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestartLimits {
    /// Maximum number of restarts in a period.
    pub max: u32,
    /// Length of the period.
    pub period: Duration,
}
