//! Who lives, in which generation, and how often each has died: a table, pure.

use std::collections::HashMap;

use crate::limits::RestartLimits;
use crate::model::{Millis, ServerName};
use crate::supervise::crashes::Crashes;

/// What the router knows of the peers' actors.
#[derive(Debug, Default)]
pub(super) struct Directory {
    entries: HashMap<ServerName, Entry>,
    generation: u64,
}

#[derive(Debug, Default)]
struct Entry {
    generation: u64,
    /// Deaths outside the guarded way in. The actor keeps the book of the others itself.
    deaths: Crashes,
}

/// What to do about a death.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AfterDeath {
    /// Start another, through the same intensity book.
    Respawn,
    /// It ended as it should, or was replaced long ago.
    Nothing,
}

impl Directory {
    /// An actor is about to start: its generation, and the book of deaths it starts from.
    pub(super) fn birth(&mut self, server: &ServerName) -> (u64, Crashes) {
        self.generation += 1;
        let entry = self.entries.entry(server.clone()).or_default();
        entry.generation = self.generation;
        (self.generation, entry.deaths.clone())
    }

    /// An actor is gone.
    pub(super) fn death(
        &mut self,
        server: &ServerName,
        generation: u64,
        crashed: bool,
        now: Millis,
        limits: RestartLimits,
    ) -> AfterDeath {
        let Some(entry) = self.entries.get_mut(server).filter(|entry| entry.generation == generation) else {
            return AfterDeath::Nothing;
        };
        if !crashed {
            return AfterDeath::Nothing;
        }
        entry.deaths.note(now, limits);
        AfterDeath::Respawn
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::supervise::crashes::Verdict;

    const LIMITS: RestartLimits = RestartLimits { max: 2, period: Duration::from_secs(60) };

    #[test]
    fn a_death_reported_late_does_not_touch_the_successor() {
        let red: ServerName = "red".parse().expect("valid");
        let mut directory = Directory::default();
        let (first, _) = directory.birth(&red);
        assert_eq!(directory.death(&red, first, true, Millis(0), LIMITS), AfterDeath::Respawn);
        let (second, _) = directory.birth(&red);
        assert_eq!(directory.death(&red, first, true, Millis(0), LIMITS), AfterDeath::Nothing);
        assert_eq!(directory.death(&red, second, false, Millis(0), LIMITS), AfterDeath::Nothing);
    }

    #[test]
    fn deaths_outside_the_guard_count_against_the_same_intensity() {
        let red: ServerName = "red".parse().expect("valid");
        let mut directory = Directory::default();
        for _ in 0..3 {
            let (generation, _) = directory.birth(&red);
            directory.death(&red, generation, true, Millis(0), LIMITS);
        }
        let (_, mut book) = directory.birth(&red);
        assert_eq!(book.verdict(Millis(0), LIMITS), Verdict::GiveUp);
    }
}
