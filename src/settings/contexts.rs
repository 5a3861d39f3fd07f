//! `[contexts]`: what bounds every conversation.

use std::time::Duration;

use actors::limits::{ContextLimits, GapLimits, HistoryLimits, RestartLimits, StateLimits};
use serde::Deserialize;

use super::check::Check;
use super::units::{Keep, Span};

/// Whose PDUs a conversation takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Admission {
    /// Those of servers that take part.
    Participants,
    /// Anybody's, which makes its origin take part.
    Open,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ContextsSection {
    /// Whose PDUs are taken: "participants", or "open", which adds their origins.
    admission: Admission,
    /// Servers that may take part in one context.
    participants_max: u32,
    /// Contexts that one peer may begin here.
    adopt_max: u64,
    /// PDUs of a context waiting for parents; beyond it the oldest is delivered with a gap.
    held_max: u32,
    /// Messages of a context that nobody has answered and that are remembered as such; beyond it the shallowest is forgotten.
    heads_max: u32,
    /// The type of the empty messages that join these at an operator's word.
    merge_type: String,
    /// How long a peer's request waits for a busy context before its PDUs are staged.
    arrive_timeout: Span,
    /// PDUs of one peer staged for one busy context; beyond it the peer is told to come again.
    stage_max: u64,
    /// How long a context without work stays in memory.
    idle: Span,
    /// Requests of one context being handled at once.
    intake_max: u32,
    /// Restarts of a context's actor allowed in a period before it is given up as faulty.
    restarts_max: u32,
    /// The period in which restarts are counted.
    restarts_period: Span,
    /// PDUs of servers that take no part kept in quarantine, a sender; the oldest goes first.
    quarantine_items: u64,
    /// Missing parents.
    pub(super) gap: GapSection,
    /// The past.
    pub(super) history: HistorySection,
    /// State.
    pub(super) state: StateSection,
    /// Who takes part by what is said of members.
    pub(super) membership: MembershipSection,
}

/// What is asked for, and served, of a context's past.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct HistorySection {
    /// PDUs in one answer to a peer that asks for older ones, and the most asked for at once.
    backfill_max: u32,
    /// PDUs in one page of an answer to a peer that asks again for what was sent to it.
    pull_max: u32,
    /// History reads of one context that wait at once for what other servers are asked; the next is told to come again.
    reads_max: u32,
    /// How long what was said is kept after it was delivered here: "forever", or a duration.
    keep: Keep,
}

/// A round of forgetting comes every ten minutes, and what was said has to outlive a slow reader.
const KEEP_MIN: Duration = Duration::from_secs(60 * 60);

/// How a missing parent is waited for, asked for, and given up.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct GapSection {
    /// How long a missing parent is waited for before anybody is asked for it.
    grace: Span,
    /// How long it is looked for before its children are delivered without it.
    give_up: Span,
    /// How often each server that may have it is asked.
    tries_max: u32,
    /// Missing parents of one context asked for at once.
    asks_max: u32,
    /// How many questions in a row a walk from parent to parent takes before it is given up.
    depth_max: u32,
    /// Missing parents given up that a context remembers; the one given up longest ago goes first.
    kept_max: u32,
}

/// State whose links are missing, and state that weighs too little.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct StateSection {
    /// How many links of a chain of state are asked for, one after the other, before the next is given up.
    chain_max: u32,
    /// Refuse state of our own messenger whose power_level is below that of the state it would replace.
    enforce_power: bool,
}

/// Which state says who takes part.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct MembershipSection {
    /// Types whose state_key names a user and whose content.membership says whether it takes part.
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
            admission: if limits.open { Admission::Open } else { Admission::Participants },
            participants_max: limits.participants_max,
            adopt_max: limits.adopt_max,
            held_max: limits.held_max,
            heads_max: limits.heads_max,
            merge_type: limits.merge_type,
            arrive_timeout: Span(limits.arrive_timeout),
            stage_max: limits.stage_max,
            idle: Span(limits.idle),
            intake_max: limits.intake_max,
            restarts_max: limits.restarts.max,
            restarts_period: Span(limits.restarts.period),
            quarantine_items: limits.quarantine_items,
            gap: GapSection::default(),
            history: HistorySection::default(),
            state: StateSection::default(),
            membership: MembershipSection::default(),
        }
    }
}

impl Default for GapSection {
    fn default() -> Self {
        let GapLimits { grace, give_up, tries_max, asks_max, depth_max, kept_max } = ContextLimits::default().gap;
        Self { grace: Span(grace), give_up: Span(give_up), tries_max, asks_max, depth_max, kept_max }
    }
}

impl Default for HistorySection {
    fn default() -> Self {
        let HistoryLimits { backfill_max, pull_max, reads_max, keep } = HistoryLimits::default();
        Self { backfill_max, pull_max, reads_max, keep: Keep(keep) }
    }
}

impl ContextsSection {
    pub(super) fn check(&self, check: &mut Check<'_>) -> ContextLimits {
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
        if self.merge_type.is_empty() || self.merge_type.len() > 255 {
            check.invalid(&["contexts", "merge_type"], "a type is a text of 1 to 255 bytes");
        }
        if self.membership.types.iter().any(String::is_empty) {
            check.invalid(&["contexts", "membership", "types"], "a type is a text that is not empty");
        }
        let StateSection { chain_max, enforce_power } = self.state;
        ContextLimits {
            heads_max: self.heads_max,
            merge_type: self.merge_type.clone(),
            state: StateLimits { chain_max, enforce_power },
            membership_types: self.membership.types.clone(),
            open: self.admission == Admission::Open,
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
        }
    }
}
