//! Errors of opening a store, and the failure that stops an open one.

use std::io::ErrorKind;

use crate::store::schema::version::schema_remedy;

/// The result of an operation of the storage engine that returns no value.
pub(crate) type RedbResult = Result<(), redb::Error>;

/// Message about a file on which the storage engine panics.
pub(crate) const UNREADABLE: &str = "the engine cannot read it at all";

/// Error: the store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has opened the file.
    #[error(
        "the store {place} is in use by another process; stop that one first, or give this one another server.data_dir"
    )]
    InUse {
        /// Path of the store's file.
        place: String,
    },
    /// The schema version is unknown to this program.
    #[error(
        "the store {place} has schema version {found}, this program knows {known}{}", schema_remedy(.found, *.known)
    )]
    Schema {
        /// Path of the store's file.
        place: String,
        /// Version in the file.
        found: String,
        /// Version that this program writes.
        known: u32,
    },
    /// The store cannot be converted from the schema version before.
    #[error(
        "the store {place} has schema version {from} and is not converted to {to}: {why}; it is as it was, so start again afterwards"
    )]
    Conversion {
        /// Path of the store's file.
        place: String,
        /// Version of the store.
        from: u32,
        /// Version that this program writes.
        to: u32,
        /// Reason and remedy.
        why: String,
    },
    /// The store belongs to another server.
    #[error("the store {place} belongs to {owner}, this server is {own}; check server.data_dir and server.name")]
    Foreign {
        /// Path of the store's file.
        place: String,
        /// Name in the file.
        owner: String,
        /// Name of this server.
        own: String,
    },
    /// The file is no store, or it is damaged.
    #[error(
        "the store {place} is damaged: {source}; examine it with `fernpost store verify`; to restore a backup, move this file away and use `fernpost store restore`"
    )]
    Damaged {
        /// Path of the store's file.
        place: String,
        /// Error that redb returned.
        source: Box<redb::Error>,
    },
    /// The marker says that a store was created here, but there is none.
    #[error(
        "the store {place} is missing, but {marker} says that it was created there: check that its disk is mounted, or restore a backup with `fernpost store restore`; to start with an empty store, add --accept-data-dir to `fernpost serve` once"
    )]
    Missing {
        /// Path at which the store is missing.
        place: String,
        /// Path of the marker.
        marker: String,
    },
    /// The store was not closed, and its log is missing.
    #[error(
        "the log of the store {place} is missing: {folder} held what was written last; put it back beside the store, or restore a backup with `fernpost store restore`; to go on without it, add --accept-data-dir to `fernpost serve` once"
    )]
    LogMissing {
        /// Path of the store's file.
        place: String,
        /// Path of the log's folder.
        folder: String,
    },
    /// The file of the store is empty.
    #[error(
        "the store {place} is an empty file: check its disk, move the file away and restore a backup with `fernpost store restore`; to start with an empty store, add --accept-data-dir to `fernpost serve` once"
    )]
    Empty {
        /// Path of the store's file.
        place: String,
    },
    /// There is a store, but no marker that it was created or restored here.
    #[error(
        "the store {place} was not created in this folder, {marker} is missing: examine it with `fernpost store verify`; if it is a backup, use `fernpost store restore`; if it is the newest store of this server and no copy of it is in use, add --accept-data-dir to `fernpost serve` once"
    )]
    Unmarked {
        /// Path of the store's file.
        place: String,
        /// Path of the marker.
        marker: String,
    },
    /// The file cannot be read or written.
    #[error("the store {place} cannot be opened: {source}; check that its folder exists, its owner and its disk")]
    Unusable {
        /// Path of the store's file.
        place: String,
        /// Error that redb returned.
        source: Box<redb::Error>,
    },
}

impl OpenError {
    /// Returns the error for a file on which the engine panicked.
    pub(crate) fn unreadable(place: &str) -> Self {
        Self::Damaged { place: place.to_owned(), source: Box::new(redb::Error::Corrupted(UNREADABLE.to_owned())) }
    }

    pub(crate) fn from_redb(place: &str, error: impl Into<redb::Error>) -> Self {
        let place = place.to_owned();
        match error.into() {
            redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => Self::InUse { place },
            source if is_damage(&source) => Self::Damaged { place, source: Box::new(source) },
            source => Self::Unusable { place, source: Box::new(source) },
        }
    }
}

/// Returns whether the error concerns the content of the file and not the access to it.
pub(crate) fn is_damage(error: &redb::Error) -> bool {
    match error {
        redb::Error::Corrupted(_) => true,
        redb::Error::Io(error) => matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof),
        _ => false,
    }
}

/// The failure that stopped the journal, as one line for the log. The process then exits: everything acknowledged is on
/// disk.
///
/// redb refuses every write after a failed one until the file is reopened, and after a panic in mid-commit the writer's
/// memory cannot be trusted. So the process does not try to continue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the store {place} has stopped: {what}; nothing acknowledged is lost: {remedy}, then start again")]
pub struct StoreFailure {
    place: String,
    what: String,
    remedy: &'static str,
}

impl StoreFailure {
    pub(crate) fn disk(place: &str, error: &redb::Error) -> Self {
        let what = format!("a group of changes could not be committed ({error})");
        Self { place: place.to_owned(), what, remedy: "check the disk and its free space" }
    }

    pub(crate) fn checkpoint(place: &str, error: &redb::Error) -> Self {
        let what = format!("a checkpoint could not be committed ({error})");
        Self { place: place.to_owned(), what, remedy: "check the disk and its free space" }
    }

    pub(crate) fn panic(place: &str, message: &str) -> Self {
        let what = format!("the writer panicked ({message})");
        let remedy = "examine it with `fernpost store verify`, and if it is sound, report a bug";
        Self { place: place.to_owned(), what, remedy }
    }

    pub(crate) fn abandoned(place: &str) -> Self {
        let what = "its writer was dropped with the runtime".to_owned();
        Self { place: place.to_owned(), what, remedy: "stop the server by its signal" }
    }
}
