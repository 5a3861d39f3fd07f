//! The rate limit of a peer's inbound items: a token bucket that fills with time. A request takes one token per item.

use std::time::Duration;

use crate::model::Millis;

/// The bucket of one peer.
#[derive(Debug, Clone)]
pub struct TokenBucket {
    /// Items per second; 0: unlimited.
    rate: u64,
    /// Capacity in thousandths of a token; a full request must fit.
    holds: u64,
    /// Level in thousandths of a token.
    level: u64,
    /// Time of the last refill.
    at: Millis,
}

impl TokenBucket {
    /// Returns a full bucket for `rate` items per second, of which up to `batch` come in one request.
    pub fn new(rate: u32, batch: u32, now: Millis) -> Self {
        let holds = u64::from(rate.max(batch)) * 1000;
        Self { rate: rate.into(), holds, level: holds, at: now }
    }

    /// Changes rate and capacity. Tokens that were saved stay, as far as they fit.
    pub fn change(&mut self, rate: u32, batch: u32, now: Millis) {
        self.refill(now);
        (self.rate, self.holds) = (rate.into(), u64::from(rate.max(batch)) * 1000);
        self.level = self.level.min(self.holds);
    }

    fn refill(&mut self, now: Millis) {
        // A clock that was set back refills nothing; time continues from its new value.
        self.level = self.holds.min(self.level.saturating_add(now.since(self.at).saturating_mul(self.rate)));
        self.at = now;
    }

    /// Returns whether the bucket is full, and so equal to a new one.
    pub fn is_full(&self, now: Millis) -> bool {
        self.rate == 0 || self.level.saturating_add(now.since(self.at).saturating_mul(self.rate)) >= self.holds
    }

    /// Takes one token per item, or returns the time until there are enough. A request without items takes none.
    pub fn take(&mut self, now: Millis, items: usize) -> Result<(), Duration> {
        if self.rate == 0 {
            return Ok(());
        }
        self.refill(now);
        // Batches larger than the bucket are rejected elsewhere. Ephemeral items are not, so cap the request at the
        // bucket size instead of waiting forever.
        let wanted = (items as u64).saturating_mul(1000).min(self.holds);
        match wanted.saturating_sub(self.level) {
            0 => {
                self.level -= wanted;
                Ok(())
            }
            lacking => Err(Duration::from_millis(lacking.div_ceil(self.rate))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(millis: u64) -> Result<(), Duration> {
        Err(Duration::from_millis(millis))
    }

    #[test]
    fn token_bucket_allows_burst_then_rate() {
        let mut bucket = TokenBucket::new(10, 20, Millis(0));
        assert_eq!(bucket.take(Millis(0), 20), Ok(()));
        assert_eq!(bucket.take(Millis(0), 1), wait(100));
        assert_eq!(bucket.take(Millis(99), 1), wait(1));
        assert_eq!(bucket.take(Millis(100), 1), Ok(()));
        assert_eq!(bucket.take(Millis(100), 20), wait(2000), "what is refused takes nothing");
        assert_eq!(bucket.take(Millis(2_100), 20), Ok(()));
    }

    #[test]
    fn token_bucket_refills_after_use() {
        let mut bucket = TokenBucket::new(10, 20, Millis(0));
        assert!(bucket.is_full(Millis(0)));
        assert_eq!(bucket.take(Millis(0), 5), Ok(()));
        assert_eq!([0, 499, 500].map(|now| bucket.is_full(Millis(now))), [false, false, true]);
    }

    #[test]
    fn token_bucket_capacity_is_bounded() {
        let mut bucket = TokenBucket::new(10, 2, Millis(0));
        assert_eq!(bucket.take(Millis(1 << 40), 10), Ok(()));
        assert_eq!(bucket.take(Millis(1 << 40), 1), wait(100));
    }

    #[test]
    fn zero_items_or_rate_always_pass() {
        let mut bucket = TokenBucket::new(1, 1, Millis(0));
        assert_eq!(bucket.take(Millis(0), 1), Ok(()));
        assert_eq!(bucket.take(Millis(0), 0), Ok(()));
        let mut free = TokenBucket::new(0, 1, Millis(0));
        assert!((0..1000).all(|_| free.take(Millis(0), 1000).is_ok()));
    }

    #[test]
    fn token_bucket_survives_clock_rewind() {
        let mut bucket = TokenBucket::new(10, 1, Millis(1_000_000));
        assert_eq!(bucket.take(Millis(1_000_000), 10), Ok(()));
        assert_eq!(bucket.take(Millis(0), 1), wait(100));
        assert_eq!(bucket.take(Millis(100), 1), Ok(()));
    }

    proptest::proptest! {
        #[test]
        fn token_bucket_never_exceeds_rate(
            rate in 1u32..50, batch in 1u32..50, asks in proptest::collection::vec((0u64..500, 0usize..60), 0..100),
        ) {
            let mut bucket = TokenBucket::new(rate, batch, Millis(0));
            let (mut now, mut passed) = (0, 0);
            for (pause, items) in asks {
                now += pause;
                let items = items.min(batch as usize);
                if bucket.take(Millis(now), items).is_ok() {
                    passed += items as u64;
                }
            }
            proptest::prop_assert!(passed * 1000 <= u64::from(rate) * now + u64::from(rate.max(batch)) * 1000);
        }
    }
}
