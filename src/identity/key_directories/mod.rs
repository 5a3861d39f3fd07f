//! The key directories of other servers: fetched, read and kept for a time; see `docs/protocol.md#signatures`.

mod directory_cache;
mod directory_reader;

pub use directory_cache::{DirectoryFetch, DirectorySource, DirectoryTimes, KeyDirectories};
pub use directory_reader::{DIRECTORY_BYTES_MAX, DirectoryError, read_directory};

#[cfg(test)]
mod tests;
