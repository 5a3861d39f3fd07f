//! The part of the engine that the writer, the checkpoints and the readers share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use redb::{Database, ReadableDatabase};

use crate::store::engine::checkpoint::write_durably;
use crate::store::engine::log::log_position::LogPosition;
use crate::store::engine::log::log_record::LogIdentity;
use crate::store::engine::memtable::Generation;
use crate::store::engine::read_snapshot::{FileSnapshot, ReadSnapshot};

/// The bounds of the engine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EngineLimits {
    /// Bytes of rows in memory, in the generation that is written and the one that is sealed.
    pub(crate) memtable: u64,
    /// Maximum age of a row that is not in the file.
    pub(crate) checkpoint: Duration,
    /// Bytes of the log.
    pub(crate) log_max: u64,
    /// The file saves allocator state with each checkpoint.
    pub(crate) quick_repair: bool,
}

/// The part of the engine that the writer, the checkpoints and the readers share.
pub(crate) struct StoreEngine {
    pub(super) view: ArcSwap<ReadSnapshot>,
    /// Orders the changes of the view. Readers do not need it.
    changes: Mutex<()>,
    pub(super) database: Database,
    pub(crate) limits: EngineLimits,
    identity: LogIdentity,
    /// Number of the last group that the file holds.
    checkpointed: AtomicU64,
    log_used: AtomicU64,
}

impl StoreEngine {
    pub(crate) fn new(database: Database, position: LogPosition, limits: EngineLimits) -> Result<Self, redb::Error> {
        let view = ReadSnapshot::of_file(database.begin_read()?, position.number);
        Ok(Self {
            view: ArcSwap::from_pointee(view),
            changes: Mutex::new(()),
            database,
            limits,
            identity: position.identity,
            checkpointed: AtomicU64::new(position.number),
            log_used: AtomicU64::new(0),
        })
    }

    /// Returns the store as the last group left it.
    pub(crate) fn snapshot(&self) -> Arc<ReadSnapshot> {
        self.view.load_full()
    }

    pub(crate) fn publish(&self, change: impl FnOnce(&ReadSnapshot) -> ReadSnapshot) {
        let _turn = self.changes.lock();
        let changed = change(&self.view.load());
        self.view.store(Arc::new(changed));
    }

    /// Returns whether a sealed generation is not in the file yet.
    pub(crate) fn is_checkpointing(&self) -> bool {
        self.view.load().sealed.is_some()
    }

    /// Returns the bound of the log if the log has reached it, so that nothing new is to be taken in.
    pub(crate) fn full_log(&self) -> Option<u64> {
        let log_max = self.limits.log_max;
        (self.log_used.load(Ordering::Relaxed) >= log_max).then_some(log_max)
    }

    pub(crate) fn note_log(&self, used: u64) {
        self.log_used.store(used, Ordering::Relaxed);
    }

    pub(crate) fn checkpointed(&self) -> u64 {
        self.checkpointed.load(Ordering::Acquire)
    }

    /// Writes a sealed generation into the file. `is_last`: the store is being closed, so nothing follows.
    pub(crate) fn checkpoint(&self, sealed: &Generation, is_last: bool) -> Result<(), redb::Error> {
        let position = LogPosition { identity: self.identity, number: sealed.last, is_closed: is_last };
        write_durably(&self.database, sealed, position, self.limits.quick_repair)?;
        let file = Arc::new(FileSnapshot::new(self.database.begin_read()?));
        self.publish(|view| ReadSnapshot { active: view.active.clone(), sealed: None, file });
        self.checkpointed.store(sealed.last, Ordering::Release);
        Ok(())
    }
}
