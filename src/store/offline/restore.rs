//! Turns a backup into the store of a gateway that has lost its own.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use actors::model::{CountedNoun, Millis};

use crate::runtime::durable_file::{draft_beside, publish};
use crate::store::error::OpenError;
use crate::store::marker;
use crate::store::offline::verify::{VerifyResult, verify};
use crate::store::open::FILE;

/// A restored store. Its first opening adopts the backup and notifies the messenger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreReport {
    /// Path of the store's file.
    pub path: PathBuf,
    /// Time at which the backup was taken.
    pub taken: Millis,
    /// Result of the verification.
    pub verified: VerifyResult,
}

/// Error: nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// A store exists; it is never overwritten.
    #[error("{} is there already; stop the gateway and move it away first, it may hold what the backup does not", .0.display())]
    Exists(PathBuf),
    /// Another process has the store or the backup open.
    #[error("{} is in use by another process; stop the gateway first, and restore from a backup and not from a store", .0.display())]
    InUse(PathBuf),
    /// The file is a store and not a backup.
    #[error("{} is a store and not a backup, so it cannot be known what was sent since it was copied; start the gateway with it in its own folder", .0.display())]
    NoBackup(PathBuf),
    /// Verification found damage in the backup.
    #[error("the backup is damaged: {}, the first: {}; use an older one", CountedNoun(.0.findings.len() as u64 + .0.more, "finding"), .0.findings[0])]
    Damaged(Box<VerifyResult>),
    /// The backup cannot be examined.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A file cannot be read or written.
    #[error("{}: {source}", .path.display())]
    File {
        /// Path of the file.
        path: PathBuf,
        /// Error of the system.
        source: std::io::Error,
    },
}

/// Copies a backup to the path of the gateway's store, unless a store exists there. The copy is verified before it gets
/// its name.
pub fn restore(backup: impl AsRef<Path>, data_dir: impl AsRef<Path>) -> Result<RestoreReport, RestoreError> {
    let (backup, data_dir) = (backup.as_ref(), data_dir.as_ref());
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| RestoreError::File { path, source }
    };
    let path = data_dir.join(FILE);
    let mut made = CreatedFolders::folder(data_dir).map_err(failed(data_dir))?;
    match File::open(&path) {
        Ok(there) if is_in_use(&there) => return Err(RestoreError::InUse(path)),
        Ok(_) => return Err(RestoreError::Exists(path)),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(source) => return Err(failed(&path)(source)),
    }
    let mut source = File::open(backup).map_err(failed(backup))?;
    if is_in_use(&source) {
        return Err(RestoreError::InUse(backup.to_owned()));
    }
    let mut draft = draft_beside(&path).map_err(failed(&path))?;
    std::io::copy(&mut source, draft.as_file_mut()).map_err(failed(&path))?;
    let verified = verify(draft.path())?;
    if !verified.is_sound() {
        return Err(RestoreError::Damaged(Box::new(verified)));
    }
    let Some(taken) = verified.taken else { return Err(RestoreError::NoBackup(backup.to_owned())) };
    // The marker is written first: a store without a marker is refused, while a marker without a store makes the next start
    // report the missing store.
    marker::restoring(&path).map_err(failed(&path))?;
    publish(draft, &path).map_err(|source| match source.kind() {
        ErrorKind::AlreadyExists => RestoreError::Exists(path.clone()),
        _ => failed(&path)(source),
    })?;
    made.keep();
    Ok(RestoreReport { path, taken, verified })
}

/// The folders that were created for a restore or an import, innermost first. They are removed if nothing comes of it.
pub(super) struct CreatedFolders(Vec<PathBuf>);

impl CreatedFolders {
    /// Creates a folder and its ancestors.
    pub(super) fn folder(path: &Path) -> std::io::Result<Self> {
        let missing = path.ancestors().take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists());
        let made = Self(missing.map(Path::to_owned).collect());
        std::fs::create_dir_all(path)?;
        Ok(made)
    }

    /// Keeps the folders, because they are in use.
    pub(super) fn keep(&mut self) {
        self.0.clear();
    }
}

impl Drop for CreatedFolders {
    fn drop(&mut self) {
        for folder in &self.0 {
            // A folder that another process has put something into stays, and so do its ancestors.
            if std::fs::remove_dir(folder).is_err() {
                return;
            }
        }
    }
}

/// Returns whether another process has the file open: it would hold a lock on it.
pub(super) fn is_in_use(file: &File) -> bool {
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}
