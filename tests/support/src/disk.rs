//! A disk in memory that knows what was synced, fails or loses power on request, and can hold a sync.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use fernpost::store::{LogBackend, LogSegment, LoggedBackend};
use redb::StorageBackend;

/// The part of the disk's content that survives a crash.
#[derive(Debug, Clone, Copy)]
pub enum SurvivingBytes {
    /// Only synced data: the power failed.
    Synced,
    /// All written data: the process ended, and the page cache was kept.
    Written,
    /// All synced data, and a part of the later writes that this seed selects.
    Torn(u64),
}

/// The bytes of a disk: the file of a store, and its log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DiskBytes {
    /// The store's file.
    pub file: Vec<u8>,
    /// The segments of the log, by number.
    pub segments: BTreeMap<u64, SegmentBytes>,
}

/// The bytes of a segment of the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SegmentBytes {
    /// Length of the segment.
    pub length: u64,
    /// The bytes up to the last one that was written; zeros follow.
    pub bytes: Vec<u8>,
}

impl From<Vec<u8>> for DiskBytes {
    fn from(file: Vec<u8>) -> Self {
        Self { file, segments: BTreeMap::new() }
    }
}

/// The disk; clones share one disk.
#[derive(Clone)]
pub struct FaultyDisk(Arc<DiskContent>);

struct DiskContent {
    state: Mutex<DiskState>,
    changed: Condvar,
}

#[derive(Default)]
struct DiskState {
    synced: DiskBytes,
    written: DiskBytes,
    since_sync: Vec<DiskWrite>,
    syncs: u64,
    writes: u64,
    fail_at: Option<u64>,
    /// True if the failing sync reaches the disk all the same.
    synced_all_the_same: bool,
    fail_write_at: Option<u64>,
    failed: bool,
    cut_after: Option<u64>,
    held: Option<HeldSyncs>,
    waiting: u64,
}

/// The syncs that are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HeldSyncs {
    All,
    /// Those of the store's file, so that checkpoints take long while groups are committed.
    StoreFile,
}

/// A file of the disk: the store's file, or a segment of its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DiskFile {
    Store,
    Segment(u64),
}

struct DiskWrite {
    file: DiskFile,
    what: DiskChange,
}

enum DiskChange {
    Length(usize),
    Bytes(usize, Vec<u8>),
}

impl DiskWrite {
    fn apply(&self, disk: &mut DiskBytes) {
        let bytes = match self.file {
            DiskFile::Store => &mut disk.file,
            DiskFile::Segment(number) => match disk.segments.get_mut(&number) {
                Some(segment) => &mut segment.bytes,
                // It was removed.
                None => return,
            },
        };
        match &self.what {
            DiskChange::Length(length) => bytes.resize(*length, 0),
            DiskChange::Bytes(at, data) => {
                let end = at + data.len();
                bytes.resize(bytes.len().max(end), 0);
                bytes[*at..end].copy_from_slice(data);
            }
        }
    }
}

impl DiskState {
    /// Counts a write, and fails if it is to fail.
    fn count_write(&mut self) -> io::Result<()> {
        self.writes += 1;
        self.failed |= self.fail_write_at == Some(self.writes);
        if self.failed { Err(io::Error::other("the disk has failed")) } else { Ok(()) }
    }

    fn has_power(&self) -> bool {
        self.cut_after.is_none_or(|cut| self.syncs < cut)
    }

    fn note(&mut self, write: DiskWrite) {
        write.apply(&mut self.written);
        if self.has_power() {
            self.since_sync.push(write);
        }
    }

    /// Makes what was written into a file durable.
    fn settle(&mut self, file: DiskFile) {
        let Self { synced, since_sync, .. } = self;
        since_sync.retain(|write| {
            if write.file == file {
                write.apply(synced);
            }
            write.file != file
        });
    }

    /// Counts a sync of a file, and does it unless it fails or the power is gone.
    fn sync(&mut self, file: DiskFile) -> io::Result<()> {
        self.syncs += 1;
        self.failed |= self.fail_at == Some(self.syncs);
        if self.fail_at == Some(self.syncs) && self.synced_all_the_same {
            self.settle(file);
        }
        if self.failed {
            return Err(io::Error::other("no space left on device"));
        }
        if self.cut_after.is_none_or(|cut| self.syncs <= cut) {
            self.settle(file);
        }
        Ok(())
    }
}

impl FaultyDisk {
    /// Returns an empty disk.
    pub fn new() -> Self {
        Self::with(DiskBytes::default())
    }

    /// Returns a disk with this content.
    pub fn with(bytes: impl Into<DiskBytes>) -> Self {
        let bytes = bytes.into();
        let state = DiskState { synced: bytes.clone(), written: bytes, ..DiskState::default() };
        Self(Arc::new(DiskContent { state: Mutex::new(state), changed: Condvar::new() }))
    }

    fn state(&self) -> MutexGuard<'_, DiskState> {
        self.0.state.lock().expect("no holder panics")
    }

    /// Makes the k-th sync from now on fail, and everything after it.
    pub fn fail_at(&self, k: u64) {
        let mut state = self.state();
        state.fail_at = Some(state.syncs + k);
    }

    /// Makes the k-th sync from now on reach the disk without a report: the process ends right there.
    pub fn end_after(&self, k: u64) {
        let mut state = self.state();
        state.fail_at = Some(state.syncs + k);
        state.synced_all_the_same = true;
    }

    /// Makes the k-th write from now on fail, and everything after it.
    pub fn fail_write_at(&self, k: u64) {
        let mut state = self.state();
        state.fail_write_at = Some(state.writes + k);
    }

    /// Drops all syncs after the k-th from now on, although each reports success.
    pub fn cut_after(&self, k: u64) {
        let mut state = self.state();
        state.cut_after = Some(state.syncs + k);
    }

    /// Changes the content of the store's file directly.
    pub fn damage(&self, change: impl FnOnce(&mut Vec<u8>)) {
        change(&mut self.state().written.file);
    }

    /// Returns the number of syncs so far.
    pub fn syncs(&self) -> u64 {
        self.state().syncs
    }

    /// Returns whether an operation has failed.
    pub fn has_failed(&self) -> bool {
        self.state().failed
    }

    /// Returns whether the power has failed, so that the latest syncs are lost.
    pub fn is_cut(&self) -> bool {
        let state = self.state();
        state.cut_after.is_some_and(|cut| state.syncs > cut)
    }

    /// Holds every sync until the guard is dropped.
    pub fn hold(&self) -> SyncHold {
        self.state().held = Some(HeldSyncs::All);
        SyncHold(self.clone())
    }

    /// Holds every sync of the store's file, and none of the log, until the guard is dropped.
    pub fn hold_checkpoints(&self) -> SyncHold {
        self.state().held = Some(HeldSyncs::StoreFile);
        SyncHold(self.clone())
    }

    /// Returns the bytes that the next process finds.
    pub fn survivors(&self, survives: SurvivingBytes) -> DiskBytes {
        let state = self.state();
        let mut bytes = state.synced.clone();
        match survives {
            SurvivingBytes::Synced => {}
            SurvivingBytes::Written => bytes.clone_from(&state.written),
            SurvivingBytes::Torn(seed) => {
                let mut chance = seed | 1;
                for write in &state.since_sync {
                    chance ^= chance << 13;
                    chance ^= chance >> 7;
                    chance ^= chance << 17;
                    // A length that did not reach the disk would make the file shorter than redb ever leaves it.
                    if matches!(write.what, DiskChange::Length(_)) || chance.is_multiple_of(2) {
                        write.apply(&mut bytes);
                    }
                }
            }
        }
        bytes
    }

    fn note(&self, what: DiskChange) -> io::Result<()> {
        let mut state = self.state();
        state.count_write()?;
        state.note(DiskWrite { file: DiskFile::Store, what });
        Ok(())
    }

    fn sync(&self, file: DiskFile) -> io::Result<()> {
        let mut state = self.state();
        while state.held.is_some_and(|held| held == HeldSyncs::All || file == DiskFile::Store) {
            state.waiting += 1;
            self.0.changed.notify_all();
            state = self.0.changed.wait(state).expect("no holder panics");
            state.waiting -= 1;
        }
        state.sync(file)
    }
}

impl Default for FaultyDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for FaultyDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultyDisk")
    }
}

impl StorageBackend for FaultyDisk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().written.file.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.state();
        let from = usize::try_from(offset).expect("64 bits");
        let part = state.written.file.get(from..from + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(part);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.note(DiskChange::Length(usize::try_from(len).expect("64 bits")))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync(DiskFile::Store)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.note(DiskChange::Bytes(usize::try_from(offset).expect("64 bits"), data.to_vec()))
    }
}

impl LoggedBackend for FaultyDisk {
    fn log(&self) -> Arc<dyn LogBackend> {
        Arc::new(self.clone())
    }
}

/// The unit in which a record of the log survives a crash.
const SECTOR: usize = 512;

impl LogBackend for FaultyDisk {
    fn segments(&self) -> io::Result<Vec<LogSegment>> {
        let state = self.state();
        let segments = state.written.segments.iter();
        Ok(segments.map(|(&number, segment)| LogSegment { number, length: segment.length }).collect())
    }

    fn create(&self, LogSegment { number, length }: LogSegment) -> io::Result<()> {
        self.state().count_write()?;
        let empty = SegmentBytes { length, bytes: Vec::new() };
        self.state().written.segments.insert(number, empty.clone());
        self.sync(DiskFile::Segment(number))?;
        let mut state = self.state();
        if state.cut_after.is_none_or(|cut| state.syncs <= cut) {
            state.synced.segments.insert(number, empty);
        }
        Ok(())
    }

    fn remove(&self, number: u64) -> io::Result<()> {
        let mut state = self.state();
        state.count_write()?;
        state.written.segments.remove(&number);
        if state.has_power() {
            state.synced.segments.remove(&number);
        }
        Ok(())
    }

    fn read(&self, segment: LogSegment) -> io::Result<Vec<u8>> {
        let state = self.state();
        // The zeros behind the last byte that was written hold no record.
        let found = state.written.segments.get(&segment.number).ok_or(io::ErrorKind::NotFound)?;
        Ok(found.bytes.clone())
    }

    fn append(&self, number: u64, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        state.count_write()?;
        let offset = usize::try_from(offset).expect("64 bits");
        for (at, sector) in (offset..).step_by(SECTOR).zip(bytes.chunks(SECTOR)) {
            let what = DiskChange::Bytes(at, sector.to_vec());
            state.note(DiskWrite { file: DiskFile::Segment(number), what });
        }
        drop(state);
        self.sync(DiskFile::Segment(number))
    }
}

/// A guard that holds syncs; see [`FaultyDisk::hold`].
pub struct SyncHold(FaultyDisk);

impl SyncHold {
    /// Waits until a sync is held.
    pub async fn reached(&self) {
        let disk = self.0.clone();
        let wait = move || {
            let mut state = disk.state();
            while state.waiting == 0 {
                state = disk.0.changed.wait(state).expect("no holder panics");
            }
        };
        tokio::task::spawn_blocking(wait).await.expect("it only waits");
    }
}

impl Drop for SyncHold {
    fn drop(&mut self) {
        self.0.state().held = None;
        self.0.0.changed.notify_all();
    }
}
