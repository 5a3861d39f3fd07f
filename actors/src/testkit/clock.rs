//! Wall time that a test moves, sets or breaks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::model::Millis;
use crate::ports::Clock;

/// Wall time for tests. It moves with tokio's clock, so that both stand still and jump together under a paused runtime;
/// [`fixed`](Self::fixed) makes one that moves only when the test moves it.
#[derive(Debug)]
pub struct TestClock {
    base: Millis,
    /// The start of a clock that moves with tokio's; `None`: the clock is fixed.
    started: Option<Instant>,
    /// Offset of the wall time alone, like that of a wrong system clock.
    skew_ms: Arc<AtomicI64>,
    breaks: AtomicBool,
}

impl TestClock {
    /// Returns a clock that moves with tokio's and whose time is now `base`.
    pub fn new(base: Millis) -> Self {
        Self::build(base, Some(Instant::now()))
    }

    /// Returns a clock that shows `now` until the test sets or moves it.
    pub fn fixed(now: Millis) -> Self {
        Self::build(now, None)
    }

    /// Returns a fixed clock whose first reading panics.
    pub fn failing() -> Self {
        let clock = Self::fixed(Millis(0));
        clock.break_once();
        clock
    }

    fn build(base: Millis, started: Option<Instant>) -> Self {
        Self { base, started, skew_ms: Arc::default(), breaks: AtomicBool::new(false) }
    }

    /// Returns a clock with the same time that does not panic.
    pub fn unbroken(&self) -> Self {
        Self { skew_ms: self.skew_ms.clone(), ..Self::build(self.base, self.started) }
    }

    /// Makes the next reading panic. Actors read the clock inside their guard, so this acts as a bug in the machine.
    pub fn break_once(&self) {
        self.breaks.store(true, Ordering::SeqCst);
    }

    /// Returns whether the next reading panics.
    pub fn will_break(&self) -> bool {
        self.breaks.load(Ordering::SeqCst)
    }

    /// Cancels a panic of the next reading: the process that would have read the clock has ended.
    pub fn mend(&self) {
        self.breaks.store(false, Ordering::SeqCst);
    }

    /// Moves the wall time forward or back without any time passing.
    pub fn jump(&self, ms: i64) {
        self.skew_ms.fetch_add(ms, Ordering::SeqCst);
    }

    /// Sets the wall time to so many milliseconds since 1970 without any time passing.
    pub fn set(&self, now: u64) {
        self.skew_ms.store(now.wrapping_sub(self.unskewed()).cast_signed(), Ordering::SeqCst);
    }

    fn unskewed(&self) -> u64 {
        self.base.after(self.started.map_or(Duration::ZERO, |started| started.elapsed())).0
    }
}

impl Clock for TestClock {
    fn now(&self) -> Millis {
        assert!(!self.breaks.swap(false, Ordering::SeqCst), "the clock breaks, as the test asked");
        Millis(self.unskewed().saturating_add_signed(self.skew_ms.load(Ordering::SeqCst)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn fixed_clock_shows_what_was_set() {
        let clock = TestClock::fixed(Millis(5));
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(clock.now(), Millis(5));
        clock.jump(-3);
        assert_eq!(clock.now(), Millis(2));
        clock.set(1);
        assert_eq!(clock.unbroken().now(), Millis(1));
        clock.set(70);
        assert_eq!(clock.now(), Millis(70));
    }

    #[tokio::test(start_paused = true)]
    async fn set_clock_moves_with_tokio() {
        let clock = TestClock::new(Millis(100));
        clock.set(10);
        tokio::time::sleep(Duration::from_millis(7)).await;
        assert_eq!(clock.now(), Millis(17));
    }
}
