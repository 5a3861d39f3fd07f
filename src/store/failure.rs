//! Why a store does not open, and why an open one has stopped.

use std::any::Any;
use std::io::ErrorKind;

/// Why a store does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error(
        "the store {place} is in use by another process; stop that one first, or give this one another server.data_dir"
    )]
    InUse {
        /// The file.
        place: String,
    },
    /// It was written by a program this one does not know.
    #[error(
        "the store {place} has schema version {found}, this program knows {known} and cannot convert it; start the program that wrote it, or move the file away and begin anew, without all that lies in it"
    )]
    Schema {
        /// The file.
        place: String,
        /// What the file says.
        found: String,
        /// What this program writes.
        known: u32,
    },
    /// It belongs to another server.
    #[error("the store {place} belongs to {owner}, this server is {own}; check server.data_dir and server.name")]
    Foreign {
        /// The file.
        place: String,
        /// The name in the file.
        owner: String,
        /// The name of this server.
        own: String,
    },
    /// What lies there is no store, or no whole one.
    #[error(
        "the store {place} is damaged: {source}; `fernpost store verify` examines it, and `fernpost store restore` makes a backup the store, once this file is moved away"
    )]
    Damaged {
        /// The file.
        place: String,
        /// What redb says.
        source: Box<redb::Error>,
    },
    /// It cannot be read or written.
    #[error("the store {place} cannot be opened: {source}; check that its folder exists, its owner and its disk")]
    Unusable {
        /// The file.
        place: String,
        /// What redb says.
        source: Box<redb::Error>,
    },
}

impl OpenError {
    pub(super) fn from_redb(place: &str, error: impl Into<redb::Error>) -> Self {
        let place = place.to_owned();
        match error.into() {
            redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => Self::InUse { place },
            source if is_damage(&source) => Self::Damaged { place, source: Box::new(source) },
            source => Self::Unusable { place, source: Box::new(source) },
        }
    }
}

/// Whether the engine says this of what lies in the file, and not of the way to it.
pub(super) fn is_damage(error: &redb::Error) -> bool {
    match error {
        redb::Error::Corrupted(_) => true,
        redb::Error::Io(error) => matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof),
        _ => false,
    }
}

/// The journal has stopped. One line for the log; then the process ends, all truth is on disk.
///
/// redb refuses every write after a failed one until the file is opened anew, and after a panic half-way the writer's own
/// memory cannot be trusted, so going on in the same process is not tried.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the store {place} has stopped: {what}; nothing acknowledged is lost: {remedy}, then start again")]
pub struct Failure {
    place: String,
    what: String,
    remedy: &'static str,
}

impl Failure {
    pub(super) fn disk(place: &str, error: &redb::Error) -> Self {
        let what = format!("a group of changes could not be committed ({error})");
        Self { place: place.to_owned(), what, remedy: "check the disk and its free space" }
    }

    pub(super) fn panic(place: &str, payload: &(dyn Any + Send)) -> Self {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
        let what = format!("the writer panicked ({text})");
        Self { place: place.to_owned(), what, remedy: "report this as a bug with the log" }
    }

    pub(super) fn abandoned(place: &str) -> Self {
        let what = "its writer was dropped with the runtime".to_owned();
        Self { place: place.to_owned(), what, remedy: "stop the server by its signal" }
    }
}
