//! `[contexts.verify]`: comparisons of histories with peers.

use std::time::Duration;

use actors::limits::verify::{NightlyRules, VerifyLimits};
use serde::Deserialize;

use crate::settings::check::SettingsCheck;
use crate::settings::values::units::{DurationValue, RetentionValue};

/// Limits of comparisons, and the nightly run.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct VerifySection {
    /// If true, contexts are compared every night.
    nightly: bool,
    /// Time of day at which the nightly run begins, in UTC.
    at: String,
    /// Maximum time by which its begin is moved at random.
    jitter: DurationValue,
    /// Maximum length of a nightly run.
    length: DurationValue,
    /// Maximum number of contexts in one night.
    contexts_max: u32,
    /// Length of the window that is compared: "forever", or a duration.
    window: RetentionValue,
    /// Age from which PDUs are compared.
    settle: DurationValue,
    /// Maximum number of PDUs that are compared.
    pdus_max: u32,
    /// Maximum number of calls of one comparison.
    calls_max: u32,
    /// Maximum number of ranges in one call.
    ranges_max: u32,
    /// Maximum number of ids in one answer, and in each list of a result.
    ids_max: u32,
    /// Maximum number of PDUs that one comparison has fetched.
    repair_max: u32,
    /// Maximum number of comparisons under way: those of peers, and ours, each by itself.
    sets_max: u32,
    /// Maximum time of a comparison with its repair.
    timeout: DurationValue,
}

impl Default for VerifySection {
    fn default() -> Self {
        let limits = VerifyLimits::default();
        let VerifyLimits { pdus_max, calls_max, ranges_max, ids_max, repair_max, sets_max, nightly, .. } = limits;
        Self {
            nightly: nightly.is_on,
            at: written_time(nightly.at),
            jitter: DurationValue(nightly.jitter),
            length: DurationValue(nightly.length),
            contexts_max: nightly.contexts_max,
            window: RetentionValue(limits.window),
            settle: DurationValue(limits.settle),
            pdus_max,
            calls_max,
            ranges_max,
            ids_max,
            repair_max,
            sets_max,
            timeout: DurationValue(limits.timeout),
        }
    }
}

impl VerifySection {
    pub(super) fn check(&self, check: &mut SettingsCheck<'_>) -> VerifyLimits {
        let section = ["contexts", "verify"];
        check.at_least_one(
            &section,
            &[
                ("contexts_max", self.contexts_max.into()),
                ("pdus_max", self.pdus_max.into()),
                ("calls_max", self.calls_max.into()),
                ("ranges_max", self.ranges_max.into()),
                ("ids_max", self.ids_max.into()),
                ("sets_max", self.sets_max.into()),
            ],
        );
        for (key, time) in [("timeout", self.timeout.0), ("length", self.length.0)] {
            if time.is_zero() {
                check.invalid(&["contexts", "verify", key], "it must be more than 0s");
            }
        }
        let at = time_of_day(&self.at).unwrap_or_else(|| {
            check.invalid(&["contexts", "verify", "at"], "a time of day is written as \"03:00\", in UTC");
            Duration::ZERO
        });
        VerifyLimits {
            window: self.window.0,
            settle: self.settle.0,
            pdus_max: self.pdus_max,
            calls_max: self.calls_max,
            ranges_max: self.ranges_max,
            ids_max: self.ids_max,
            repair_max: self.repair_max,
            sets_max: self.sets_max,
            timeout: self.timeout.0,
            nightly: NightlyRules {
                is_on: self.nightly,
                at,
                jitter: self.jitter.0,
                length: self.length.0,
                contexts_max: self.contexts_max,
            },
        }
    }
}

/// Returns the time since midnight.
fn time_of_day(text: &str) -> Option<Duration> {
    let (hours, minutes) = text.split_once(':')?;
    let part = |text: &str, end: u64| {
        let is_plain = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|part: &u64| is_plain && *part < end)
    };
    Some(Duration::from_secs(part(hours, 24)? * 3600 + part(minutes, 60)? * 60))
}

fn written_time(at: Duration) -> String {
    let minutes = at.as_secs() / 60;
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_of_day_has_four_digits() {
        for text in ["00:00", "03:00", "23:59"] {
            assert_eq!(time_of_day(text).map(written_time).as_deref(), Some(text));
        }
        for bad in ["", "3:00", "24:00", "03:60", "03.00", "+3:00", "03:00:00", "03:0a"] {
            assert_eq!(time_of_day(bad), None, "{bad}");
        }
    }
}
