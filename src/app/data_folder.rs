//! The data folder and the signing keys in it, as a start finds or makes them.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use crate::app::{StartError, SystemClock};
use crate::identity::key_folder::KeyFolder;
use crate::identity::key_ring::KeyRing;
use crate::runtime::open_files::mode_for_others;
use crate::settings::Settings;

/// Returns the signing keys; the first start makes one. Keys that others can read are used only if the operator allows it, with a
/// warning at each start.
pub(super) fn signing_keys(settings: &Settings) -> Result<KeyRing, StartError> {
    create_data_dir(&settings.server.data_dir)?;
    let folder = KeyFolder::in_data_dir(&settings.server.data_dir);
    let (ring, open) = folder.load_or_begin(settings.server.allow_open_secrets, SystemClock::time())?;
    open.iter().for_each(|found| tracing::warn!(%found, "a signing key is open to others"));
    Ok(ring)
}

/// Makes the data folder, for its owner only; one that exists keeps its mode, and a warning names one that others can enter.
fn create_data_dir(path: &Path) -> Result<(), StartError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|source| {
        let source = if path.is_file() { std::io::Error::other("this is a file") } else { source };
        StartError::DataDir { path: path.to_owned(), source }
    })?;
    if let Some(mode) = mode_for_others(path) {
        let (data_dir, mode) = (path.display(), format!("{mode:04o}"));
        tracing::warn!(%data_dir, mode, "every user of this machine can enter the data folder; run chmod 700 on it");
    }
    Ok(())
}
