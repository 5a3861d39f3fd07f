//! Files that appear complete, synced and under their name, or not at all.

use std::fs::File;
use std::path::Path;

/// Syncs the folder of a new file, because otherwise a power cut could lose the file's name although its commits were
/// synced.
pub(crate) fn sync_folder_of(path: &Path) -> Result<(), std::io::Error> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// Creates a temporary file in the folder of `path`; it is deleted unless it is published.
pub(crate) fn draft_beside(path: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    tempfile::Builder::new().prefix(".fernpost-").suffix(".part").tempfile_in(folder)
}

/// Syncs a temporary file and gives it its name, unless a file with that name exists.
pub(crate) fn publish(draft: tempfile::NamedTempFile, path: &Path) -> std::io::Result<()> {
    File::open(draft.path())?.sync_all()?;
    draft.persist_noclobber(path).map_err(|error| error.error)?;
    sync_folder_of(path)
}

/// Syncs a temporary file and gives it its name, in place of a file with that name.
pub(crate) fn replace(draft: tempfile::NamedTempFile, path: &Path) -> std::io::Result<()> {
    File::open(draft.path())?.sync_all()?;
    draft.persist(path).map_err(|error| error.error)?;
    sync_folder_of(path)
}
