//! `[feed]`: the messenger's feed of events.

use std::time::Duration;

use actors::limits::OverloadLimits;
use serde::Deserialize;

use crate::settings::check::SettingsCheck;
use crate::settings::values::units::DurationValue;

/// The messenger's feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedSettings {
    /// Time for which acknowledged events are kept.
    pub retain: Duration,
    /// Number of unacknowledged events from which peers are told to wait.
    pub high_water: u64,
    /// Number of unacknowledged events below which their items are accepted again.
    pub low_water: u64,
    /// Kinds of ephemeral items that end at their expiry.
    pub ends: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct FeedSection {
    /// Time for which events are kept after the messenger acknowledged them.
    retain: DurationValue,
    /// Number of unacknowledged events from which peers are told to wait.
    high_water: u64,
    /// Number of unacknowledged events below which their items are accepted again.
    low_water: u64,
    /// Kinds of ephemeral items that end at their expiry.
    ends: Vec<String>,
}

impl Default for FeedSection {
    fn default() -> Self {
        let limits = OverloadLimits::default();
        Self {
            retain: DurationValue::days(7),
            high_water: limits.feed_high,
            low_water: limits.feed_low,
            ends: ["typing", "m.typing"].map(str::to_owned).into(),
        }
    }
}

impl FeedSection {
    pub(crate) fn check(self, check: &mut SettingsCheck<'_>) -> FeedSettings {
        check.at_least_one(&["feed"], &[("high_water", self.high_water), ("low_water", self.low_water)]);
        if self.low_water > self.high_water {
            check.invalid(&["feed", "low_water"], "must not be more than feed.high_water");
        }
        FeedSettings { retain: self.retain.0, high_water: self.high_water, low_water: self.low_water, ends: self.ends }
    }
}
