//! The writer's side of the engine: it appends groups to the log, makes them visible, and seals generations.

use std::sync::Arc;

use tokio::time::Instant;

use crate::store::engine::group_write::{GroupWrite, WorkingGeneration};
use crate::store::engine::log::segment_log::{SegmentLog, SegmentOrder};
use crate::store::engine::memtable::Generation;
use crate::store::engine::read_snapshot::ReadSnapshot;
use crate::store::engine::store_engine::{EngineLimits, StoreEngine};

/// The part of the memory for rows that makes a generation large enough to be sealed. A checkpoint costs about the same a row
/// whatever its size, so it begins early, and the writer has the larger part of the memory while it runs.
const SEAL_PART: u64 = 4;

/// The writer's part of the engine. One task or thread at a time has it.
#[derive(Debug)]
pub(crate) struct EngineWriter {
    working: WorkingGeneration,
    log: SegmentLog,
    /// Time of the first group since the last seal.
    changed_since: Option<Instant>,
    /// Bytes of the generation that was sealed last.
    sealed_bytes: u64,
}

impl EngineWriter {
    pub(crate) fn new(log: SegmentLog) -> Self {
        Self { working: WorkingGeneration::new(), log, changed_since: None, sealed_bytes: 0 }
    }

    /// Begins a group.
    pub(crate) fn begin(&self, engine: &StoreEngine) -> GroupWrite<'_> {
        GroupWrite::new(&self.working, engine.snapshot())
    }

    /// Writes the group into the log, waits for the disk, and makes it visible. Returns whether there was anything to write.
    pub(crate) fn commit(&mut self, engine: &StoreEngine, time: u64) -> Result<bool, redb::Error> {
        let record = self.working.record();
        if record.is_empty() {
            return Ok(false);
        }
        self.log.append(record, time)?;
        record.clear();
        self.changed_since.get_or_insert_with(Instant::now);
        let active = self.working.snapshot(self.log.last());
        engine.publish(|view| ReadSnapshot { active, ..view.clone() });
        engine.note_log(self.log.used());
        Ok(true)
    }

    /// Takes back the segments that the last checkpoint has made unnecessary.
    pub(crate) fn recycle(&mut self, engine: &StoreEngine) -> Result<(), redb::Error> {
        self.log.recycle(engine.checkpointed())?;
        engine.note_log(self.log.used());
        Ok(())
    }

    /// Returns an order for a segment of the log if one will be needed soon.
    pub(crate) fn order_segment(&mut self) -> Option<SegmentOrder> {
        self.log.order_spare()
    }

    /// Returns the time at which a generation is sealed however small it is; `None` if nothing was written, or a checkpoint
    /// runs.
    pub(crate) fn seals_at(&self, engine: &StoreEngine) -> Option<Instant> {
        let since = self.changed_since.filter(|_| !engine.is_checkpointing())?;
        since.checked_add(engine.limits.checkpoint)
    }

    /// Returns whether the generation is due to be sealed.
    pub(crate) fn is_due(&self, engine: &StoreEngine) -> bool {
        let is_large = self.changed_since.is_some() && self.is_large(engine);
        !engine.is_checkpointing() && is_large || self.seals_at(engine).is_some_and(|at| at <= Instant::now())
    }

    fn is_large(&self, engine: &StoreEngine) -> bool {
        let EngineLimits { memtable, log_max, .. } = engine.limits;
        self.working.bytes() >= memtable / SEAL_PART || self.log.used() >= log_max / 2
    }

    /// Returns whether the writer must wait for the checkpoint that runs: a slow one must neither fill the memory nor the
    /// disk.
    pub(crate) fn must_wait(&self, engine: &StoreEngine) -> bool {
        let EngineLimits { memtable, log_max, .. } = engine.limits;
        engine.is_checkpointing()
            && (self.sealed_bytes + self.working.bytes() >= memtable || self.log.used() >= log_max)
    }

    /// Seals the generation, and returns it for the checkpoint.
    pub(crate) fn seal(&mut self, engine: &StoreEngine) -> Arc<Generation> {
        (self.changed_since, self.sealed_bytes) = (None, self.working.bytes());
        let sealed = Arc::new(self.working.snapshot(self.log.last()));
        self.working.clear();
        let (active, below) = (Generation::empty(self.log.last()), sealed.clone());
        engine.publish(|view| ReadSnapshot { active, sealed: Some(below), file: view.file.clone() });
        sealed
    }
}
