//! The marker beside a store: a small file which says that a store was created in this folder.
//!
//! A store that is missing or empty looks like the first start of a new server. If the store was lost, or its disk is not
//! mounted, an empty store would reuse the server's numbers and lose all pending items. So the store and the marker must
//! both exist or both be absent; otherwise the start is refused until an operator confirms it.
//!
//! The marker is written as `making` before the store is created, and as `made` once the store was opened. After a crash in
//! between, the next start continues.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use crate::runtime::durable_file::{draft_beside, sync_folder_of};
use crate::store::error::OpenError;

/// The marker's file in the folder of the store.
pub const MARKER: &str = "fernpost.marker";

/// First lines of a marker, which explain the file to a reader.
const WORDS: &str = "# A store of Fernpost was made in this folder. `fernpost serve` refuses to start where one of the two is missing.\n";

/// Maximum bytes of a marker that are read.
const BYTES_MAX: u64 = 4096;

/// The content of a marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StoreMarker {
    /// True while a store is created and was never opened, so it holds no data.
    making: bool,
    /// Number of restores of a backup into this folder.
    restores: u64,
}

impl StoreMarker {
    /// Reads the marker of the store at `store`; `None` if there is none. An unreadable marker counts as `made`.
    pub(crate) fn read(store: &Path) -> io::Result<Option<Self>> {
        let mut text = Vec::new();
        match File::open(place(store)) {
            Ok(file) => file.take(BYTES_MAX).read_to_end(&mut text)?,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let text = String::from_utf8_lossy(&text);
        let value = |key: &str| {
            let pairs = text.lines().filter_map(|line| line.split_once('='));
            pairs.filter(|(name, _)| name.trim() == key).map(|(_, value)| value.trim()).next()
        };
        let restores = value("restores").and_then(|count| count.parse().ok()).unwrap_or(0);
        Ok(Some(Self { making: value("state") == Some("making"), restores }))
    }

    /// Writes the marker whole or not at all, and syncs it.
    fn write(self, store: &Path) -> io::Result<()> {
        let state = if self.making { "making" } else { "made" };
        let mut draft = draft_beside(store)?;
        draft.write_all(format!("{WORDS}state = {state}\nrestores = {}\n", self.restores).as_bytes())?;
        draft.as_file().sync_all()?;
        draft.persist(place(store)).map_err(|error| error.error)?;
        sync_folder_of(store)
    }

    /// Returns the number of restores before the last one.
    pub(crate) const fn earlier(self) -> u64 {
        self.restores.saturating_sub(1)
    }
}

fn place(store: &Path) -> PathBuf {
    store.with_file_name(MARKER)
}

/// Records that a backup is about to become the store.
pub(crate) fn restoring(store: &Path) -> io::Result<()> {
    let restores = StoreMarker::read(store)?.map_or(0, |marker| marker.restores);
    StoreMarker { making: false, restores: restores + 1 }.write(store)
}

/// Records that a store is about to be moved here.
pub(crate) fn moving(store: &Path) -> io::Result<()> {
    let restores = StoreMarker::read(store)?.map_or(0, |marker| marker.restores);
    StoreMarker { making: false, restores }.write(store)
}

/// Records that the store was opened.
pub(crate) fn opened(store: &Path, marker: StoreMarker) -> io::Result<()> {
    if marker.making { StoreMarker { making: false, ..marker }.write(store) } else { Ok(()) }
}

/// Checks that the store at `store` may be opened or created, and returns its marker. `as_found`: the operator accepts any
/// state of the folder.
pub(crate) fn admit(store: &Path, as_found: bool) -> Result<StoreMarker, OpenError> {
    let place = store.display().to_string();
    let unusable = |error: io::Error| OpenError::from_redb(&place, redb::Error::Io(error));
    let length = match store.metadata() {
        Ok(file) => Some(file.len()),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(unusable(error)),
    };
    let marker = StoreMarker::read(store).map_err(unusable)?;
    let making = |restores| -> Result<StoreMarker, OpenError> {
        let marker = StoreMarker { making: true, restores };
        marker.write(store).map_err(unusable)?;
        Ok(marker)
    };
    let shown = self::place(store).display().to_string();
    match (marker, length) {
        (None, None) => {
            // A data folder that is a mount point looks like this while its disk is not mounted.
            tracing::info!(store = %place, "made a new store, because the data folder held none");
            making(0)
        }
        (Some(marker), Some(1..)) if !marker.making => Ok(marker),
        (Some(marker), _) if marker.making => {
            clear_unfinished(store).map_err(unusable)?;
            Ok(marker)
        }
        (Some(marker), _) if as_found => {
            tracing::warn!(store = %place, "a new store replaces a missing one, because of --accept-data-dir");
            making(marker.restores)
        }
        (None, Some(0)) if as_found => making(0),
        (None, Some(_)) if as_found => {
            tracing::warn!(store = %place, "a store without its marker is opened, because of --accept-data-dir");
            let marker = StoreMarker { making: false, restores: 0 };
            marker.write(store).map_err(unusable)?;
            Ok(marker)
        }
        (Some(_), None) => Err(OpenError::Missing { place, marker: shown }),
        (_, Some(0)) => Err(OpenError::Empty { place }),
        (_, _) => Err(OpenError::Unmarked { place, marker: shown }),
    }
}

/// Removes a file that the engine never finished creating: the engine writes its first bytes last, so such a file begins
/// with zeros. A file that another process is creating now is left alone.
fn clear_unfinished(store: &Path) -> io::Result<()> {
    let mut file = match OpenOptions::new().read(true).write(true).open(store) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if file.try_lock().is_err() {
        return Ok(());
    }
    let mut start = [0; 8];
    match file.read_exact(&mut start) {
        Ok(()) if start != [0; 8] => Ok(()),
        Ok(()) => file.set_len(0),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => file.set_len(0),
        Err(error) => Err(error),
    }
}
