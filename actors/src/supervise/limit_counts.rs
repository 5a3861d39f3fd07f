//! The number of refusals by each limit.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

/// Refusals since the start, by the configuration key of the limit. Clones share the numbers.
#[derive(Debug, Clone, Default)]
pub struct LimitCounts(Arc<Mutex<BTreeMap<&'static str, u64>>>);

impl LimitCounts {
    /// Counts a refusal.
    pub fn count(&self, limit: &'static str) {
        *self.0.lock().entry(limit).or_default() += 1;
    }

    /// Returns the numbers.
    pub fn counts(&self) -> Vec<(&'static str, u64)> {
        self.0.lock().iter().map(|(limit, count)| (*limit, *count)).collect()
    }
}
