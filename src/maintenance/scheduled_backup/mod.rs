//! Backups by a schedule: each is copied under a temporary name, verified, and renamed; then the oldest ones are removed.
//!
//! A file under its final name has been verified, so that an operator can restore the newest one without a look at the log. None is
//! removed before a newer one is verified: a schedule that fails keeps what it has.

pub mod backup_folder;
pub mod backup_state;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use actors::model::Millis;
use actors::ports::{Clock, Disk};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::maintenance::scheduled_backup::backup_folder::{BackupFile, BackupFolder};
use crate::maintenance::scheduled_backup::backup_state::BackupState;
use crate::runtime::free_space::FolderDisk;
use crate::store::{Store, verify};

/// Interval of looks at the rules and the clock: a reload may change the rules, and the clock may be set.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Maximum time after a failure until the next attempt.
const RETRY: Duration = Duration::from_secs(10 * 60);

/// The rules of the schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupRules {
    /// Folder of the files.
    pub folder: std::path::PathBuf,
    /// Time between two backups.
    pub every: Duration,
    /// Number of backups that are kept.
    pub keep: usize,
    /// Bytes that stay free on the disk of the folder.
    pub min_free: u64,
}

/// The source of the rules in force, which a reload replaces; `None`: there is no schedule.
pub type BackupRulesSource = Arc<dyn Fn() -> Option<BackupRules> + Send + Sync>;

/// The schedule of backups, and its state. Clones share one. The default has no rules.
#[derive(Clone)]
pub struct BackupSchedule {
    rules: BackupRulesSource,
    state: Arc<Mutex<BackupState>>,
    asked: Arc<Notify>,
    clock: Arc<dyn Clock>,
}

/// A clock for a schedule that is never run.
struct StoppedClock;

impl Clock for StoppedClock {
    fn now(&self) -> Millis {
        Millis(0)
    }
}

impl Default for BackupSchedule {
    fn default() -> Self {
        Self::new(Arc::new(|| None), Arc::new(StoppedClock))
    }
}

impl BackupSchedule {
    /// Returns the schedule with these rules.
    pub fn new(rules: BackupRulesSource, clock: Arc<dyn Clock>) -> Self {
        Self { rules, state: Arc::default(), asked: Arc::default(), clock }
    }

    /// Returns the rules in force.
    pub fn rules(&self) -> Option<BackupRules> {
        (self.rules)()
    }

    /// Returns the state as it is now.
    pub fn state(&self) -> BackupState {
        self.state.lock().clone()
    }

    /// Makes the next backup begin now, unless one is running.
    pub fn begin_now(&self) {
        let mut state = self.state.lock();
        if !state.is_running {
            (state.is_asked, state.is_running) = (true, true);
            self.asked.notify_one();
        }
    }

    /// Returns the time of the next backup; `None`: it is due, or there is no schedule.
    pub fn next(&self) -> Option<Millis> {
        self.state.lock().next(self.clock.now(), self.rules()?.every, RETRY)
    }

    /// Returns what is wrong with the schedule, for people.
    pub fn problem(&self) -> Option<String> {
        let rules = self.rules()?;
        self.state.lock().problem(self.clock.now(), rules.every)
    }

    /// Takes backups until the future is dropped. A copy that is running then ends when the store is closed.
    pub async fn run(self, store: Store, server: String) {
        let mut folder = None;
        loop {
            if let Some(rules) = self.rules() {
                let files = BackupFolder::new(&rules.folder, &server);
                if folder.replace(rules.folder.clone()).as_ref() != Some(&rules.folder) {
                    self.look_into(&files);
                }
                if self.state.lock().is_due(self.clock.now(), rules.every, RETRY) {
                    self.take(&store, &files, &rules).await;
                }
            } else {
                folder = None;
                *self.state.lock() = BackupState::default();
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = self.asked.notified() => {}
            }
        }
    }

    /// Finds the newest backup of an earlier process.
    fn look_into(&self, files: &BackupFolder) {
        let newest = files.list().ok().and_then(|files| files.into_iter().next_back());
        let mut state = self.state.lock();
        (state.newest, state.failure) = (newest, None);
    }

    async fn take(&self, store: &Store, files: &BackupFolder, rules: &BackupRules) {
        {
            let mut state = self.state.lock();
            (state.is_asked, state.is_running) = (false, true);
        }
        let began = self.clock.now();
        let taken = taken(store, files, rules, began).await;
        let mut state = self.state.lock();
        state.is_running = false;
        match taken {
            Ok(newest) => {
                tracing::info!(path = %newest.path.display(), bytes = newest.bytes, "scheduled backup verified");
                state.verified += 1;
                (state.newest, state.failure) = (Some(newest), None);
            }
            Err(why) => {
                tracing::error!(why, "scheduled backup failed");
                state.failed += 1;
                state.failure = Some((began, why));
            }
        }
    }
}

/// Takes and verifies a backup, and removes the oldest ones.
async fn taken(store: &Store, files: &BackupFolder, rules: &BackupRules, at: Millis) -> Result<BackupFile, String> {
    let folder = rules.folder.display().to_string();
    if !rules.folder.is_dir() {
        return Err(format!("the folder {folder} (store.backup.folder) is missing; create it, or mount its disk"));
    }
    files.remove_unfinished();
    let size = store.figures().await.map_err(|error| error.to_string())?.file_bytes.unwrap_or(0);
    let free = FolderDisk(rules.folder.clone()).free();
    if let Some(free) = free.filter(|free| *free < size.saturating_add(rules.min_free)) {
        return Err(format!(
            "the disk of {folder} has {free} bytes free; a backup may need {size}, and store.min_free ({}) is kept free",
            rules.min_free
        ));
    }
    let draft = files.draft(at);
    let copied = store.backup(&draft, |_| {}).await.map_err(|error| error.to_string())?;
    let verified = checked(&draft).await;
    if let Err(why) = verified {
        // The file is of no use, and the next attempt needs its space.
        let _ = std::fs::remove_file(&draft);
        return Err(why);
    }
    let newest = files.finish(&draft, copied.taken).map_err(|error| format!("{}: {error}", draft.display()))?;
    files.retain(rules.keep, &newest.path).map_err(|error| format!("an old backup in {folder} stays: {error}"))?;
    Ok(newest)
}

async fn checked(draft: &Path) -> Result<(), String> {
    let path = draft.to_owned();
    let verified = tokio::task::spawn_blocking(move || verify(path)).await.map_err(|error| error.to_string())?;
    let verified = verified.map_err(|error| error.to_string())?;
    match verified.findings.first() {
        None => Ok(()),
        Some(first) => Err(format!("the copy is damaged: {first}; check the disk of store.backup.folder")),
    }
}
