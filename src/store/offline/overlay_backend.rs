//! A storage backend that reads a file and never writes to it: redb's writes, for example a repair, stay in memory.
//!
//! redb can read a file that was not closed only after a repair, and it compares checksums only in calls that may also
//! repair. A tool that examines a file must report this and must not change the file.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io;
use std::ops::Bound;
use std::path::Path;

use parking_lot::{Mutex, MutexGuard};
use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};

/// Block size of the overlay.
const BLOCK: u64 = 4096;

/// The file with an overlay of written blocks.
#[derive(Debug)]
pub(crate) struct OverlayBackend {
    file: FileBackend,
    over: Mutex<OverlayBlocks>,
}

#[derive(Debug)]
struct OverlayBlocks {
    length: u64,
    /// Length of the file that is still visible: it was cut here once, and what is beyond is zero or in the overlay.
    from_file: u64,
    blocks: BTreeMap<u64, Vec<u8>>,
}

impl OverlayBackend {
    /// Opens the file at `path`, which must exist.
    pub(crate) fn open(path: &Path) -> Result<Self, redb::DatabaseError> {
        // The file is opened for writing because only then can it be locked against a writer; nothing is written.
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let length = file.metadata()?.len();
        let over = OverlayBlocks { length, from_file: length, blocks: BTreeMap::new() };
        Ok(Self { file: FileBackend::new(file)?, over: Mutex::new(over) })
    }

    fn over(&self) -> MutexGuard<'_, OverlayBlocks> {
        self.over.lock()
    }

    /// Returns a block with the overlay applied.
    fn block(&self, over: &OverlayBlocks, number: u64) -> io::Result<Vec<u8>> {
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

/// Splits `length` bytes at `offset` into blocks: (block number, offset in the block, offset in the bytes, count).
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

impl StorageBackend for OverlayBackend {
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
