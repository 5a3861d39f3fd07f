//! The table of running actors with their generations and crash histories. Pure.

use std::collections::HashMap;
use std::hash::Hash;

use crate::limits::RestartLimits;
use crate::model::Millis;
use crate::router::sparse_map::shrink_sparse_map;
use crate::supervise::restart_intensity::CrashHistory;

/// The actors of one kind that the router has started, by key.
#[derive(Debug)]
pub(super) struct GenerationTable<K> {
    entries: HashMap<K, DirectoryEntry>,
    generation: u64,
}

#[derive(Debug, Default)]
struct DirectoryEntry {
    generation: u64,
    /// Crashes outside the guarded step; the actor itself records those inside it.
    deaths: CrashHistory,
}

/// The action after the exit of an actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ExitAction {
    /// Start a new actor, subject to the restart intensity.
    Respawn,
    /// Do nothing more: the actor stopped normally, and its entry was removed.
    Gone,
    /// Do nothing: the actor had been replaced before.
    Nothing,
}

impl<K: Eq + Hash + Clone> GenerationTable<K> {
    pub(super) fn new() -> Self {
        Self { entries: HashMap::new(), generation: 0 }
    }

    /// Registers the start of an actor; returns its generation and its crash history.
    pub(super) fn register_start(&mut self, key: &K) -> (u64, CrashHistory) {
        self.generation += 1;
        let entry = self.entries.entry(key.clone()).or_default();
        entry.generation = self.generation;
        (self.generation, entry.deaths.clone())
    }

    /// Registers the exit of an actor. An actor that stopped normally is removed, so that a stopped context costs no
    /// memory.
    pub(super) fn register_exit(
        &mut self,
        key: &K,
        generation: u64,
        crashed: bool,
        now: Millis,
        limits: RestartLimits,
    ) -> ExitAction {
        let Some(entry) = self.entries.get_mut(key).filter(|entry| entry.generation == generation) else {
            return ExitAction::Nothing;
        };
        if !crashed {
            self.entries.remove(key);
            shrink_sparse_map(&mut self.entries);
            return ExitAction::Gone;
        }
        entry.deaths.note(now, limits);
        ExitAction::Respawn
    }

    /// Returns whether this generation is the running one.
    pub(super) fn is_current(&self, key: &K, generation: u64) -> bool {
        self.entries.get(key).is_some_and(|entry| entry.generation == generation)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::ServerName;
    use crate::supervise::restart_intensity::RestartDecision;

    const LIMITS: RestartLimits = RestartLimits { max: 2, period: Duration::from_secs(60) };

    fn red() -> ServerName {
        "red".parse().expect("valid")
    }

    #[test]
    fn late_exit_spares_successor() {
        let mut directory = GenerationTable::new();
        let (first, _) = directory.register_start(&red());
        assert_eq!(directory.register_exit(&red(), first, true, Millis(0), LIMITS), ExitAction::Respawn);
        let (second, _) = directory.register_start(&red());
        assert_eq!(directory.register_exit(&red(), first, true, Millis(0), LIMITS), ExitAction::Nothing);
        assert!(directory.is_current(&red(), second) && !directory.is_current(&red(), first));
        assert_eq!(directory.register_exit(&red(), second, false, Millis(0), LIMITS), ExitAction::Gone);
    }

    #[test]
    fn unguarded_exits_count_as_crashes() {
        let mut directory = GenerationTable::new();
        for _ in 0..3 {
            let (generation, _) = directory.register_start(&red());
            directory.register_exit(&red(), generation, true, Millis(0), LIMITS);
        }
        let (_, mut book) = directory.register_start(&red());
        assert_eq!(book.verdict(Millis(0), LIMITS), RestartDecision::GiveUp);
    }
}
