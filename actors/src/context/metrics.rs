//! Metrics summed over all contexts. Each context keeps its share up to date, because asking a hundred thousand
//! contexts would be a scan.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};

/// The sums over all contexts. Clones share one set.
#[derive(Debug, Clone, Default)]
pub(crate) struct ContextMetrics(Arc<ContextSums>);

#[derive(Debug, Default)]
struct ContextSums {
    /// Number of contexts in memory for each number of heads; contexts without heads are left out. The map has at most
    /// as many entries as a context may have heads, and usually two or three.
    ends: Mutex<BTreeMap<u32, u32>>,
    /// Number of heads forgotten since the start.
    forgotten: AtomicU64,
    /// Number of times that a limit of the core refused without an answer that would tell it, by its configuration key.
    refused: Mutex<BTreeMap<&'static str, u64>>,
    /// Number of receipts by their result.
    receipts: Mutex<BTreeMap<&'static str, u64>>,
}

impl ContextMetrics {
    /// Returns the number of heads of the context in memory that has the most.
    pub(crate) fn max_head_count(&self) -> u32 {
        self.ends().last_key_value().map_or(0, |(ends, _)| *ends)
    }

    /// Returns the number of heads that were forgotten since the start because there were too many.
    pub(crate) fn forgotten(&self) -> u64 {
        self.0.forgotten.load(Ordering::Relaxed)
    }

    /// Counts a refusal by this limit, whose caller gets no error of its own.
    pub(crate) fn count_refusal(&self, limit: &'static str) {
        *self.0.refused.lock().entry(limit).or_default() += 1;
    }

    /// Returns the counts of such refusals since the start.
    pub(crate) fn refusals(&self) -> Vec<(&'static str, u64)> {
        self.0.refused.lock().iter().map(|(limit, count)| (*limit, *count)).collect()
    }

    /// Counts receipts: told to a peer, or told by one about our items.
    pub(crate) fn count_receipts(&self, result: &'static str, count: u64) {
        *self.0.receipts.lock().entry(result).or_default() += count;
    }

    /// Returns the numbers of receipts since the start, by result.
    pub(crate) fn receipts(&self) -> Vec<(&'static str, u64)> {
        self.0.receipts.lock().iter().map(|(result, count)| (*result, *count)).collect()
    }

    fn ends(&self) -> MutexGuard<'_, BTreeMap<u32, u32>> {
        // A poisoned lock is safe to use: each change is complete before anything can panic.
        self.0.ends.lock()
    }
}

/// The contribution of one context to the sums. It is subtracted when the guard is dropped with its actor.
#[derive(Debug)]
pub(crate) struct ContextMetricsGuard {
    tally: ContextMetrics,
    ends: u32,
}

impl ContextMetricsGuard {
    /// Returns an empty contribution.
    pub(crate) fn new(tally: ContextMetrics) -> Self {
        Self { tally, ends: 0 }
    }

    /// Sets the number of heads of this context, and adds to the number of forgotten heads.
    pub(crate) fn set_head_count(&mut self, ends: usize, forgotten: u64) {
        if forgotten > 0 {
            self.tally.0.forgotten.fetch_add(forgotten, Ordering::Relaxed);
        }
        let ends = u32::try_from(ends).unwrap_or(u32::MAX);
        let was = std::mem::replace(&mut self.ends, ends);
        if was == ends {
            return;
        }
        let mut all = self.tally.ends();
        if let Some(count) = all.get_mut(&was) {
            *count -= 1;
            if *count == 0 {
                all.remove(&was);
            }
        }
        if ends > 0 {
            *all.entry(ends).or_default() += 1;
        }
    }
}

impl Drop for ContextMetricsGuard {
    fn drop(&mut self) {
        self.set_head_count(0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn max_head_count_tracks_contexts() {
        let tally = ContextMetrics::default();
        let [mut a, mut b, mut c] = [(); 3].map(|()| ContextMetricsGuard::new(tally.clone()));
        let mut most = |a_ends, b_ends| {
            a.set_head_count(a_ends, 0);
            b.set_head_count(b_ends, 1);
            tally.max_head_count()
        };
        assert_eq!([most(1, 1), most(3, 1), most(3, 7), most(3, 2), most(0, 2), most(0, 0)], [1, 3, 7, 3, 2, 0]);
        c.set_head_count(5, 0);
        assert_eq!((tally.max_head_count(), tally.forgotten()), (5, 6));
        drop(c);
        assert_eq!((tally.max_head_count(), tally.ends().len()), (0, 0), "it is counted no more once it has left");
    }
}
