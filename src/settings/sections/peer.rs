//! `[peers.*]` as written: the limits of a peer and the link to it.

use std::collections::BTreeMap;

use actors::limits::{
    BackoffLimits, DialectKind, FetchLimits, Numbering, PEERS_RESIDENT_MAX, PeerLimits, RestartLimits,
};
use actors::model::{RequestDeadlines, Seq};
use serde::Deserialize;

use crate::settings::check::SettingsCheck;
use crate::settings::values::profile::{DialectName, PeerProfile};
use crate::settings::values::range::AddressRange;
use crate::settings::values::units::{DurationValue, SizeSetting};

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PeersSection {
    /// Maximum number of peers in memory; above it idle ones are evicted.
    resident_max: u32,
    /// Values for every peer.
    default: PeerSection,
    /// Values for peers whose names match a pattern.
    pattern: BTreeMap<String, PeerSection>,
    /// Values for each peer, by name.
    server: BTreeMap<String, PeerSection>,
}

impl Default for PeersSection {
    fn default() -> Self {
        let (default, pattern, server) = Default::default();
        Self { resident_max: PEERS_RESIDENT_MAX, default, pattern, server }
    }
}

impl PeersSection {
    /// Checks and returns the maximum number of peers in memory; the limits of each peer are read separately.
    pub(crate) fn check(&self, check: &mut SettingsCheck<'_>) -> u32 {
        check.at_least_one(&["peers"], &[("resident_max", self.resident_max.into())]);
        self.resident_max
    }
}

/// The authentication of a peer. There is no default: a listed name alone must not admit anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AuthKind {
    /// By the network address of the caller.
    Network,
}

/// The meaning of a peer's `seq`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum NumberingValue {
    /// Detected from its pushes.
    Auto,
    /// `seq` counts strong updates.
    Updates,
    /// `seq` counts pushes.
    Pushes,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PeerSection {
    /// Maximum number of concurrent requests of this peer; further ones are told to wait.
    intake_max: u32,
    /// Durable items (updates, PDUs) taken in one request of this peer; 0: only `federation.body_max` bounds it.
    intake_items: u32,
    /// Durable items in one request to this peer.
    batch_items: u32,
    /// Maximum size of the updates in one push. A larger submission is refused; one that was queued under a higher
    /// limit is sent alone.
    batch_bytes: SizeSetting,
    /// Maximum number of unacknowledged items kept for the peer; further submissions to it are refused.
    outbox_items: u64,
    /// Maximum size of the unacknowledged items kept for the peer; further submissions to it are refused.
    outbox_bytes: SizeSetting,
    /// Time for which an item waits for the peer before it expires.
    keep: DurationValue,
    /// Queue time after which the delivery of an item is reported by an event.
    notify_after: DurationValue,
    /// Maximum distance by which a peer may move the numbering; a peer that asks for more is suspended.
    renumber_max: u64,
    /// Time for which acknowledged items are kept, for a peer that is restored from a backup.
    retain: DurationValue,
    /// Maximum number of acknowledged items that are kept.
    retain_items: u64,
    /// Longest wait that a peer may ask for.
    wait_max: DurationValue,
    /// Delay after the first failure; it doubles with each further one.
    backoff_min: DurationValue,
    /// Longest delay between attempts.
    backoff_max: DurationValue,
    /// Share by which a delay is moved at random, in either direction.
    jitter: f64,
    /// Number of failed attempts in a row after which the peer is suspended as unreachable and only probed.
    failures_to_suspend: u32,
    /// Interval between probes of a suspended peer.
    probe_every: DurationValue,
    /// Maximum time to connect.
    connect_timeout: DurationValue,
    /// Maximum time of a whole request, including the response.
    request_timeout: DurationValue,
    /// Maximum number of restarts of the peer's actor in a period; above it the peer is faulty.
    restarts_max: u32,
    /// Period in which restarts are counted.
    restarts_period: DurationValue,
    /// Maximum number of quarantined items, and the same number of dead letters; the oldest is removed first.
    quarantine_items: u64,
    /// Failed attempts kept for the trace of what they carried; 0 keeps none.
    attempts_keep: u32,
    /// Maximum number of ephemeral items kept for the peer; the oldest is dropped first.
    weak_items: u32,
    /// Lifetime of an ephemeral item.
    weak_ttl: DurationValue,
    /// Number of PDUs fetched per hour, from any server, for missing parents of this peer's PDUs.
    fetch_items: u64,
    /// Size of the PDUs fetched per hour for this peer.
    fetch_bytes: SizeSetting,
    /// Time spent per hour on fetches for this peer.
    fetch_seconds: DurationValue,
    /// If true, outbound items are only queued; inbound items are still accepted.
    paused: bool,
    /// Number of the peer's next new strong update; each value is applied once.
    expect_seq: Option<u64>,
    /// Meaning of the peer's `seq`: "updates", "pushes", or "auto", which detects it.
    numbering: NumberingValue,
    /// Maximum number of items (updates, PDUs, EDUs) per second from the peer; 0 is unlimited.
    rate: u32,
    /// Time for which a request over the limits is held before it is accepted, for a peer that treats every refusal as
    /// final.
    hold_max: DurationValue,
    /// Kind of server: "fernpost", "actor-2016" or "synapse-2014"; it sets defaults for other keys.
    pub(crate) profile: PeerProfile,
    /// Dialect of requests to the peer.
    pub(crate) dialect: DialectName,
    /// URLs of the peer, tried in order.
    pub(crate) addresses: Vec<String>,
    /// Authentication of the peer: "network" by the address it calls from; it must be set.
    pub(crate) auth: Option<AuthKind>,
    /// Ranges that the peer calls from; if two peers share one, its addresses identify neither without a name.
    pub(crate) allow_from: Vec<AddressRange>,
    /// If true, plain http:// is allowed beyond loopback.
    pub(crate) insecure: bool,
}

impl Default for PeerSection {
    fn default() -> Self {
        let limits = PeerLimits::default();
        Self {
            intake_max: limits.intake_max,
            intake_items: limits.intake_items,
            batch_items: limits.batch_items,
            batch_bytes: SizeSetting(limits.batch_bytes),
            outbox_items: limits.outbox_items,
            outbox_bytes: SizeSetting(limits.outbox_bytes),
            keep: DurationValue(limits.keep),
            notify_after: DurationValue(limits.notify_after),
            renumber_max: limits.renumber_max,
            retain: DurationValue(limits.retain),
            retain_items: limits.retain_items,
            wait_max: DurationValue(limits.wait_max),
            backoff_min: DurationValue(limits.backoff.min),
            backoff_max: DurationValue(limits.backoff.max),
            jitter: limits.backoff.jitter,
            failures_to_suspend: limits.failures_to_suspend,
            probe_every: DurationValue(limits.probe_every),
            connect_timeout: DurationValue(limits.deadlines.connect),
            request_timeout: DurationValue(limits.deadlines.total),
            restarts_max: limits.restarts.max,
            restarts_period: DurationValue(limits.restarts.period),
            quarantine_items: limits.quarantine_items,
            attempts_keep: limits.attempts_keep,
            weak_items: limits.weak_items,
            weak_ttl: DurationValue(limits.weak_ttl),
            fetch_items: limits.fetch.items,
            fetch_bytes: SizeSetting(limits.fetch.bytes),
            fetch_seconds: DurationValue(limits.fetch.seconds),
            paused: limits.paused,
            numbering: NumberingValue::Auto,
            expect_seq: None,
            rate: limits.rate,
            hold_max: DurationValue(limits.hold_max),
            profile: PeerProfile::Fernpost,
            dialect: DialectName::Updates,
            addresses: Vec::new(),
            auth: None,
            allow_from: Vec::new(),
            insecure: false,
        }
    }
}

impl PeerSection {
    /// Returns the limits, unchecked.
    pub(crate) fn limits(&self) -> PeerLimits {
        PeerLimits {
            listed: true,
            intake_max: self.intake_max,
            intake_items: if self.intake_items == 0 { u32::MAX } else { self.intake_items },
            batch_items: self.batch_items,
            one_a_context: self.profile == PeerProfile::Synapse2014,
            batch_bytes: self.batch_bytes.0,
            outbox_items: self.outbox_items,
            outbox_bytes: self.outbox_bytes.0,
            keep: self.keep.0,
            notify_after: self.notify_after.0,
            renumber_max: self.renumber_max,
            drops_batch_on_error_status: self.profile == PeerProfile::Synapse2014,
            retain: self.retain.0,
            retain_items: self.retain_items,
            wait_max: self.wait_max.0,
            backoff: BackoffLimits { min: self.backoff_min.0, max: self.backoff_max.0, jitter: self.jitter },
            failures_to_suspend: self.failures_to_suspend,
            probe_every: self.probe_every.0,
            deadlines: RequestDeadlines { connect: self.connect_timeout.0, total: self.request_timeout.0 },
            restarts: RestartLimits { max: self.restarts_max, period: self.restarts_period.0 },
            quarantine_items: self.quarantine_items,
            attempts_keep: self.attempts_keep,
            paused: self.paused,
            fetch: FetchLimits { items: self.fetch_items, bytes: self.fetch_bytes.0, seconds: self.fetch_seconds.0 },
            numbering: match self.numbering {
                NumberingValue::Auto => Numbering::Auto,
                NumberingValue::Updates => Numbering::Updates,
                NumberingValue::Pushes => Numbering::Pushes,
            },
            expect_seq: self.expect_seq.map(Seq),
            rate: self.rate,
            hold_max: self.hold_max.0,
            never_refuse: self.profile == PeerProfile::Synapse2014,
            weak_items: self.weak_items,
            weak_ttl: self.weak_ttl.0,
            speech: match self.dialect {
                DialectName::Updates => DialectKind::Updates,
                DialectName::Transactions => DialectKind::Transactions,
            },
            // A server with the first version of the updates dialect has no GETs.
            fetches: self.profile != PeerProfile::Actor2016,
            // Others know nothing of the key, and pass on what they have.
            honours_to: self.profile == PeerProfile::Fernpost,
            habits: self.profile.habits(),
        }
    }
}
