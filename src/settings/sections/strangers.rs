//! `[federation.strangers]`: the bounds on servers that no table lists, if the federation is open.

use serde::Deserialize;

use crate::settings::check::SettingsCheck;

/// The bounds on strangers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StrangersSettings {
    /// Maximum number of strangers in memory.
    pub resident_max: u32,
    /// Maximum number of rows on disk for all strangers.
    pub rows_max: u64,
    /// Maximum number of items of one stranger per second.
    pub rate: u32,
    /// Maximum number of requests of one address per second before a name is proved.
    pub rate_per_address: u32,
    /// Maximum number of proofs per second that cost us work.
    pub proofs_per_second: u32,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct StrangersSection {
    /// Maximum number of strangers in memory, beside the peers.
    resident_max: u32,
    /// Maximum number of rows on disk for all strangers together.
    rows_max: u64,
    /// Maximum number of items that one stranger may send per second, if `rate` of its limits is not lower.
    rate: u32,
    /// Maximum number of requests per second of one address that name no listed peer.
    rate_per_address: u32,
    /// Maximum number of key fetches and judged certificates of strangers per second, in all.
    proofs_per_second: u32,
}

impl Default for StrangersSection {
    fn default() -> Self {
        Self { resident_max: 1_000, rows_max: 100_000, rate: 50, rate_per_address: 20, proofs_per_second: 50 }
    }
}

impl StrangersSection {
    pub(crate) fn check(&self, check: &mut SettingsCheck<'_>) -> StrangersSettings {
        let Self { resident_max, rows_max, rate, rate_per_address, proofs_per_second } = *self;
        let numbers = [
            ("resident_max", resident_max.into()),
            ("rows_max", rows_max),
            ("rate", rate.into()),
            ("rate_per_address", rate_per_address.into()),
            ("proofs_per_second", proofs_per_second.into()),
        ];
        check.at_least_one(&["federation", "strangers"], &numbers);
        StrangersSettings { resident_max, rows_max, rate, rate_per_address, proofs_per_second }
    }
}
