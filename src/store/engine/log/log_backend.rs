//! The storage of the log: segments of a fixed size, as files in a folder or in memory.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::{fmt, vec};

use parking_lot::Mutex;

use crate::runtime::durable_file::sync_folder_of;

/// A segment of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogSegment {
    /// Number of the segment.
    pub number: u64,
    /// Length in bytes.
    pub length: u64,
}

/// The storage of the segments of the log.
pub trait LogBackend: fmt::Debug + Send + Sync + 'static {
    /// Returns all segments, in any order.
    fn segments(&self) -> io::Result<Vec<LogSegment>>;

    /// Creates a segment that is filled with zeros, and returns when it is on disk.
    fn create(&self, segment: LogSegment) -> io::Result<()>;

    /// Removes a segment.
    fn remove(&self, number: u64) -> io::Result<()>;

    /// Reads a whole segment.
    fn read(&self, segment: LogSegment) -> io::Result<Vec<u8>>;

    /// Writes into a segment, within its length, and returns when the bytes are on disk.
    fn append(&self, number: u64, offset: u64, bytes: &[u8]) -> io::Result<()>;
}

/// Bytes of zeros that are written at once.
const ZEROS: usize = 1 << 20;

/// The end of the name of a segment's file.
const SUFFIX: &str = ".segment";

/// Segments that are files in a folder.
#[derive(Debug)]
pub(crate) struct LogFolder {
    folder: PathBuf,
    /// The segment that was written last.
    current: Mutex<Option<(u64, Arc<File>)>>,
}

impl LogFolder {
    /// Uses this folder, which is created with the first segment.
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder, current: Mutex::new(None) }
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:08}{SUFFIX}"))
    }

    fn file(&self, number: u64) -> io::Result<Arc<File>> {
        let mut current = self.current.lock();
        match &*current {
            Some((open, file)) if *open == number => Ok(file.clone()),
            _ => {
                let file = Arc::new(OpenOptions::new().write(true).open(self.path(number))?);
                *current = Some((number, file.clone()));
                Ok(file)
            }
        }
    }
}

impl LogBackend for LogFolder {
    fn segments(&self) -> io::Result<Vec<LogSegment>> {
        let entries = match self.folder.read_dir() {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut segments = vec![];
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(SUFFIX)).and_then(|name| name.parse().ok());
            if let Some(number) = number {
                segments.push(LogSegment { number, length: entry.metadata()?.len() });
            }
        }
        Ok(segments)
    }

    fn create(&self, segment: LogSegment) -> io::Result<()> {
        match DirBuilder::new().mode(0o700).create(&self.folder) {
            Ok(()) => sync_folder_of(&self.folder)?,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        let path = self.path(segment.number);
        // Only the owner may read the file, because it contains private messages.
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        // Zeros are written, because a file system that only notes the length would have to find room for each record, and
        // to sync what it noted.
        let zeros = vec![0; ZEROS];
        let mut at = 0;
        while at < segment.length {
            let count = (segment.length - at).min(ZEROS as u64);
            file.write_all_at(&zeros[..usize::try_from(count).expect("it fits in memory")], at)?;
            at += count;
        }
        file.sync_all()?;
        sync_folder_of(&path)
    }

    fn remove(&self, number: u64) -> io::Result<()> {
        self.current.lock().take_if(|(open, _)| *open == number);
        std::fs::remove_file(self.path(number))
    }

    fn read(&self, segment: LogSegment) -> io::Result<Vec<u8>> {
        std::fs::read(self.path(segment.number))
    }

    fn append(&self, number: u64, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let file = self.file(number)?;
        file.write_all_at(bytes, offset)?;
        file.sync_data()
    }
}
