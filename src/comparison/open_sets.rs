//! The comparisons of peers that are under way, each with what this side has: the calls of one comparison are about the same set.
//!
//! They are bounded in number, and each peer has one. One that is not asked about for a minute has ended.

use std::sync::Arc;
use std::time::Duration;

use actors::errors::AdmissionError;
use actors::model::{Millis, ServerName};
use parking_lot::Mutex;

use crate::comparison::compared_set::{CompareSalt, ComparedSet};
use crate::comparison::set_reader::AskedWindow;

/// Milliseconds after which a comparison that nobody continues has ended.
const IDLE_MAX: u64 = 60_000;

/// Time for which a peer begins no other comparison, as a multiple of the time that reading its set took: a peer that begins one after
/// the other without a pause keeps a quarter of one read thread busy.
const REST_FACTOR: u64 = 3;

/// The PDUs of this side in the window of a comparison.
#[derive(Debug)]
pub(crate) struct OpenSet {
    pub(crate) set: ComparedSet,
    /// Begin of the window.
    pub(crate) from: Millis,
}

/// A comparison under way.
struct OpenEntry {
    peer: ServerName,
    salt: CompareSalt,
    used: Millis,
    /// Time from which the peer may begin another one.
    rests_until: Millis,
    /// Window as it was asked for, and the set; `None`: it is being read.
    read: Option<(AskedWindow, Arc<OpenSet>)>,
}

/// The comparisons of peers. Clones share one table.
#[derive(Clone, Default)]
pub(crate) struct OpenSets(Arc<Mutex<Vec<OpenEntry>>>);

/// The place of a set that is being read. It is free again if it is dropped.
pub(crate) struct SetPlace {
    sets: OpenSets,
    peer: ServerName,
    salt: CompareSalt,
    begun: Millis,
}

impl OpenSets {
    /// Returns the set of a comparison that is under way.
    pub(crate) fn find(&self, asked: &AskedWindow, now: Millis) -> Option<Arc<OpenSet>> {
        let mut entries = self.0.lock();
        let entry = entries.iter_mut().find(|entry| entry.is_of(&asked.peer, asked.salt))?;
        let (window, set) = entry.read.as_ref()?;
        // A later call names the window that the first answer states.
        let is_same = window.context == asked.context && window.to == asked.to && set.from == asked.from;
        let found = is_same.then(|| set.clone());
        if found.is_some() {
            entry.used = now;
        }
        found
    }

    /// Reserves the place of a new comparison. It replaces an earlier one of the same peer, unless that one is still being read.
    pub(crate) fn reserve(&self, asked: &AskedWindow, now: Millis, max: u32) -> Result<SetPlace, AdmissionError> {
        let refused =
            |wait| Err(AdmissionError::LimitReached { limit: "contexts.verify.sets_max", value: max.into(), wait });
        let mut entries = self.0.lock();
        let rests_until = entries.iter().find(|entry| entry.peer == asked.peer).map_or(0, |entry| entry.rests_until.0);
        if let Some(rest) = rests_until.checked_sub(now.0).filter(|rest| *rest > 0) {
            return refused(Duration::from_millis(rest));
        }
        entries.retain(|entry| {
            let is_idle = now.0.saturating_sub(entry.used.0) >= IDLE_MAX;
            entry.read.is_none() || !is_idle && entry.peer != asked.peer
        });
        if entries.len() >= max as usize || entries.iter().any(|entry| entry.peer == asked.peer) {
            return refused(Duration::from_secs(5));
        }
        let (peer, salt) = (asked.peer.clone(), asked.salt);
        entries.push(OpenEntry { peer: peer.clone(), salt, used: now, rests_until: now, read: None });
        Ok(SetPlace { sets: self.clone(), peer, salt, begun: now })
    }
}

impl OpenEntry {
    fn is_of(&self, peer: &ServerName, salt: CompareSalt) -> bool {
        self.peer == *peer && self.salt == salt
    }
}

impl SetPlace {
    /// Keeps the set that was read.
    pub(crate) fn fill(self, asked: AskedWindow, set: OpenSet, now: Millis) -> Arc<OpenSet> {
        let set = Arc::new(set);
        let mut entries = self.sets.0.lock();
        if let Some(entry) = entries.iter_mut().find(|entry| entry.is_of(&self.peer, self.salt)) {
            let took = now.0.saturating_sub(self.begun.0);
            entry.rests_until = Millis(now.0.saturating_add(REST_FACTOR * took));
            (entry.read, entry.used) = (Some((asked, set.clone())), now);
        }
        set
    }
}

impl Drop for SetPlace {
    fn drop(&mut self) {
        self.sets.0.lock().retain(|entry| entry.read.is_some() || !entry.is_of(&self.peer, self.salt));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(peer: &str, salt: u8) -> AskedWindow {
        let (context, peer) = ("#room".parse().expect("valid"), peer.parse().expect("valid"));
        AskedWindow { context, peer, salt: [salt; 16], from: Millis(5), to: Millis(9) }
    }

    fn open(sets: &OpenSets, peer: &str, salt: u8, now: u64) -> bool {
        let asked = asked(peer, salt);
        let Ok(place) = sets.reserve(&asked, Millis(now), 2) else { return false };
        place.fill(asked, OpenSet { set: ComparedSet::default(), from: Millis(5) }, Millis(now));
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

    #[test]
    fn peer_rests_after_long_read() {
        let sets = OpenSets::default();
        let place = sets.reserve(&asked("red", 1), Millis(0), 2).map_err(|error| error.to_string()).expect("free");
        place.fill(asked("red", 1), OpenSet { set: ComparedSet::default(), from: Millis(5) }, Millis(8_000));
        assert!(sets.find(&asked("red", 1), Millis(9_000)).is_some(), "it goes on with what was read");
        let early = sets.reserve(&asked("red", 2), Millis(20_000), 2).map(drop);
        let Err(AdmissionError::LimitReached { wait, .. }) = early else { panic!("{early:?}") };
        assert_eq!(wait, Duration::from_secs(12));
        assert!(open(&sets, "blue", 3, 20_000) && open(&sets, "red", 2, 32_000));
    }

    #[test]
    fn dropped_place_is_free() {
        let sets = OpenSets::default();
        let place = sets.reserve(&asked("red", 1), Millis(0), 2).map_err(|error| error.to_string());
        assert!(place.is_ok() && sets.reserve(&asked("red", 2), Millis(70_000), 2).is_err(), "it is being read");
        drop(place);
        assert!(open(&sets, "red", 2, 0));
    }
}
