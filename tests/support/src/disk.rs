//! A disk in memory that knows what was synced, fails or loses power on request, and can hold a sync.

use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

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

/// The disk; clones share one disk.
#[derive(Clone)]
pub struct FaultyDisk(Arc<DiskContent>);

struct DiskContent {
    state: Mutex<DiskState>,
    changed: Condvar,
}

#[derive(Default)]
struct DiskState {
    synced: Vec<u8>,
    written: Vec<u8>,
    since_sync: Vec<DiskWrite>,
    syncs: u64,
    writes: u64,
    fail_at: Option<u64>,
    /// True if the failing sync reaches the disk all the same.
    synced_all_the_same: bool,
    fail_write_at: Option<u64>,
    failed: bool,
    cut_after: Option<u64>,
    held: bool,
    waiting: u64,
}

enum DiskWrite {
    Length(usize),
    Bytes(usize, Vec<u8>),
}

impl DiskWrite {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Length(length) => bytes.resize(*length, 0),
            Self::Bytes(at, data) => {
                let end = at + data.len();
                bytes.resize(bytes.len().max(end), 0);
                bytes[*at..end].copy_from_slice(data);
            }
        }
    }
}

impl FaultyDisk {
    /// Returns an empty disk.
    pub fn new() -> Self {
        Self::with(Vec::new())
    }

    /// Returns a disk with this content.
    pub fn with(bytes: Vec<u8>) -> Self {
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

    /// Changes the content directly.
    pub fn damage(&self, change: impl FnOnce(&mut Vec<u8>)) {
        change(&mut self.state().written);
    }

    /// Returns the number of syncs so far.
    pub fn syncs(&self) -> u64 {
        self.state().syncs
    }

    /// Returns whether the power has failed, so that the latest syncs are lost.
    pub fn is_cut(&self) -> bool {
        let state = self.state();
        state.cut_after.is_some_and(|cut| state.syncs > cut)
    }

    /// Holds every sync until the guard is dropped.
    pub fn hold(&self) -> SyncHold {
        self.state().held = true;
        SyncHold(self.clone())
    }

    /// Returns the bytes that the next process finds.
    pub fn survivors(&self, survives: SurvivingBytes) -> Vec<u8> {
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
                    if matches!(write, DiskWrite::Length(_)) || chance.is_multiple_of(2) {
                        write.apply(&mut bytes);
                    }
                }
            }
        }
        bytes
    }

    fn note(&self, write: DiskWrite) -> io::Result<()> {
        let mut state = self.state();
        state.writes += 1;
        state.failed |= state.fail_write_at == Some(state.writes);
        if state.failed {
            return Err(io::Error::other("the disk has failed"));
        }
        write.apply(&mut state.written);
        if state.cut_after.is_none_or(|cut| state.syncs < cut) {
            state.since_sync.push(write);
        }
        Ok(())
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
        Ok(self.state().written.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.state();
        let from = usize::try_from(offset).expect("64 bits");
        let part = state.written.get(from..from + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(part);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.note(DiskWrite::Length(usize::try_from(len).expect("64 bits")))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.state();
        while state.held {
            state.waiting += 1;
            self.0.changed.notify_all();
            state = self.0.changed.wait(state).expect("no holder panics");
            state.waiting -= 1;
        }
        state.syncs += 1;
        state.failed |= state.fail_at == Some(state.syncs);
        if state.fail_at == Some(state.syncs) && state.synced_all_the_same {
            let DiskState { synced, since_sync, .. } = &mut *state;
            since_sync.drain(..).for_each(|write| write.apply(synced));
        }
        if state.failed {
            return Err(io::Error::other("no space left on device"));
        }
        if state.cut_after.is_none_or(|cut| state.syncs <= cut) {
            let DiskState { synced, since_sync, .. } = &mut *state;
            since_sync.drain(..).for_each(|write| write.apply(synced));
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.note(DiskWrite::Bytes(usize::try_from(offset).expect("64 bits"), data.to_vec()))
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
        self.0.state().held = false;
        self.0.0.changed.notify_all();
    }
}
