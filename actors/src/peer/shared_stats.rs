//! Statistics of a peer's actor that are read without asking it: its state, its backlog, and whether it can be evicted.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use crate::model::{Index, Millis, PeerState};
use crate::peer::machine::PeerMachine;
use crate::supervise::admission::AdmissionLimit;

/// Names of the states of a peer; the first is that of a peer that has not loaded yet.
pub(crate) const STATES: [&str; 6] = ["loading", "idle", "sending", "waiting", "backing_off", "suspended"];

/// Index of the state of an idle peer.
const IDLE: u8 = 1;

/// The statistics of one peer. Its actor writes them after each step; any thread may read them.
#[derive(Debug)]
pub(crate) struct SharedStats {
    /// Newest index of the outbox that the store has announced or the actor has seen.
    tail: AtomicU64,
    /// Running sum of the queued bytes up to that index.
    tail_bytes: AtomicU64,
    /// Newest acknowledged index.
    acked: AtomicU64,
    /// Running sum of the queued bytes up to that index.
    acked_bytes: AtomicU64,
    /// Time at which the oldest unacknowledged item was queued; 0: none, or unknown.
    oldest: AtomicU64,
    /// Index of the state in [`STATES`].
    state: AtomicU8,
    /// Time from which the peer can be evicted; [`u64::MAX`]: it has work or is not loaded.
    evictable_from: AtomicU64,
    /// Number of looks of the sweep in a row that found the peer idle; a step, a message and a use set it back to 0. Looks are
    /// counted, because a wall clock may be set.
    idle_looks: AtomicU8,
    /// Count of the last use among all uses of peers; a time could not distinguish two of them.
    used: AtomicU64,
    /// Limit on fetches in flight to the peer; created by the first fetch, because most peers never see one.
    fetches: OnceLock<Box<AdmissionLimit>>,
}

impl Default for SharedStats {
    fn default() -> Self {
        Self {
            tail: AtomicU64::new(0),
            tail_bytes: AtomicU64::new(0),
            acked: AtomicU64::new(0),
            acked_bytes: AtomicU64::new(0),
            oldest: AtomicU64::new(0),
            state: AtomicU8::new(0),
            evictable_from: AtomicU64::new(u64::MAX),
            idle_looks: AtomicU8::new(0),
            used: AtomicU64::new(0),
            fetches: OnceLock::new(),
        }
    }
}

impl SharedStats {
    /// Returns the number of items that are queued and not acknowledged: acknowledged up to the last step of the actor,
    /// queued up to the last commit.
    pub(crate) fn backlog(&self) -> u64 {
        self.tail.load(Ordering::Relaxed).saturating_sub(self.acked.load(Ordering::Relaxed))
    }

    /// Returns the size of these items in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.tail_bytes.load(Ordering::Relaxed).saturating_sub(self.acked_bytes.load(Ordering::Relaxed))
    }

    /// Returns the newest acknowledged index after the last step.
    pub(crate) fn acked(&self) -> Index {
        Index(self.acked.load(Ordering::Relaxed))
    }

    /// Returns the time at which the oldest unacknowledged item was queued, as far as the actor knew it in its last step.
    pub(crate) fn oldest(&self) -> Option<Millis> {
        Some(Millis(self.oldest.load(Ordering::Relaxed))).filter(|oldest| oldest.0 > 0)
    }

    /// Records a commit that extended the outbox to `tail`, before the actor learns of it.
    pub(crate) fn outbox_grew(&self, tail: Index, tail_bytes: u64) {
        self.tail.fetch_max(tail.0, Ordering::Relaxed);
        self.tail_bytes.fetch_max(tail_bytes, Ordering::Relaxed);
    }

    /// Returns the state after the last step.
    pub(crate) fn state(&self) -> &'static str {
        STATES[usize::from(self.state.load(Ordering::Relaxed))]
    }

    /// Updates the statistics after a step. Until `remembered` the actor has a crash history that eviction would lose.
    pub(crate) fn update(&self, machine: &PeerMachine, remembered: Millis) {
        let outbox = machine.outbox();
        self.outbox_grew(outbox.tail(), outbox.tail_bytes());
        self.acked.store(outbox.acked().0, Ordering::Relaxed);
        self.acked_bytes.store(outbox.acked_bytes(), Ordering::Relaxed);
        self.oldest.store(machine.oldest().unwrap_or_default().0, Ordering::Relaxed);
        let place = match machine.state() {
            PeerState::Idle => IDLE,
            PeerState::Sending => 2,
            PeerState::Waiting => 3,
            PeerState::BackingOff => 4,
            PeerState::Suspended(_) => 5,
        };
        self.state.store(place, Ordering::Relaxed);
        let free_from = machine.free_from().map_or(u64::MAX, |from| from.max(remembered).0);
        self.evictable_from.store(free_from, Ordering::Relaxed);
        self.idle_looks.store(0, Ordering::Relaxed);
    }

    /// Marks the peer as not evictable, because it loads or a message for it is in flight; the next step corrects this.
    pub(crate) fn busy(&self) {
        self.evictable_from.store(u64::MAX, Ordering::Relaxed);
        self.idle_looks.store(0, Ordering::Relaxed);
    }

    /// Records a look of the sweep. Returns whether the peer was idle in this many looks in a row.
    ///
    /// A suspended peer is not idle, although it can be evicted: it stays in memory, so that metrics show its state.
    pub(crate) fn note_look(&self, now: Millis, looks: u8) -> bool {
        if self.state.load(Ordering::Relaxed) != IDLE || !self.is_evictable(now) {
            self.idle_looks.store(0, Ordering::Relaxed);
            return false;
        }
        self.idle_looks.fetch_add(1, Ordering::Relaxed);
        self.was_idle_for(looks)
    }

    /// Returns whether the peer was idle in at least this many looks of the sweep, and nothing happened to it since.
    pub(crate) fn was_idle_for(&self, looks: u8) -> bool {
        self.idle_looks.load(Ordering::Relaxed) >= looks
    }

    /// Returns whether the actor is idle and has no state that is not on disk.
    pub(crate) fn is_evictable(&self, now: Millis) -> bool {
        self.evictable_from.load(Ordering::Relaxed) <= now.0
            && self.fetches.get().is_none_or(|fetches| fetches.is_empty())
    }

    /// Records a use of the peer; `count` rises with each use.
    pub(crate) fn touch(&self, count: u64) {
        self.used.fetch_max(count, Ordering::Relaxed);
        self.idle_looks.store(0, Ordering::Relaxed);
    }

    /// Returns the count of the last use.
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Returns the limit on fetches in flight to the peer, if there was one.
    pub(crate) fn fetches_made(&self) -> Option<&AdmissionLimit> {
        self.fetches.get().map(|fetches| &**fetches)
    }

    /// Returns the limit on fetches in flight to the peer.
    pub(crate) fn fetches(&self, max: u32) -> &AdmissionLimit {
        self.fetches.get_or_init(|| Box::new(AdmissionLimit::new("peers.intake_max", max)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commit_counts_before_actor_learns() {
        let stats = SharedStats::default();
        stats.outbox_grew(Index(3), 30);
        stats.outbox_grew(Index(2), 20);
        assert_eq!((stats.backlog(), stats.bytes()), (3, 30));
    }

    #[test]
    fn idle_peer_is_evictable() {
        let stats = SharedStats::default();
        assert!(!stats.is_evictable(Millis(u64::MAX - 1)), "it has not loaded");
        stats.evictable_from.store(10, Ordering::Relaxed);
        assert!(!stats.is_evictable(Millis(9)) && stats.is_evictable(Millis(10)));
        stats.busy();
        assert!(!stats.is_evictable(Millis(10)), "a message is under way to it");
    }

    #[test]
    fn use_restarts_idle_looks() {
        let stats = SharedStats::default();
        stats.evictable_from.store(10, Ordering::Relaxed);
        let look = |now| stats.note_look(Millis(now), 2);
        assert!(!look(10) && !look(10), "it has not loaded");
        stats.state.store(5, Ordering::Relaxed);
        assert!(!look(10) && !look(10), "it is suspended");
        stats.state.store(IDLE, Ordering::Relaxed);
        assert!(!look(9) && !look(10) && look(10) && stats.was_idle_for(2));
        stats.touch(1);
        assert!(!stats.was_idle_for(2) && !look(10) && look(10));
        stats.busy();
        assert!(!stats.was_idle_for(2) && !look(10) && !look(10));
    }
}
