//! What is read of a peer's actor without asking it: its sums, and whether it may leave memory.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use crate::model::{Millis, PeerState};
use crate::peer::machine::Machine;
use crate::supervise::intake::Intake;

/// What a peer can be doing; the first is what one is called that has never been loaded.
pub(crate) const STATES: [&str; 6] = ["loading", "idle", "sending", "waiting", "backing_off", "suspended"];

/// Written by the actor after each step, read by anybody.
#[derive(Debug)]
pub(crate) struct Gauge {
    backlog: AtomicU64,
    bytes: AtomicU64,
    /// Place in [`STATES`].
    state: AtomicU8,
    /// From when on it may leave; [`u64::MAX`]: it has something to do, or is not loaded.
    free_from: AtomicU64,
    /// When it was asked for last, by a count of all such calls: time would not tell two of them apart.
    used: AtomicU64,
    /// Requests for PDUs under way to the peer; made when there is a first one, as most peers never see any.
    fetches: OnceLock<Box<Intake>>,
}

impl Default for Gauge {
    fn default() -> Self {
        Self {
            backlog: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            state: AtomicU8::new(0),
            free_from: AtomicU64::new(u64::MAX),
            used: AtomicU64::new(0),
            fetches: OnceLock::new(),
        }
    }
}

impl Gauge {
    /// Items queued and not acknowledged, as of the actor's last step.
    pub(crate) fn backlog(&self) -> u64 {
        self.backlog.load(Ordering::Relaxed)
    }

    /// Bytes of these.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// What it is doing, as of its last step.
    pub(super) fn state(&self) -> &'static str {
        STATES[usize::from(self.state.load(Ordering::Relaxed))]
    }

    /// The machine has made a step. Until `remembered` the actor knows what would be lost with it.
    pub(super) fn stepped(&self, machine: &Machine, remembered: Millis) {
        self.backlog.store(machine.backlog(), Ordering::Relaxed);
        self.bytes.store(machine.backlog_bytes(), Ordering::Relaxed);
        let place = match machine.state() {
            PeerState::Idle => 1,
            PeerState::Sending => 2,
            PeerState::Waiting => 3,
            PeerState::BackingOff => 4,
            PeerState::Suspended(_) => 5,
        };
        self.state.store(place, Ordering::Relaxed);
        let free_from = machine.free_from().map_or(u64::MAX, |from| from.max(remembered).0);
        self.free_from.store(free_from, Ordering::Relaxed);
    }

    /// Something is on its way to it, or it loads: what it has to do is known after its next step.
    pub(super) fn busy(&self) {
        self.free_from.store(u64::MAX, Ordering::Relaxed);
    }

    /// Whether the actor has nothing to do and remembers nothing that is not on disk.
    pub(super) fn is_free(&self, now: Millis) -> bool {
        self.free_from.load(Ordering::Relaxed) <= now.0 && self.fetches.get().is_none_or(|fetches| fetches.is_empty())
    }

    /// It is asked for; `count` rises with each such call.
    pub(super) fn touch(&self, count: u64) {
        self.used.fetch_max(count, Ordering::Relaxed);
    }

    /// When it was asked for last.
    pub(super) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// The bound on requests for PDUs under way to the peer.
    pub(super) fn fetches(&self, max: u32) -> &Intake {
        self.fetches.get_or_init(|| Box::new(Intake::new("peers.intake_max", max)))
    }
}
