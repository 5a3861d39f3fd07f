//! Limits the requests in flight: all together, and those to peers that have not responded yet or did not respond last
//! time.
//!
//! A dead peer occupies a permit for a whole deadline, a live one for milliseconds. With one common limit a few hundred
//! dead peers would occupy all permits. So peers that did not respond last time get at most a quarter of the permits,
//! and together with peers that were never tried at most three quarters; the remaining quarter is for peers that
//! respond. Waiting for a permit is neither a failure nor a change of state; no deadline runs meanwhile.
//!
//! Attempts at peers that did not respond last time start one by one, with a short interval. Otherwise dead peers
//! synchronize: those that started together time out together, and as many waiting ones start at the same moment, in
//! which nothing else makes progress.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use actors::model::ServerName;
use parking_lot::Mutex;
use tokio::sync::{Mutex as Turnstile, Notify};
use tokio::time::{Duration, Instant, sleep_until};

use super::resizable_semaphore::{ResizablePermit, ResizableSemaphore};

/// Minimum interval between two attempts at peers that did not respond last time: 500 a second. A failing attempt costs
/// about a third of a millisecond in total, so they take at most a sixth of a core.
const FAILING_START_INTERVAL: Duration = Duration::from_millis(2);

/// The number of requests in flight and of those that wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SlotLoad {
    /// Number of requests in flight.
    pub under_way: u64,
    /// Number of requests that wait for a permit.
    pub waiting: u64,
}

/// The requests that get no permit any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ShutdownPhase {
    /// None: all get one.
    No,
    /// Requests that transfer items.
    HandingOver,
    /// No request is sent any more.
    All,
}

/// The limiter of requests.
pub(super) struct RequestLimiter {
    all: ResizableSemaphore,
    unproven: ResizableSemaphore,
    failing: ResizableSemaphore,
    /// Earliest time of the next attempt at a peer that did not respond.
    turn: Turnstile<Instant>,
    /// True for a peer that responded last time; absent if it was never tried. The map is bounded because requests go to
    /// configured peers only.
    answered: Mutex<HashMap<ServerName, bool>>,
    under_way: AtomicU64,
    waiting: AtomicU64,
    closed: AtomicU8,
    left: Notify,
}

/// A permit for one request, released when it is dropped.
pub(super) struct RequestPermit<'a> {
    slots: &'a RequestLimiter,
    #[expect(dead_code, reason = "held for their drop")]
    permits: [Option<ResizablePermit<'a>>; 3],
    counted: Option<CountedSlot<'a>>,
}

/// A count that is one higher until this value is dropped.
struct CountedSlot<'a>(&'a AtomicU64);

impl<'a> CountedSlot<'a> {
    fn new(count: &'a AtomicU64) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for CountedSlot<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl RequestLimiter {
    /// Returns a limiter for this many requests.
    pub(super) fn new(most: usize) -> Self {
        Self {
            all: ResizableSemaphore::new(most),
            unproven: ResizableSemaphore::new(unproven_of(most)),
            failing: ResizableSemaphore::new(most / 4),
            turn: Turnstile::new(Instant::now()),
            answered: Mutex::default(),
            under_way: AtomicU64::new(0),
            waiting: AtomicU64::new(0),
            closed: AtomicU8::new(ShutdownPhase::No as u8),
            left: Notify::new(),
        }
    }

    /// Changes the number of requests. Those in flight go on.
    pub(super) fn resize(&self, most: usize) {
        self.all.resize(most);
        self.unproven.resize(unproven_of(most));
        self.failing.resize(most / 4);
    }

    /// Waits for a permit. All requests acquire the semaphores in the same order, so there is no deadlock.
    pub(super) async fn enter(&self, to: &ServerName, hands_over: bool) -> RequestPermit<'_> {
        let _waiting = CountedSlot::new(&self.waiting);
        let answered = self.answered.lock().get(to).copied();
        let failing = if answered == Some(false) { self.failing().await } else { None };
        let unproven = if answered == Some(true) { None } else { Some(self.unproven.acquire().await) };
        let permits = [failing, unproven, Some(self.all.acquire().await)];
        let last = if hands_over { ShutdownPhase::No } else { ShutdownPhase::HandingOver };
        if self.closed.load(Ordering::SeqCst) > last as u8 {
            // A missing response is not a failure: nothing is recorded about a request that was never sent.
            std::future::pending::<()>().await;
        }
        RequestPermit { slots: self, permits, counted: Some(CountedSlot::new(&self.under_way)) }
    }

    /// Acquires a permit for peers that did not respond, and waits for its turn.
    async fn failing(&self) -> Option<ResizablePermit<'_>> {
        let permit = self.failing.acquire().await;
        let mut turn = self.turn.lock().await;
        sleep_until(*turn).await;
        *turn = Instant::now() + FAILING_START_INTERVAL;
        Some(permit)
    }

    /// Stops giving permits to these requests: they wait until the process ends.
    pub(super) fn close(&self, what: ShutdownPhase) {
        self.closed.fetch_max(what as u8, Ordering::SeqCst);
    }

    /// Waits until no request is in flight.
    pub(super) async fn idle(&self) {
        loop {
            let left = self.left.notified();
            if self.load().under_way == 0 {
                return;
            }
            left.await;
        }
    }

    /// Returns the current numbers.
    pub(super) fn load(&self) -> SlotLoad {
        SlotLoad { under_way: self.under_way.load(Ordering::Relaxed), waiting: self.waiting.load(Ordering::Relaxed) }
    }
}

/// Returns the number of permits for peers that have not responded.
const fn unproven_of(most: usize) -> usize {
    most.saturating_mul(3) / 4
}

impl Drop for RequestPermit<'_> {
    fn drop(&mut self) {
        self.counted = None;
        self.slots.left.notify_waiters();
    }
}

impl RequestPermit<'_> {
    /// Ends the request and records whether the peer responded.
    pub(super) fn ended(self, to: &ServerName, answered: bool) {
        let mut all = self.slots.answered.lock();
        match all.get_mut(to) {
            Some(last) => *last = answered,
            None => drop(all.insert(to.clone(), answered)),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Duration, timeout};

    use super::*;

    fn name(n: usize) -> ServerName {
        format!("peer{n}.example").parse().expect("valid")
    }

    async fn try_enter<'a>(slots: &'a RequestLimiter, to: &ServerName) -> Option<RequestPermit<'a>> {
        timeout(Duration::from_millis(100), slots.enter(to, true)).await.ok()
    }

    /// Regression: dead peers whose deadlines ended in the same millisecond delayed their healthy neighbours at the 99th
    /// percentile.
    #[tokio::test(start_paused = true)]
    async fn failing_peer_attempts_are_spread() {
        let slots = std::sync::Arc::new(RequestLimiter::new(80));
        for dead in 0..60 {
            slots.enter(&name(dead), true).await.ended(&name(dead), false);
        }
        let began = Instant::now();
        let mut attempts = tokio::task::JoinSet::new();
        for dead in 0..60 {
            let slots = slots.clone();
            attempts.spawn(async move {
                let slot = slots.enter(&name(dead), true).await;
                let at = began.elapsed();
                tokio::time::sleep(Duration::from_secs(3)).await;
                slot.ended(&name(dead), false);
                at
            });
        }
        let mut at = attempts.join_all().await;
        at.sort_unstable();
        let closest = at.windows(2).map(|pair| pair[1] - pair[0]).min();
        assert!(closest >= Some(FAILING_START_INTERVAL), "{at:?}");
        assert!(at[19] < Duration::from_secs(1) && at[20] >= Duration::from_secs(3), "a quarter at a time: {at:?}");

        let healthy = name(99);
        let asked = Instant::now();
        slots.enter(&healthy, true).await.ended(&healthy, true);
        drop(slots.enter(&healthy, true).await);
        assert_eq!(asked.elapsed(), Duration::ZERO, "healthy peers do not wait for the interval");
    }

    /// Regression: a few dead servers occupied all workers of a service.
    #[tokio::test(start_paused = true)]
    async fn dead_peers_leave_permits_for_healthy() {
        let slots = RequestLimiter::new(8);
        for dead in 0..10 {
            slots.enter(&name(dead), true).await.ended(&name(dead), false);
        }
        let healthy = name(99);
        slots.enter(&healthy, true).await.ended(&healthy, true);

        let mut held = vec![];
        for dead in 0..10 {
            held.extend(try_enter(&slots, &name(dead)).await);
        }
        assert_eq!(held.len(), 2, "a quarter of the permits is for peers that did not respond");
        for new in 20..30 {
            held.extend(try_enter(&slots, &name(new)).await);
        }
        assert_eq!(held.len(), 6, "three quarters are for peers that did not respond or were never tried");
        held.extend(try_enter(&slots, &healthy).await);
        held.extend(try_enter(&slots, &healthy).await);
        assert_eq!(held.len(), 8, "the last quarter is for peers that respond");
        assert_eq!(
            slots.load(),
            SlotLoad { under_way: 8, waiting: 0 },
            "a cancelled request is not counted as waiting"
        );
        assert!(try_enter(&slots, &healthy).await.is_none(), "no permit is left");
        held.clear();
        assert_eq!(slots.load(), SlotLoad::default());
    }

    #[tokio::test(start_paused = true)]
    async fn closed_limiter_finishes_in_flight_requests() {
        let slots = RequestLimiter::new(4);
        timeout(Duration::from_millis(1), slots.idle()).await.expect("no request is in flight");
        let slot = slots.enter(&name(1), true).await;
        slots.close(ShutdownPhase::HandingOver);
        assert!(try_enter(&slots, &name(2)).await.is_none());
        let other = name(2);
        let asks = async || timeout(Duration::from_millis(1), slots.enter(&other, false)).await.is_ok();
        assert!(asks().await, "requests that transfer no items are still sent: a response of ours may depend on them");
        slots.close(ShutdownPhase::All);
        assert!(!asks().await);
        assert!(timeout(Duration::from_secs(60), slots.idle()).await.is_err(), "a request is in flight");
        tokio::join!(slots.idle(), async { slot.ended(&name(1), true) });
    }

    #[tokio::test(start_paused = true)]
    async fn recovered_peer_regains_permits_immediately() {
        let slots = RequestLimiter::new(4);
        slots.enter(&name(1), true).await.ended(&name(1), false);
        slots.enter(&name(2), true).await.ended(&name(2), false);
        let dead = slots.enter(&name(1), true).await;
        assert!(try_enter(&slots, &name(2)).await.is_none());
        dead.ended(&name(1), true);
        let _other = slots.enter(&name(2), true).await;
        assert!(try_enter(&slots, &name(1)).await.is_some());
    }
}
