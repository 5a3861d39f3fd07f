//! Tests of the engine: against a model, byte by byte, and after losses.

mod model;
mod records;
mod recovery;
mod trees;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::store::engine::log::log_backend::{LogBackend, LogSegment};

/// A log in memory.
#[derive(Debug, Clone, Default)]
pub(super) struct MemoryLog(Arc<Mutex<BTreeMap<u64, Vec<u8>>>>);

impl MemoryLog {
    /// Changes the bytes of a segment.
    fn damage(&self, number: u64, change: impl FnOnce(&mut Vec<u8>)) {
        change(self.0.lock().get_mut(&number).expect("it is there"));
    }
}

impl LogBackend for MemoryLog {
    fn segments(&self) -> io::Result<Vec<LogSegment>> {
        let segment = |(&number, bytes): (&u64, &Vec<u8>)| LogSegment { number, length: bytes.len() as u64 };
        Ok(self.0.lock().iter().map(segment).collect())
    }

    fn create(&self, segment: LogSegment) -> io::Result<()> {
        self.0.lock().insert(segment.number, vec![0; usize::try_from(segment.length).expect("small")]);
        Ok(())
    }

    fn remove(&self, number: u64) -> io::Result<()> {
        self.0.lock().remove(&number);
        Ok(())
    }

    fn read(&self, segment: LogSegment) -> io::Result<Vec<u8>> {
        self.0.lock().get(&segment.number).cloned().ok_or(io::ErrorKind::NotFound.into())
    }

    fn append(&self, number: u64, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).expect("small");
        self.damage(number, |segment| segment[offset..offset + bytes.len()].copy_from_slice(bytes));
        Ok(())
    }
}
