//! The comparisons of peers that are under way, each with what this side has: the calls of one comparison are about the same set.
//!
//! They are bounded in number, and each peer has one. One that is not asked about for a minute has ended. After a set was read, the peer
//! rests before it begins another comparison, also if it did not wait for the answer.

use std::sync::Arc;
use std::time::Duration;

use actors::errors::AdmissionError;
use actors::model::{Millis, ServerName};
use actors::ports::Clock;
use parking_lot::Mutex;

use crate::comparison::compared_set::{CompareSalt, ComparedSet};
use crate::comparison::set_reader::AskedWindow;

/// Milliseconds after which a comparison that nobody continues has ended.
const IDLE_MAX: u64 = 60_000;

/// Time for which a peer begins no other comparison, as a multiple of the time that reading its set took: a peer that begins one after
/// the other without a pause keeps a read thread busy for a quarter of the time.
pub(crate) const REST_FACTOR: u32 = 3;

/// Time after which a peer should ask again that met the maximum.
const BUSY_WAIT: Duration = Duration::from_secs(5);

/// Error: no comparison begins now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ComparisonsFull {
    /// Too many comparisons are under way, or the peer's own is being read.
    #[error(transparent)]
    LimitReached(AdmissionError),
    /// The peer rests after its last comparison.
    #[error("your last comparison took long to read; begin another one in {} s", .wait.as_secs() + 1)]
    Resting {
        /// Time until the peer may begin another one.
        wait: Duration,
    },
}

impl ComparisonsFull {
    /// Returns the key of the limit that was reached, if it was one.
    pub fn limit(&self) -> Option<&'static str> {
        match self {
            Self::LimitReached(limit) => Some(limit.limit()),
            Self::Resting { .. } => None,
        }
    }

    /// Returns the time after which the peer should ask again.
    pub fn wait(&self) -> Duration {
        match self {
            Self::LimitReached(limit) => limit.wait(),
            Self::Resting { wait } => *wait,
        }
    }
}

/// The PDUs of this side in the window of a comparison.
#[derive(Debug)]
pub(crate) struct OpenSet {
    pub(crate) set: ComparedSet,
    /// Begin of the window.
    pub(crate) from: Millis,
}

/// The state of a comparison's set.
enum SetState {
    Reading,
    /// Window as it was asked for, and the set.
    Read(AskedWindow, Arc<OpenSet>),
    /// The caller left before the set was read.
    Abandoned,
}

/// A comparison under way.
struct OpenEntry {
    peer: ServerName,
    salt: CompareSalt,
    used: Millis,
    /// Time from which the peer may begin another one.
    rests_until: Millis,
    state: SetState,
}

/// The comparisons of peers. Clones share one table.
#[derive(Clone, Default)]
pub(crate) struct OpenSets(Arc<Mutex<Vec<OpenEntry>>>);

/// The place of a set that is being read. It is free again if it is dropped.
pub(crate) struct SetPlace {
    sets: OpenSets,
    peer: ServerName,
    salt: CompareSalt,
    clock: Arc<dyn Clock>,
    begun: Millis,
}

impl OpenSets {
    /// Returns the set of a comparison that is under way.
    pub(crate) fn find(&self, asked: &AskedWindow, now: Millis) -> Option<Arc<OpenSet>> {
        let mut entries = self.0.lock();
        let entry = entries.iter_mut().find(|entry| entry.is_of(&asked.peer, asked.salt))?;
        let SetState::Read(window, set) = &entry.state else { return None };
        // A later call names the window that the first answer states.
        let is_same = window.context == asked.context && window.to == asked.to && set.from == asked.from;
        let found = is_same.then(|| set.clone());
        if found.is_some() {
            entry.used = now;
        }
        found
    }

    /// Reserves the place of a new comparison. It replaces an earlier one of the same peer, unless that one is still being read.
    pub(crate) fn reserve(
        &self,
        asked: &AskedWindow,
        clock: &Arc<dyn Clock>,
        max: u32,
    ) -> Result<SetPlace, ComparisonsFull> {
        let now = clock.now();
        let mut entries = self.0.lock();
        if let Some(own) = entries.iter().find(|entry| entry.peer == asked.peer)
            && now < own.rests_until
        {
            return Err(ComparisonsFull::Resting { wait: now.until(own.rests_until) });
        }
        entries.retain(|entry| match entry.state {
            SetState::Reading => true,
            SetState::Read(..) => now.0.saturating_sub(entry.used.0) < IDLE_MAX && entry.peer != asked.peer,
            SetState::Abandoned => now < entry.rests_until,
        });
        let held = entries.iter().filter(|entry| !matches!(entry.state, SetState::Abandoned)).count();
        if held >= max as usize || entries.iter().any(|entry| entry.peer == asked.peer) {
            let (limit, value, wait) = ("contexts.verify.sets_max", max.into(), BUSY_WAIT);
            return Err(ComparisonsFull::LimitReached(AdmissionError::LimitReached { limit, value, wait }));
        }
        let (peer, salt) = (asked.peer.clone(), asked.salt);
        let state = SetState::Reading;
        entries.push(OpenEntry { peer: peer.clone(), salt, used: now, rests_until: now, state });
        Ok(SetPlace { sets: self.clone(), peer, salt, clock: Arc::clone(clock), begun: now })
    }
}

impl OpenEntry {
    fn is_of(&self, peer: &ServerName, salt: CompareSalt) -> bool {
        self.peer == *peer && self.salt == salt
    }
}

impl SetPlace {
    /// Keeps the set that was read.
    pub(crate) fn fill(self, asked: AskedWindow, set: OpenSet) -> Arc<OpenSet> {
        let set = Arc::new(set);
        self.end(SetState::Read(asked, set.clone()));
        set
    }

    /// Ends the reading, unless it has ended.
    fn end(&self, state: SetState) {
        let now = self.clock.now();
        let took = self.begun.until(now);
        let mut entries = self.sets.0.lock();
        let own = entries.iter_mut().find(|entry| entry.is_of(&self.peer, self.salt));
        if let Some(entry) = own.filter(|entry| matches!(entry.state, SetState::Reading)) {
            (entry.state, entry.used, entry.rests_until) = (state, now, now.after(took * REST_FACTOR));
        }
    }
}

impl Drop for SetPlace {
    fn drop(&mut self) {
        self.end(SetState::Abandoned);
    }
}

#[cfg(test)]
mod tests {
    use actors::testkit::TestClock;

    use super::*;

    fn asked(peer: &str, salt: u8) -> AskedWindow {
        let (context, peer) = ("#room".parse().expect("valid"), peer.parse().expect("valid"));
        AskedWindow { context, peer, salt: [salt; 16], from: Millis(5), to: Millis(9) }
    }

    fn at(now: u64) -> Arc<dyn Clock> {
        Arc::new(TestClock::fixed(Millis(now)))
    }

    fn empty_set() -> OpenSet {
        OpenSet { set: ComparedSet::default(), from: Millis(5) }
    }

    fn open(sets: &OpenSets, peer: &str, salt: u8, now: u64) -> bool {
        let asked = asked(peer, salt);
        let Ok(place) = sets.reserve(&asked, &at(now), 2) else { return false };
        place.fill(asked, empty_set());
        true
    }

    #[test]
    fn each_peer_has_one_set() {
        let sets = OpenSets::default();
        assert!(open(&sets, "red", 1, 0) && open(&sets, "red", 2, 1));
        assert!(sets.find(&asked("red", 1), Millis(1)).is_none(), "the second replaces the first");
        assert!(sets.find(&asked("red", 2), Millis(1)).is_some() && sets.find(&asked("blue", 2), Millis(1)).is_none());
        assert!(sets.find(&AskedWindow { from: Millis(4), ..asked("red", 2) }, Millis(1)).is_none(), "another window");
        assert!(open(&sets, "blue", 3, 2));
        assert!(!open(&sets, "green", 4, 3), "two are under way");
    }

    #[test]
    fn idle_set_makes_room() {
        let sets = OpenSets::default();
        assert!(open(&sets, "red", 1, 0) && open(&sets, "blue", 2, 0));
        assert!(sets.find(&asked("red", 1), Millis(30_000)).is_some());
        assert!(!open(&sets, "green", 3, 59_999) && open(&sets, "green", 3, 60_000));
        assert!(sets.find(&asked("red", 1), Millis(60_001)).is_some(), "it was used meanwhile");
        assert!(sets.find(&asked("blue", 2), Millis(60_001)).is_none());
    }

    /// Reads a set for eight seconds, and then keeps it or is dropped.
    fn read_long(sets: &OpenSets, is_kept: bool) {
        let clock = Arc::new(TestClock::fixed(Millis(0)));
        let shown: Arc<dyn Clock> = clock.clone();
        let place = sets.reserve(&asked("red", 1), &shown, 2).expect("there is room");
        clock.set(8_000);
        match is_kept {
            true => drop(place.fill(asked("red", 1), empty_set())),
            false => drop(place),
        }
    }

    #[test]
    fn peer_rests_after_long_read() {
        for is_kept in [true, false] {
            let sets = OpenSets::default();
            read_long(&sets, is_kept);
            assert_eq!(sets.find(&asked("red", 1), Millis(9_000)).is_some(), is_kept, "it goes on with what was read");
            let early = sets.reserve(&asked("red", 2), &at(20_000), 2).map(drop);
            assert_eq!(early, Err(ComparisonsFull::Resting { wait: Duration::from_secs(12) }));
            assert!(open(&sets, "blue", 3, 20_000) && open(&sets, "red", 2, 32_000));
        }
    }

    #[test]
    fn abandoned_set_takes_no_room() {
        let sets = OpenSets::default();
        read_long(&sets, false);
        assert!(open(&sets, "blue", 2, 9_000) && open(&sets, "green", 3, 9_000));
        assert!(!open(&sets, "pink", 4, 9_000), "two are under way");
    }

    #[test]
    fn dropped_place_is_free() {
        let sets = OpenSets::default();
        let place = sets.reserve(&asked("red", 1), &at(0), 2).expect("there is room");
        assert!(sets.reserve(&asked("red", 2), &at(70_000), 2).is_err(), "it is being read");
        drop(place);
        assert!(open(&sets, "red", 2, 0));
    }
}
