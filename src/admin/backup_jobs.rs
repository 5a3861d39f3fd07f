//! The backup that an operator started: the running one, or the last one.

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use serde::Serialize;

/// The running backup, or the last one. Only one runs at a time, because each reads the whole store from the disk.
#[derive(Clone, Default)]
pub(crate) struct BackupJobs(pub(crate) Arc<Mutex<Option<BackupJob>>>);

#[derive(Debug, Clone, Serialize)]
pub(crate) struct BackupJob {
    pub(crate) path: PathBuf,
    pub(crate) state: &'static str,
    pub(crate) began: String,
    pub(crate) rows: u64,
    pub(crate) rows_total: u64,
    pub(crate) bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) taken: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

pub(crate) const RUNNING: &str = "running";

impl BackupJobs {
    pub(crate) fn job(&self) -> MutexGuard<'_, Option<BackupJob>> {
        // The lock does not poison, which is safe: each change is one assignment, so a panic elsewhere cannot have left it half
        // done.
        self.0.lock()
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut BackupJob)) {
        if let Some(job) = self.job().as_mut() {
            change(job);
        }
    }
}
