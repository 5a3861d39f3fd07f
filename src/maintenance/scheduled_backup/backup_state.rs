//! The state of the schedule of backups: the newest one, and the failure since.

use std::time::Duration;

use actors::model::Millis;

use crate::maintenance::scheduled_backup::backup_folder::BackupFile;

/// Number of intervals after which a missing backup is a problem, even if none has failed yet.
const LATE: u32 = 2;

/// The state of the schedule.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BackupState {
    /// The newest verified backup.
    pub newest: Option<BackupFile>,
    /// Time and reason of the last attempt, if it failed.
    pub failure: Option<(Millis, String)>,
    /// Number of backups that were verified since the start.
    pub verified: u64,
    /// Number of attempts that failed since the start.
    pub failed: u64,
    /// True while a backup is taken, or about to be.
    pub is_running: bool,
    /// True if an operator asked for one now.
    pub(super) is_asked: bool,
}

impl BackupState {
    /// Returns the time of the next backup; `None`: it is due.
    pub fn next(&self, now: Millis, every: Duration, retry: Duration) -> Option<Millis> {
        let next = match (&self.failure, &self.newest) {
            (Some((failed, _)), _) => failed.after(every.min(retry)),
            // A backup of the future was taken while the clock was wrong, so nothing follows from it.
            (None, Some(newest)) if newest.taken <= now => newest.taken.after(every),
            (None, _) => return None,
        };
        (next > now).then_some(next)
    }

    /// Returns whether a backup is due.
    pub(super) fn is_due(&self, now: Millis, every: Duration, retry: Duration) -> bool {
        self.is_asked || self.next(now, every, retry).is_none()
    }

    /// Returns the age of the newest backup.
    pub fn age(&self, now: Millis) -> Option<Duration> {
        self.newest.as_ref().map(|newest| newest.taken.until(now))
    }

    /// Returns what is wrong, for people.
    pub(super) fn problem(&self, now: Millis, every: Duration) -> Option<String> {
        let newest = match self.age(now) {
            Some(age) => {
                format!("the newest one is {} old", humantime::format_duration(Duration::from_secs(age.as_secs())))
            }
            None => "there is none".to_owned(),
        };
        match &self.failure {
            Some((_, why)) => Some(format!("the last backup failed: {why}; {newest}")),
            None if self.age(now).is_some_and(|age| age > every * LATE) && !self.is_running => {
                Some(format!("no backup was taken in time: {newest}"))
            }
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);
    const RETRY: Duration = Duration::from_secs(600);

    fn taken(at: u64) -> BackupState {
        let newest = BackupFile { path: "x".into(), taken: Millis(at), bytes: 1 };
        BackupState { newest: Some(newest), ..BackupState::default() }
    }

    #[test]
    fn next_backup_follows_newest() {
        let day = 86_400_000;
        assert!(BackupState::default().is_due(Millis(0), DAY, RETRY), "the first one is due at once");
        assert_eq!(taken(10).next(Millis(10 + day - 1), DAY, RETRY), Some(Millis(10 + day)));
        assert!(taken(10).is_due(Millis(10 + day), DAY, RETRY));
        assert!(taken(10).is_due(Millis(9), DAY, RETRY), "the clock was set back");
        let asked = BackupState { is_asked: true, ..taken(10) };
        assert!(asked.is_due(Millis(11), DAY, RETRY));
    }

    #[test]
    fn failed_backup_is_tried_soon() {
        let failed = BackupState { failure: Some((Millis(1_000), "no space".into())), ..taken(10) };
        assert!(!failed.is_due(Millis(600_999), DAY, RETRY) && failed.is_due(Millis(601_000), DAY, RETRY));
        assert!(failed.is_due(Millis(6_000), Duration::from_secs(5), RETRY), "never later than the schedule");
        let words = failed.problem(Millis(3_610_010), DAY).expect("a problem");
        assert_eq!(words, "the last backup failed: no space; the newest one is 1h 10s old");
    }

    #[test]
    fn late_backup_is_a_problem() {
        let day = 86_400_000;
        assert_eq!(taken(0).problem(Millis(2 * day), DAY), None);
        assert!(taken(0).problem(Millis(2 * day + 1), DAY).is_some());
        assert_eq!(BackupState { is_running: true, ..taken(0) }.problem(Millis(2 * day + 1), DAY), None);
    }
}
