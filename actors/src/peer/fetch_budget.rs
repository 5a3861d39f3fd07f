//! The budget for fetches that one peer causes. A peer that names nonexistent parents makes us search for them: the search
//! is charged to the server that sent the child, whichever server is asked.
//! There is a bucket for each of three measures, which holds one hour's worth. Spent budget is refilled evenly over an
//! hour: a peer that caused one long search may soon cause short ones, and one that never stops causes at most an hour's
//! worth per hour.

use std::time::Duration;

use crate::limits::FetchLimits;
use crate::model::{CountedNoun, Millis};

/// Time in which an empty budget is refilled.
const PERIOD: Duration = Duration::from_secs(3600);

/// The cost of a fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchCost {
    /// Number of PDUs that were received.
    pub items: u64,
    /// Size of these PDUs in bytes.
    pub bytes: u64,
    /// Duration of the fetch.
    pub time: Duration,
}

/// Error: a measure of the budget is exhausted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BudgetExhausted {
    /// Configuration key of the measure, in the section of the peer.
    pub key: &'static str,
    /// The same key with its section.
    pub full_key: &'static str,
    /// Limit with its unit.
    pub limit: String,
}

/// The budget of one peer.
#[derive(Debug, Clone, Default)]
pub struct FetchBudget {
    items: f64,
    bytes: f64,
    seconds: f64,
    /// Time of the last refill.
    at: Millis,
    /// True if the exhaustion was announced; it is announced once.
    told: bool,
}

impl FetchBudget {
    /// Checks that one more fetch may start now. Fetches in flight are charged when they finish, so the limit may be
    /// exceeded by their cost.
    pub fn allows(&mut self, now: Millis, limits: FetchLimits) -> Result<(), BudgetExhausted> {
        self.refill(now, limits);
        let used_up = |full_key: &'static str, limit| {
            let key = full_key.strip_prefix("peers.").unwrap_or(full_key);
            Err(BudgetExhausted { key, full_key, limit })
        };
        if self.items >= limits.items as f64 {
            return used_up("peers.fetch_items", limits.items.to_string());
        }
        if self.bytes >= limits.bytes as f64 {
            return used_up("peers.fetch_bytes", CountedNoun(limits.bytes, "byte").to_string());
        }
        if self.seconds >= limits.seconds.as_secs_f64() {
            return used_up("peers.fetch_seconds", format!("{} s", limits.seconds.as_secs()));
        }
        self.told = false;
        Ok(())
    }

    /// Returns the time at which the budget is full again, and so equal to a new one.
    pub fn refilled_at(&self, limits: FetchLimits) -> Millis {
        let share = |spent: f64, limit: f64| if spent > 0.0 { spent / limit.max(f64::MIN_POSITIVE) } else { 0.0 };
        let longest = share(self.items, limits.items as f64)
            .max(share(self.bytes, limits.bytes as f64))
            .max(share(self.seconds, limits.seconds.as_secs_f64()));
        // A limit of zero is never refilled.
        let ms = (longest * PERIOD.as_secs_f64() * 1000.0).ceil();
        Millis(self.at.0.saturating_add(ms as u64))
    }

    /// Returns true once per exhaustion, so that it is announced once.
    pub fn first_time_exhausted(&mut self) -> bool {
        !std::mem::replace(&mut self.told, true)
    }

    /// Charges the cost of a finished fetch.
    pub fn spend(&mut self, now: Millis, limits: FetchLimits, spent: FetchCost) {
        self.refill(now, limits);
        self.items += spent.items as f64;
        self.bytes += spent.bytes as f64;
        self.seconds += spent.time.as_secs_f64();
    }

    fn refill(&mut self, now: Millis, limits: FetchLimits) {
        let share = self.at.until(now).as_secs_f64() / PERIOD.as_secs_f64();
        // A clock that is set back refills nothing.
        self.at = now;
        self.items = (self.items - share * limits.items as f64).max(0.0);
        self.bytes = (self.bytes - share * limits.bytes as f64).max(0.0);
        self.seconds = (self.seconds - share * limits.seconds.as_secs_f64()).max(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: FetchLimits = FetchLimits { items: 100, bytes: 1000, seconds: Duration::from_secs(10) };

    fn spent(items: u64, bytes: u64, seconds: u64) -> FetchCost {
        FetchCost { items, bytes, time: Duration::from_secs(seconds) }
    }

    fn key(budget: &mut FetchBudget, now: u64) -> Option<&'static str> {
        budget.allows(Millis(now), LIMITS).err().map(|used_up| used_up.key)
    }

    #[test]
    fn each_measure_exhausts_fetch_budget() {
        for (taken, named) in
            [(spent(100, 0, 0), "fetch_items"), (spent(1, 1000, 0), "fetch_bytes"), (spent(0, 0, 10), "fetch_seconds")]
        {
            let mut budget = FetchBudget::default();
            assert_eq!(key(&mut budget, 0), None);
            budget.spend(Millis(0), LIMITS, taken);
            assert_eq!(key(&mut budget, 0), Some(named));
        }
    }

    #[test]
    fn overdrawn_budget_refills_and_notifies_once() {
        let mut budget = FetchBudget::default();
        budget.spend(Millis(0), LIMITS, spent(150, 0, 0));
        assert!(key(&mut budget, 0).is_some() && budget.first_time_exhausted() && !budget.first_time_exhausted());
        assert_eq!(
            key(&mut budget, 30 * 60_000),
            Some("fetch_items"),
            "a half of it is back, all of that was overdrawn"
        );
        assert_eq!(key(&mut budget, 31 * 60_000), None);
        budget.spend(Millis(31 * 60_000), LIMITS, spent(100, 0, 0));
        assert!(
            key(&mut budget, 31 * 60_000).is_some() && budget.first_time_exhausted(),
            "used up anew, it is news anew"
        );
    }

    #[test]
    fn budget_refills_with_slowest_measure() {
        let mut budget = FetchBudget::default();
        assert_eq!(budget.refilled_at(LIMITS), Millis(0));
        budget.spend(Millis(1000), LIMITS, spent(10, 500, 1));
        let whole = budget.refilled_at(LIMITS);
        assert_eq!(whole, Millis(1000 + 30 * 60_000));
        budget.spend(whole, LIMITS, spent(0, 0, 0));
        assert_eq!(budget.refilled_at(LIMITS), whole, "nothing is left of it");
    }

    #[test]
    fn fetch_budget_ignores_clock_rewind() {
        let mut budget = FetchBudget::default();
        budget.spend(Millis(10_000_000), LIMITS, spent(150, 0, 0));
        assert!(key(&mut budget, 0).is_some());
        assert!(key(&mut budget, 1000).is_some());
    }
}
