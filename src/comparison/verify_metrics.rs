//! Counts of verifications, since the start.

use std::sync::atomic::{AtomicU64, Ordering};

use actors::model::Millis;
use parking_lot::Mutex;

use crate::comparison::nightly_plan::NightlyCounts;
use crate::comparison::verify_report::{ComparisonReport, ComparisonVerdict, VerifyFailure};

/// The counts.
#[derive(Debug, Default)]
pub struct VerifyMetrics {
    results: [AtomicU64; ComparisonVerdict::ALL.len()],
    missing_here: AtomicU64,
    missing_there: AtomicU64,
    repaired: AtomicU64,
    last_night: Mutex<Option<(Millis, NightlyCounts)>>,
}

impl VerifyMetrics {
    /// Counts a verification.
    pub(crate) fn note(&self, ended: &Result<ComparisonReport, VerifyFailure>) {
        let result = ended.as_ref().map_or(ComparisonVerdict::Failed, ComparisonReport::result);
        self.results[result as usize].fetch_add(1, Ordering::Relaxed);
        if let Ok(report) = ended {
            self.missing_here.fetch_add(report.missing_here.count, Ordering::Relaxed);
            self.missing_there.fetch_add(report.missing_there.count, Ordering::Relaxed);
            self.repaired.fetch_add(report.repaired(), Ordering::Relaxed);
        }
    }

    /// Notes the end of a nightly run, and what it found.
    pub(crate) fn note_night(&self, now: Millis, counts: NightlyCounts) {
        *self.last_night.lock() = Some((now, counts));
    }

    /// Returns the number of verifications by result.
    pub fn results(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let count = |result: ComparisonVerdict| self.results[result as usize].load(Ordering::Relaxed);
        ComparisonVerdict::ALL.into_iter().map(move |result| (result.as_str(), count(result)))
    }

    /// Returns the number of PDUs that were found missing, by the side that lacked them.
    pub fn missing(&self) -> [(&'static str, u64); 2] {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        [("here", count(&self.missing_here)), ("there", count(&self.missing_there))]
    }

    /// Returns the number of PDUs that were missing here and have come.
    pub fn repaired(&self) -> u64 {
        self.repaired.load(Ordering::Relaxed)
    }

    /// Returns the end of the last nightly run and what it found; `None`: none has ended since the start.
    pub fn last_night(&self) -> Option<(Millis, NightlyCounts)> {
        *self.last_night.lock()
    }
}
