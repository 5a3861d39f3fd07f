//! The copy of a store that a conversion makes first: file and log, byte by byte, under names with the schema version. The version before
//! opens it under the names of the store.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use actors::ports::Disk;

use crate::runtime::durable_file::{draft_beside, replace, sync_folder_of};
use crate::runtime::free_space::FolderDisk;

/// The files of a store that is not somewhere else.
#[derive(Debug, Clone)]
pub(crate) struct StoreFiles {
    /// The store's file.
    pub(crate) file: PathBuf,
    /// The folder of its log.
    pub(crate) log: PathBuf,
}

/// Bytes that stay free beside the copy: the conversion itself writes.
const SPARE: u64 = 16 << 20;

/// Copies the store; an error says why there is no copy. A copy of an attempt before, which may be older, is replaced.
pub(super) fn make(files: &StoreFiles, version: u32) -> Result<PathBuf, String> {
    let folder = files.file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let copy = named(&files.file, version);
    let needed = size(files).map_err(|error| words(&files.file, &error))?.saturating_add(SPARE);
    if let Some(free) = FolderDisk(folder.to_owned()).free().filter(|free| *free < needed) {
        return Err(format!(
            "it is copied first, and the disk of {} has {free} bytes free of the {needed} that this needs; free some space, or move \
             older copies away",
            folder.display()
        ));
    }
    copy_log(&files.log, &named(&files.log, version)).map_err(|error| words(&files.log, &error))?;
    copy_file(&files.file, &copy).map_err(|error| words(&copy, &error))?;
    Ok(copy)
}

fn words(path: &Path, error: &io::Error) -> String {
    format!("it is copied first, and {} cannot be: {error}", path.display())
}

/// Returns `fernpost.schema-4.redb` of `fernpost.redb`.
fn named(path: &Path, version: u32) -> PathBuf {
    let ending = path.extension().map(|ending| ending.to_string_lossy().into_owned()).unwrap_or_default();
    path.with_extension(format!("schema-{version}.{ending}"))
}

fn size(files: &StoreFiles) -> io::Result<u64> {
    let mut size = files.file.metadata()?.len();
    for segment in segments(&files.log)? {
        size += segment.metadata()?.len();
    }
    Ok(size)
}

fn segments(log: &Path) -> io::Result<Vec<PathBuf>> {
    match log.read_dir() {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// The file appears under its name when it is complete and synced. Only the owner may read it, as with the store itself.
fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    let mut draft = draft_beside(to)?;
    io::copy(&mut File::open(from)?, draft.as_file_mut())?;
    replace(draft, to)
}

fn copy_log(from: &Path, to: &Path) -> io::Result<()> {
    let segments = segments(from)?;
    if segments.is_empty() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(to)?;
    for segment in segments {
        if let Some(name) = segment.file_name() {
            copy_file(&segment, &to.join(name))?;
        }
    }
    sync_folder_of(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copy_has_version_in_names() {
        let folder = tempfile::tempdir().expect("a folder");
        let files =
            StoreFiles { file: folder.path().join("fernpost.redb"), log: folder.path().join("fernpost.journal") };
        std::fs::write(&files.file, "rows").expect("written");
        std::fs::create_dir(&files.log).expect("made");
        std::fs::write(files.log.join("00000001.segment"), "groups").expect("written");
        std::fs::write(folder.path().join("fernpost.schema-4.redb"), "an older copy").expect("written");
        let copy = make(&files, 4).expect("copied");
        assert_eq!(copy, folder.path().join("fernpost.schema-4.redb"));
        assert_eq!(std::fs::read(copy).expect("readable"), b"rows");
        let segment = folder.path().join("fernpost.schema-4.journal/00000001.segment");
        assert_eq!(std::fs::read(segment).expect("readable"), b"groups");
        let absent = StoreFiles { file: folder.path().join("absent.redb"), ..files };
        assert!(make(&absent, 4).expect_err("nothing to copy").contains("absent.redb cannot be"));
    }
}
