//! New files and folders of an operator: with a given mode, and with the owner of the folder that they are in.
//!
//! An operator works as root, and the service under a user of its own: a file that belonged to root could not be read by the service.

use std::fs::{DirBuilder, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::Path;

use crate::runtime::durable_file;

/// Effect of a file that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExistingFile {
    /// It stays, and the call fails.
    Keep,
    /// It is replaced.
    Replace,
}

/// Writes a file.
pub(crate) fn write(path: &Path, text: &[u8], mode: u32, existing: ExistingFile) -> io::Result<()> {
    let mut draft = durable_file::draft_beside(path)?;
    draft.write_all(text)?;
    draft.as_file().set_permissions(Permissions::from_mode(mode))?;
    give_to_folder_owner(draft.path(), folder_of(path))?;
    match existing {
        ExistingFile::Keep => durable_file::publish(draft, path),
        ExistingFile::Replace => durable_file::replace(draft, path),
    }
}

/// Makes a folder and those above it, unless they exist. Returns those that were made, the highest first.
pub(crate) fn make_folder(path: &Path, mode: u32) -> io::Result<Vec<std::path::PathBuf>> {
    let missing: Vec<_> =
        path.ancestors().take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists()).collect();
    let mut made = Vec::new();
    for folder in missing.into_iter().rev() {
        DirBuilder::new().mode(mode).create(folder)?;
        give_to_folder_owner(folder, folder_of(folder))?;
        made.push(folder.to_owned());
    }
    Ok(made)
}

/// Gives a file to the owner of a folder, if that is another user.
pub(crate) fn give_to_folder_owner(file: &Path, folder: &Path) -> io::Result<()> {
    let (owner, own) = (folder.metadata()?, file.metadata()?);
    if (owner.uid(), owner.gid()) == (own.uid(), own.gid()) || !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    chown(file, Some(owner.uid()), Some(owner.gid()))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        path.metadata().expect("it is there").mode() & 0o7777
    }

    #[test]
    fn new_file_has_mode_and_owner() {
        let folder = tempfile::tempdir().expect("a folder");
        let inner = folder.path().join("a/b");
        assert_eq!(make_folder(&inner, 0o750).expect("made").len(), 2);
        assert_eq!((mode(&inner), make_folder(&inner, 0o700).expect("there").len()), (0o750, 0));
        if rustix::process::geteuid().is_root() {
            chown(&inner, Some(12_345), Some(23_456)).expect("root may");
        }
        let file = inner.join("token");
        write(&file, b"one", 0o600, ExistingFile::Keep).expect("new");
        let (owner, own) = (inner.metadata().expect("there"), file.metadata().expect("there"));
        assert_eq!((mode(&file), own.uid(), own.gid()), (0o600, owner.uid(), owner.gid()));
        let again = write(&file, b"two", 0o600, ExistingFile::Keep).expect_err("it exists");
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&file).expect("there"), b"one");
        write(&file, b"two", 0o644, ExistingFile::Replace).expect("replaced");
        assert_eq!((std::fs::read(&file).expect("there"), mode(&file)), (b"two".to_vec(), 0o644));
        assert_eq!(std::fs::read_dir(&inner).expect("there").count(), 1, "no draft is left");
    }
}
