//! `[peers.*]` as it is written: the limits of a peer and the link to it.

use std::collections::BTreeMap;

use actors::limits::{BackoffLimits, FetchLimits, Numbering, PEERS_RESIDENT_MAX, PeerLimits, RestartLimits, Speech};
use actors::model::{Deadlines, Seq};
use serde::Deserialize;

use super::check::Check;
use super::peer::{Dialect, Profile};
use super::range::Range;
use super::units::{Size, Span};

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PeersSection {
    /// Peers in memory at once; beyond it those leave that have nothing to do.
    resident_max: u32,
    /// What holds for every peer.
    default: PeerSection,
    /// What holds for peers whose names are like a pattern.
    pattern: BTreeMap<String, PeerSection>,
    /// The peers, by name.
    server: BTreeMap<String, PeerSection>,
}

impl Default for PeersSection {
    fn default() -> Self {
        let (default, pattern, server) = Default::default();
        Self { resident_max: PEERS_RESIDENT_MAX, default, pattern, server }
    }
}

impl PeersSection {
    /// How many peers are in memory at once; the limits of each are read table by table.
    pub(super) fn check(&self, check: &mut Check<'_>) -> u32 {
        check.at_least_one(&["peers"], &[("resident_max", self.resident_max.into())]);
        self.resident_max
    }
}

/// How a caller proves to be the peer. There is no default: a listed name alone must not let anybody in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum AuthKind {
    /// By the network address it comes from.
    Network,
}

/// What a peer's `seq` counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Counts {
    /// Learned from its pushes.
    Auto,
    /// Its strong updates.
    Updates,
    /// Its pushes.
    Pushes,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PeerSection {
    /// Requests of this peer being handled at once; the next is told to wait.
    intake_max: u32,
    /// Durable items (updates, PDUs) taken in one request of this peer; 0: only `federation.body_max` bounds it.
    intake_items: u32,
    /// Durable items in one request to this peer.
    batch_items: u32,
    /// Bytes of updates in one push; a larger update or message is refused to our messenger, and one queued under a higher limit goes alone.
    batch_bytes: Size,
    /// Unacknowledged items kept for the peer; beyond it a submission to it is refused.
    outbox_items: u64,
    /// Bytes of unacknowledged items kept for the peer, in the same way.
    outbox_bytes: Size,
    /// How long an item waits for the peer before it is given up.
    keep: Span,
    /// An item that was queued longer than this is told of when the peer has it.
    notify_after: Span,
    /// A peer that asks for numbers this far above ours is not believed.
    renumber_max: u64,
    /// How long acknowledged items are kept for a peer that comes back older.
    retain: Span,
    /// How many acknowledged items are kept at most.
    retain_items: u64,
    /// The longest wait a peer may ask for.
    wait_max: Span,
    /// The delay after the first failure; it doubles with each further one.
    backoff_min: Span,
    /// The longest delay between attempts.
    backoff_max: Span,
    /// The share by which a delay is moved at random, to either side.
    jitter: f64,
    /// Attempts failed in a row after which the peer counts as unreachable and is only probed.
    failures_to_suspend: u32,
    /// The time between probes of a suspended peer.
    probe_every: Span,
    /// How long connecting may take.
    connect_timeout: Span,
    /// How long a whole request may take, answer included.
    request_timeout: Span,
    /// Restarts of the peer's actor allowed in a period before it is given up as faulty.
    restarts_max: u32,
    /// The period in which restarts are counted.
    restarts_period: Span,
    /// Inbound items kept in quarantine, and as many outbound ones that the peer refused; the oldest goes first.
    quarantine_items: u64,
    /// Failed attempts kept for the trace of what they carried; 0 keeps none.
    attempts_keep: u32,
    /// Ephemeral items kept for the peer; the oldest goes first.
    weak_items: u32,
    /// How long an ephemeral item is worth sending.
    weak_ttl: Span,
    /// PDUs fetched within an hour, from whomever, for parents that are missing to what this peer hands over.
    fetch_items: u64,
    /// Bytes of PDUs fetched so.
    fetch_bytes: Size,
    /// Time spent fetching so.
    fetch_seconds: Span,
    /// Hold what is queued for the peer; what it sends is still taken.
    paused: bool,
    /// The number the peer's next new strong update carries; each value is applied once.
    expect_seq: Option<u64>,
    /// What the peer's `seq` counts: "updates", "pushes", or "auto", which learns it.
    numbering: Counts,
    /// Items (updates, PDUs, EDUs) the peer may bring in a second; 0 is no limit.
    rate: u32,
    /// How long a request is held of a peer that knows no "later", before it is taken all the same.
    hold_max: Span,
    /// What kind of server the peer is: "fernpost", "actor-2016" or "synapse-2014"; sets defaults for the rest.
    pub(super) profile: Profile,
    /// The dialect spoken to the peer.
    pub(super) dialect: Dialect,
    /// URLs of the peer, tried in order.
    pub(super) addresses: Vec<String>,
    /// How the peer proves who it is: "network" by the address it comes from; it has to be set.
    pub(super) auth: Option<AuthKind>,
    /// The ranges the peer calls from; where two peers have the same, neither is believed by its address alone.
    pub(super) allow_from: Vec<Range>,
    /// Allow plain http:// beyond loopback.
    pub(super) insecure: bool,
}

impl Default for PeerSection {
    fn default() -> Self {
        let limits = PeerLimits::default();
        Self {
            intake_max: limits.intake_max,
            intake_items: limits.intake_items,
            batch_items: limits.batch_items,
            batch_bytes: Size(limits.batch_bytes),
            outbox_items: limits.outbox_items,
            outbox_bytes: Size(limits.outbox_bytes),
            keep: Span(limits.keep),
            notify_after: Span(limits.notify_after),
            renumber_max: limits.renumber_max,
            retain: Span(limits.retain),
            retain_items: limits.retain_items,
            wait_max: Span(limits.wait_max),
            backoff_min: Span(limits.backoff.min),
            backoff_max: Span(limits.backoff.max),
            jitter: limits.backoff.jitter,
            failures_to_suspend: limits.failures_to_suspend,
            probe_every: Span(limits.probe_every),
            connect_timeout: Span(limits.deadlines.connect),
            request_timeout: Span(limits.deadlines.total),
            restarts_max: limits.restarts.max,
            restarts_period: Span(limits.restarts.period),
            quarantine_items: limits.quarantine_items,
            attempts_keep: limits.attempts_keep,
            weak_items: limits.weak_items,
            weak_ttl: Span(limits.weak_ttl),
            fetch_items: limits.fetch.items,
            fetch_bytes: Size(limits.fetch.bytes),
            fetch_seconds: Span(limits.fetch.seconds),
            paused: limits.paused,
            numbering: Counts::Auto,
            expect_seq: None,
            rate: limits.rate,
            hold_max: Span(limits.hold_max),
            profile: Profile::Fernpost,
            dialect: Dialect::Updates,
            addresses: Vec::new(),
            auth: None,
            allow_from: Vec::new(),
            insecure: false,
        }
    }
}

impl PeerSection {
    /// The limits, unchecked.
    pub(super) fn limits(&self) -> PeerLimits {
        PeerLimits {
            listed: true,
            intake_max: self.intake_max,
            intake_items: if self.intake_items == 0 { u32::MAX } else { self.intake_items },
            batch_items: self.batch_items,
            one_a_context: self.profile == Profile::Synapse2014,
            batch_bytes: self.batch_bytes.0,
            outbox_items: self.outbox_items,
            outbox_bytes: self.outbox_bytes.0,
            keep: self.keep.0,
            notify_after: self.notify_after.0,
            renumber_max: self.renumber_max,
            loss_on_error: self.profile == Profile::Synapse2014,
            retain: self.retain.0,
            retain_items: self.retain_items,
            wait_max: self.wait_max.0,
            backoff: BackoffLimits { min: self.backoff_min.0, max: self.backoff_max.0, jitter: self.jitter },
            failures_to_suspend: self.failures_to_suspend,
            probe_every: self.probe_every.0,
            deadlines: Deadlines { connect: self.connect_timeout.0, total: self.request_timeout.0 },
            restarts: RestartLimits { max: self.restarts_max, period: self.restarts_period.0 },
            quarantine_items: self.quarantine_items,
            attempts_keep: self.attempts_keep,
            paused: self.paused,
            fetch: FetchLimits { items: self.fetch_items, bytes: self.fetch_bytes.0, seconds: self.fetch_seconds.0 },
            numbering: match self.numbering {
                Counts::Auto => Numbering::Auto,
                Counts::Updates => Numbering::Updates,
                Counts::Pushes => Numbering::Pushes,
            },
            expect_seq: self.expect_seq.map(Seq),
            rate: self.rate,
            hold_max: self.hold_max.0,
            answers_late: self.profile == Profile::Synapse2014,
            weak_items: self.weak_items,
            weak_ttl: self.weak_ttl.0,
            speech: match self.dialect {
                Dialect::Updates => Speech::Updates,
                Dialect::Transactions => Speech::Transactions,
            },
            // A server of the updates dialect as it was first written knows no GETs.
            fetches: self.profile != Profile::Actor2016,
            // Others know nothing of the key, and pass on what they have.
            honours_to: self.profile == Profile::Fernpost,
            habits: self.profile.habits(),
        }
    }
}
