//! `[contexts]`: the limits of every context.

pub(crate) mod verify;

use std::time::Duration;

use actors::limits::{ContextGroups, ContextLimits, GapLimits, HistoryLimits, RestartLimits, SigningMode, StateLimits};
use serde::Deserialize;

use crate::settings::check::SettingsCheck;
use crate::settings::sections::contexts::verify::VerifySection;
use crate::settings::values::units::{DurationValue, RetentionValue};

/// The servers whose PDUs a context accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AdmissionMode {
    /// Participants only.
    Participants,
    /// Any server; the origin of a PDU becomes a participant.
    Open,
}

/// The PDUs of ours that are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SignValue {
    /// Those of contexts with three servers or more.
    Relayable,
    /// All.
    Always,
    /// None.
    Never,
}

impl SignValue {
    const fn write(mode: SigningMode) -> Self {
        match mode {
            SigningMode::Relayable => Self::Relayable,
            SigningMode::Always => Self::Always,
            SigningMode::Never => Self::Never,
        }
    }

    const fn read(self) -> SigningMode {
        match self {
            Self::Relayable => SigningMode::Relayable,
            Self::Always => SigningMode::Always,
            Self::Never => SigningMode::Never,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ContextsSection {
    /// Accepted PDUs: "participants", or "open", which adds their origins.
    admission: AdmissionMode,
    /// Signed PDUs of ours: "relayable" are those of contexts with three servers or more.
    sign: SignValue,
    /// Maximum number of servers in one context.
    participants_max: u32,
    /// Maximum number of contexts that one peer may create here.
    adopt_max: u64,
    /// Maximum number of held PDUs; above it the oldest is delivered with a gap.
    held_max: u32,
    /// Maximum number of heads; above it the one with the smallest depth is no longer tracked.
    heads_max: u32,
    /// Type of the empty messages that join heads when an operator orders a merge.
    merge_type: String,
    /// Type of the messages that come from groups of peers.
    group_type: String,
    /// Maximum time that a peer's request waits for a busy context before its PDUs are staged.
    arrive_timeout: DurationValue,
    /// Maximum number of PDUs of one peer staged for one busy context; above it the peer is told to retry.
    stage_max: u64,
    /// Time for which a context without work stays in memory.
    idle: DurationValue,
    /// Maximum number of concurrent requests to one context.
    intake_max: u32,
    /// Maximum number of restarts of a context's actor in a period; above it the context is faulty.
    restarts_max: u32,
    /// Period in which restarts are counted.
    restarts_period: DurationValue,
    /// Maximum number of quarantined PDUs of non-participants per sender; the oldest is removed first.
    quarantine_items: u64,
    /// Missing parents.
    pub(crate) gap: GapSection,
    /// History.
    pub(crate) history: HistorySection,
    /// State.
    pub(crate) state: StateSection,
    /// Membership.
    pub(crate) membership: MembershipSection,
    /// Comparisons of histories.
    verify: VerifySection,
}

/// Limits for history that is fetched and served.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct HistorySection {
    /// Maximum number of PDUs in one `backfill` response, served or requested.
    backfill_max: u32,
    /// Maximum number of PDUs in one page of a `pull` response.
    pull_max: u32,
    /// Maximum number of history reads per context that wait for other servers; further ones are told to retry.
    reads_max: u32,
    /// Time for which the text of a PDU is kept after its delivery: "forever", or a duration.
    keep: RetentionValue,
}

/// Shortest `keep`: the retention job runs every ten minutes, and PDUs must outlive a slow reader.
const KEEP_MIN: Duration = Duration::from_secs(60 * 60);

/// Limits for missing parents: waiting, fetching, giving up.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct GapSection {
    /// Time before a missing parent is fetched, because it may arrive by itself.
    grace: DurationValue,
    /// Time after which its children are delivered without it.
    give_up: DurationValue,
    /// Number of attempts at each candidate server.
    tries_max: u32,
    /// Maximum number of missing parents of one context that are fetched at the same time.
    asks_max: u32,
    /// Maximum number of fetches in a row from parent to parent; then the next parent is given up.
    depth_max: u32,
    /// Maximum number of gaps that a context remembers; above it the oldest one is forgotten.
    kept_max: u32,
}

/// Limits for state: missing links, and power levels.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct StateSection {
    /// Maximum length of a chain of `prev_state` links that is fetched; the next link is given up.
    chain_max: u32,
    /// If true, state of the local messenger is refused if its power_level is below that of the state it would replace.
    enforce_power: bool,
}

/// Types of state that determine the participants.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct MembershipSection {
    /// Types whose state_key names a user and whose content.membership says whether the user is joined.
    types: Vec<String>,
}

impl Default for StateSection {
    fn default() -> Self {
        let StateLimits { chain_max, enforce_power } = ContextLimits::default().state;
        Self { chain_max, enforce_power }
    }
}

impl Default for MembershipSection {
    fn default() -> Self {
        Self { types: ContextLimits::default().membership_types }
    }
}

impl Default for ContextsSection {
    fn default() -> Self {
        let limits = ContextLimits::default();
        Self {
            admission: if limits.open { AdmissionMode::Open } else { AdmissionMode::Participants },
            sign: SignValue::write(limits.sign),
            participants_max: limits.participants_max,
            adopt_max: limits.adopt_max,
            held_max: limits.held_max,
            heads_max: limits.heads_max,
            merge_type: limits.merge_type,
            group_type: limits.group_type,
            arrive_timeout: DurationValue(limits.arrive_timeout),
            stage_max: limits.stage_max,
            idle: DurationValue(limits.idle),
            intake_max: limits.intake_max,
            restarts_max: limits.restarts.max,
            restarts_period: DurationValue(limits.restarts.period),
            quarantine_items: limits.quarantine_items,
            gap: GapSection::default(),
            history: HistorySection::default(),
            state: StateSection::default(),
            membership: MembershipSection::default(),
            verify: VerifySection::default(),
        }
    }
}

impl Default for GapSection {
    fn default() -> Self {
        let GapLimits { grace, give_up, tries_max, asks_max, depth_max, kept_max } = ContextLimits::default().gap;
        Self { grace: DurationValue(grace), give_up: DurationValue(give_up), tries_max, asks_max, depth_max, kept_max }
    }
}

impl Default for HistorySection {
    fn default() -> Self {
        let HistoryLimits { backfill_max, pull_max, reads_max, keep } = HistoryLimits::default();
        Self { backfill_max, pull_max, reads_max, keep: RetentionValue(keep) }
    }
}

impl ContextsSection {
    pub(crate) fn check(&self, check: &mut SettingsCheck<'_>) -> ContextLimits {
        check.at_least_one(
            &["contexts"],
            &[
                ("participants_max", self.participants_max.into()),
                ("held_max", self.held_max.into()),
                ("heads_max", self.heads_max.into()),
                ("intake_max", self.intake_max.into()),
                ("stage_max", self.stage_max),
            ],
        );
        let gap = [("tries_max", self.gap.tries_max.into()), ("asks_max", self.gap.asks_max.into())];
        check.at_least_one(&["contexts", "gap"], &gap);
        let history = [
            ("backfill_max", self.history.backfill_max.into()),
            ("pull_max", self.history.pull_max.into()),
            ("reads_max", self.history.reads_max.into()),
        ];
        check.at_least_one(&["contexts", "history"], &history);
        if self.history.keep.0.is_some_and(|keep| keep < KEEP_MIN) {
            check.invalid(&["contexts", "history", "keep"], "must be \"forever\" or at least \"1h\"");
        }
        if self.gap.grace.0 > self.gap.give_up.0 {
            check.invalid(&["contexts", "gap", "grace"], "must not be longer than contexts.gap.give_up");
        }
        for (key, kind) in [("merge_type", &self.merge_type), ("group_type", &self.group_type)] {
            if kind.is_empty() || kind.len() > 255 {
                check.invalid(&["contexts", key], "a type is a text of 1 to 255 bytes");
            }
        }
        if self.membership.types.iter().any(String::is_empty) {
            check.invalid(&["contexts", "membership", "types"], "a type is a text that is not empty");
        }
        let StateSection { chain_max, enforce_power } = self.state;
        ContextLimits {
            heads_max: self.heads_max,
            merge_type: self.merge_type.clone(),
            group_type: self.group_type.clone(),
            groups: ContextGroups::default(),
            state: StateLimits { chain_max, enforce_power },
            membership_types: self.membership.types.clone(),
            open: self.admission == AdmissionMode::Open,
            sign: self.sign.read(),
            participants_max: self.participants_max,
            adopt_max: self.adopt_max,
            held_max: self.held_max,
            arrive_timeout: self.arrive_timeout.0,
            stage_max: self.stage_max,
            idle: self.idle.0,
            intake_max: self.intake_max,
            gap: GapLimits {
                grace: self.gap.grace.0,
                give_up: self.gap.give_up.0,
                tries_max: self.gap.tries_max,
                asks_max: self.gap.asks_max,
                depth_max: self.gap.depth_max,
                kept_max: self.gap.kept_max,
            },
            history: HistoryLimits {
                backfill_max: self.history.backfill_max,
                pull_max: self.history.pull_max,
                reads_max: self.history.reads_max,
                keep: self.history.keep.0,
            },
            restarts: RestartLimits { max: self.restarts_max, period: self.restarts_period.0 },
            quarantine_items: self.quarantine_items,
            verify: self.verify.check(check),
        }
    }
}
