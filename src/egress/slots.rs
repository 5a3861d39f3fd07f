//! How many requests are under way: all together, and those to peers that have not shown yet, or no longer, that they answer.
//!
//! A dead peer holds its slot for a whole deadline, an honest one for milliseconds. Where all stand in one line, a few hundred
//! dead ones are all that moves. So peers that did not answer last time have a quarter of the slots at most, these and those
//! never tried three quarters: what is left is for peers that answer. Waiting for a slot is no failure and no news; no deadline
//! runs meanwhile.
//!
//! Attempts at peers that did not answer last time begin one by one, a little apart. Dead peers fall in step otherwise: those that
//! began together run into the same deadline together, and as many of those that waited begin in their stead, in one instant, in
//! which nothing else moves.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use actors::model::ServerName;
use tokio::sync::{Mutex as Turnstile, Notify, Semaphore, SemaphorePermit};
use tokio::time::{Duration, Instant, sleep_until};

/// At least so long lies between two attempts at peers that did not answer last time: 500 a second. One that fails costs about a
/// third of a millisecond, all told: so these never take more than a sixth of a core.
const FAILING_APART: Duration = Duration::from_millis(2);

/// How many requests are under way, and how many wait for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// Requests under way.
    pub under_way: u64,
    /// Requests that wait for a slot.
    pub waiting: u64,
}

/// To whom no slot is given any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Closed {
    /// All get one.
    No,
    /// Nothing new is handed over.
    HandingOver,
    /// Nothing at all is begun.
    All,
}

/// The slots.
pub(super) struct Slots {
    all: Semaphore,
    unproven: Semaphore,
    failing: Semaphore,
    /// When the next attempt at one of these may begin.
    turn: Turnstile<Instant>,
    /// Whether a peer answered last time; absent, it was never tried. Only listed peers are ever asked.
    answered: Mutex<HashMap<ServerName, bool>>,
    under_way: AtomicU64,
    waiting: AtomicU64,
    closed: AtomicU8,
    left: Notify,
}

/// A slot, free again when it is dropped.
pub(super) struct Slot<'a> {
    slots: &'a Slots,
    #[expect(dead_code, reason = "held for their drop")]
    permits: [Option<SemaphorePermit<'a>>; 3],
    counted: Option<Counted<'a>>,
}

/// One more, for as long as it lives.
struct Counted<'a>(&'a AtomicU64);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicU64) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Slots {
    /// So many in all.
    pub(super) fn new(most: usize) -> Self {
        Self {
            all: Semaphore::new(most.max(1)),
            unproven: Semaphore::new((most * 3 / 4).max(1)),
            failing: Semaphore::new((most / 4).max(1)),
            turn: Turnstile::new(Instant::now()),
            answered: Mutex::default(),
            under_way: AtomicU64::new(0),
            waiting: AtomicU64::new(0),
            closed: AtomicU8::new(Closed::No as u8),
            left: Notify::new(),
        }
    }

    /// Wait for a slot. All take theirs in the same order, so nobody holds what another one waits for in vain.
    pub(super) async fn enter(&self, to: &ServerName, hands_over: bool) -> Slot<'_> {
        let _waiting = Counted::new(&self.waiting);
        let answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner).get(to).copied();
        let failing = if answered == Some(false) { self.failing().await } else { None };
        let unproven = if answered == Some(true) { None } else { permit(&self.unproven).await };
        let permits = [failing, unproven, permit(&self.all).await];
        let last = if hands_over { Closed::No } else { Closed::HandingOver };
        if self.closed.load(Ordering::SeqCst) > last as u8 {
            // No answer is no failure: nothing is noted of a request that was never made.
            std::future::pending::<()>().await;
        }
        Slot { slots: self, permits, counted: Some(Counted::new(&self.under_way)) }
    }

    /// One of the slots for those that did not answer, when it is its turn.
    async fn failing(&self) -> Option<SemaphorePermit<'_>> {
        let permit = permit(&self.failing).await;
        let mut turn = self.turn.lock().await;
        sleep_until(*turn).await;
        *turn = Instant::now() + FAILING_APART;
        permit
    }

    /// From now on these get no slot: who asks for one waits until the process ends.
    pub(super) fn close(&self, what: Closed) {
        self.closed.fetch_max(what as u8, Ordering::SeqCst);
    }

    /// Wait until nothing is under way.
    pub(super) async fn idle(&self) {
        loop {
            let left = self.left.notified();
            if self.load().under_way == 0 {
                return;
            }
            left.await;
        }
    }

    /// How many there are.
    pub(super) fn load(&self) -> Load {
        Load { under_way: self.under_way.load(Ordering::Relaxed), waiting: self.waiting.load(Ordering::Relaxed) }
    }
}

/// Nobody closes these: there is always one in the end.
async fn permit(of: &Semaphore) -> Option<SemaphorePermit<'_>> {
    of.acquire().await.ok()
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.counted = None;
        self.slots.left.notify_waiters();
    }
}

impl Slot<'_> {
    /// The request has ended: did the peer answer?
    pub(super) fn ended(self, to: &ServerName, answered: bool) {
        let mut all = self.slots.answered.lock().unwrap_or_else(PoisonError::into_inner);
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

    async fn try_enter<'a>(slots: &'a Slots, to: &ServerName) -> Option<Slot<'a>> {
        timeout(Duration::from_millis(100), slots.enter(to, true)).await.ok()
    }

    /// A thousand dead peers, whose deadlines had come to end in the same millisecond, cost their healthy neighbours half of
    /// the worst percent, each time.
    #[tokio::test(start_paused = true)]
    async fn dead_peers_that_fall_in_step_are_brought_out_of_it() {
        let slots = std::sync::Arc::new(Slots::new(80));
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
        assert!(closest >= Some(FAILING_APART), "{at:?}");
        assert!(at[19] < Duration::from_secs(1) && at[20] >= Duration::from_secs(3), "a quarter at a time: {at:?}");

        let healthy = name(99);
        let asked = Instant::now();
        slots.enter(&healthy, true).await.ended(&healthy, true);
        drop(slots.enter(&healthy, true).await);
        assert_eq!(asked.elapsed(), Duration::ZERO, "others wait for none of this");
    }

    /// What brought a large service to a standstill for an hour: some dead servers held every worker there was.
    #[tokio::test(start_paused = true)]
    async fn a_few_dead_servers_stop_no_delivery() {
        let slots = Slots::new(8);
        for dead in 0..10 {
            slots.enter(&name(dead), true).await.ended(&name(dead), false);
        }
        let healthy = name(99);
        slots.enter(&healthy, true).await.ended(&healthy, true);

        let mut held = vec![];
        for dead in 0..10 {
            held.extend(try_enter(&slots, &name(dead)).await);
        }
        assert_eq!(held.len(), 2, "a quarter is for those that did not answer");
        for new in 20..30 {
            held.extend(try_enter(&slots, &name(new)).await);
        }
        assert_eq!(held.len(), 6, "three quarters are for these and for those never tried");
        held.extend(try_enter(&slots, &healthy).await);
        held.extend(try_enter(&slots, &healthy).await);
        assert_eq!(held.len(), 8, "the rest is for those that answer");
        assert_eq!(slots.load(), Load { under_way: 8, waiting: 0 }, "whoever gave up does not wait any more");
        assert!(try_enter(&slots, &healthy).await.is_none(), "and that is all");
        held.clear();
        assert_eq!(slots.load(), Load::default());
    }

    #[tokio::test(start_paused = true)]
    async fn once_closed_what_is_under_way_ends_and_nothing_begins() {
        let slots = Slots::new(4);
        timeout(Duration::from_millis(1), slots.idle()).await.expect("nothing is under way");
        let slot = slots.enter(&name(1), true).await;
        slots.close(Closed::HandingOver);
        assert!(try_enter(&slots, &name(2)).await.is_none());
        let other = name(2);
        let asks = async || timeout(Duration::from_millis(1), slots.enter(&other, false)).await.is_ok();
        assert!(asks().await, "a question may still be asked, for the sake of an answer that we owe");
        slots.close(Closed::All);
        assert!(!asks().await);
        assert!(timeout(Duration::from_secs(60), slots.idle()).await.is_err(), "one is under way");
        tokio::join!(slots.idle(), async { slot.ended(&name(1), true) });
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_answers_again_is_believed_at_once() {
        let slots = Slots::new(4);
        slots.enter(&name(1), true).await.ended(&name(1), false);
        slots.enter(&name(2), true).await.ended(&name(2), false);
        let dead = slots.enter(&name(1), true).await;
        assert!(try_enter(&slots, &name(2)).await.is_none());
        dead.ended(&name(1), true);
        let _other = slots.enter(&name(2), true).await;
        assert!(try_enter(&slots, &name(1)).await.is_some());
    }
}
