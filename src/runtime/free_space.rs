//! Free space on the disk of the data folder.

use std::path::PathBuf;

use actors::ports::Disk;

/// The file system of a folder.
pub(crate) struct FolderDisk(pub PathBuf);

impl Disk for FolderDisk {
    /// Returns the bytes that an unprivileged process may use. It is one system call, which is answered from memory.
    fn free(&self) -> Option<u64> {
        let state = rustix::fs::statvfs(&self.0).ok()?;
        Some(state.f_bavail.saturating_mul(state.f_frsize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_folder_has_unknown_space() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(FolderDisk(folder.path().into()).free().is_some_and(|free| free > 0));
        assert_eq!(FolderDisk(folder.path().join("nothing")).free(), None);
    }
}
