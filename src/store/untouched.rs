//! A file that is read and never written: what redb writes while it looks, a repair among it, stays in memory.
//!
//! A file that was not closed can only be read after a repair, and its checksums are only compared by what may also repair.
//! Whoever examines a file wants to know about it, not to change it.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io;
use std::ops::Bound;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};

/// The grain in which writes are kept.
const BLOCK: u64 = 4096;

/// The file, and what was written over it.
#[derive(Debug)]
pub(super) struct Untouched {
    file: FileBackend,
    over: Mutex<Over>,
}

#[derive(Debug)]
struct Over {
    length: u64,
    /// What lies beyond this comes from nowhere: the file once was cut here.
    from_file: u64,
    blocks: BTreeMap<u64, Vec<u8>>,
}

impl Untouched {
    /// The file at `path`, which is there.
    pub(super) fn open(path: &Path) -> Result<Self, redb::DatabaseError> {
        // Opened for writing because only that can be locked against a writer; nothing is written.
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let length = file.metadata()?.len();
        let over = Over { length, from_file: length, blocks: BTreeMap::new() };
        Ok(Self { file: FileBackend::new(file)?, over: Mutex::new(over) })
    }

    fn over(&self) -> MutexGuard<'_, Over> {
        self.over.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A block as it is now.
    fn block(&self, over: &Over, number: u64) -> io::Result<Vec<u8>> {
        if let Some(block) = over.blocks.get(&number) {
            return Ok(block.clone());
        }
        let mut block = vec![0; BLOCK as usize];
        let there = over.from_file.saturating_sub(number * BLOCK).min(BLOCK) as usize;
        if there > 0 {
            self.file.read(number * BLOCK, &mut block[..there])?;
        }
        Ok(block)
    }
}

/// The blocks that `length` bytes at `offset` lie in: number, where in the block, where in the bytes, how many.
fn pieces(offset: u64, length: usize) -> impl Iterator<Item = (u64, usize, usize, usize)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done as u64;
        let inside = (at % BLOCK) as usize;
        let count = (length - done).min(BLOCK as usize - inside);
        let piece = (count > 0).then_some((at / BLOCK, inside, done, count));
        done += count;
        piece
    })
}

impl StorageBackend for Untouched {
    fn len(&self) -> io::Result<u64> {
        Ok(self.over().length)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let over = self.over();
        if offset.saturating_add(out.len() as u64) > over.length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let end = offset + out.len() as u64;
        if end <= over.from_file && over.blocks.range(offset / BLOCK..end.div_ceil(BLOCK)).next().is_none() {
            return self.file.read(offset, out);
        }
        for (number, inside, done, count) in pieces(offset, out.len()) {
            let block = self.block(&over, number)?;
            out[done..done + count].copy_from_slice(&block[inside..inside + count]);
        }
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut over = self.over();
        over.length = length;
        if length < over.from_file {
            over.from_file = length;
            over.blocks.retain(|number, _| number * BLOCK < length);
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut over = self.over();
        over.length = over.length.max(offset + data.len() as u64);
        for (number, inside, done, count) in pieces(offset, data.len()) {
            let mut block = self.block(&over, number)?;
            block[inside..inside + count].copy_from_slice(&data[done..done + count]);
            over.blocks.insert(number, block);
        }
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}
