//! The backup that an operator started: the running one, or the last one.

use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use crate::api::store::BackupProgress;

/// The running backup, or the last one. Only one runs at a time, because each reads the whole store from the disk.
#[derive(Clone, Default)]
pub(crate) struct BackupJobs(pub(crate) Arc<Mutex<Option<BackupProgress>>>);

impl BackupJobs {
    pub(crate) fn job(&self) -> MutexGuard<'_, Option<BackupProgress>> {
        // The lock does not poison, which is safe: each change is one assignment, so a panic elsewhere cannot have left it half
        // done.
        self.0.lock()
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut BackupProgress)) {
        if let Some(job) = self.job().as_mut() {
            change(job);
        }
    }
}
