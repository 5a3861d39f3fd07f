//! The journal and the store reader on one redb file and its log: opening, closing and the public face.
//!
//! # Map
//! - `engine`: the log, the newest rows in memory, and the checkpoints that write the file.
//! - `schema`: every table with its owner, its bound and what trims it, and how model types are encoded in rows.
//! - `write`: the queue of batches, the group commit, and what each change writes. `read`: typed reads of committed rows.
//! - `pending`: PDU references and state of batches that are submitted and not committed; reads consult them.
//! - `offline`: backup, restore and verification of a whole file. `stats`: sizes. `position_jumps`: feed positions that a
//!   restore skipped.
//! - `executor`: the threads for commits, checkpoints and range reads. `delivery_clock`: delivery times that never go back.
//!   `digest_key`: the key of the digests of this store.
//! - `migration`: the conversion of a store of the schema version before.
//! - `marker`: whether a store was created in a folder. `error`: why a store does not open, or has stopped. `counters`:
//!   rows written and read.
//!
//! Every batch is committed whole, in the order of submission, or the journal stops: no batch fails alone, except one
//! of an owner that has been replaced. When the journal has stopped, [`Store::failed`] resolves and the process must
//! exit.

mod counters;
mod delivery_clock;
mod digest_key;
mod engine;
mod error;
mod executor;
mod figures;
mod handoff_budget;
mod marker;
mod migration;
mod offline;
mod open;
mod pending;
mod position_jumps;
mod read;
mod record_cache;
mod schema;
mod shared;
mod stats;
mod write;

use std::path::PathBuf;
use std::sync::Arc;

use actors::change::Change;
use actors::model::{ContextId, ServerName};
use actors::ports::{
    ArchiveError, Clock, CommitPriority, CommitTicket, Fence, Journal, Ownership, QueueDepth, SettledCall,
};
use redb::StorageBackend;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};

use crate::store::executor::READS_MAX;
use crate::store::handoff_budget::HandoffBudget;
use crate::store::offline::backup;
use crate::store::pending::claims::PduClaims;
use crate::store::pending::uncommitted_state::UncommittedState;
use crate::store::record_cache::RecordCache;
use crate::store::shared::{StoreShared, StoreState};
use crate::store::write::queue::{EntryDone, JournalQueue, QueueWork};
use counters::RowCounters;

pub use crate::store::engine::log::log_backend::{LogBackend, LogSegment};
pub use crate::store::error::{OpenError, StoreFailure};
pub use crate::store::executor::BlockingExecutor;
pub use crate::store::offline::backup::{BackupError, CopyProgress, FinishedBackup};
pub use crate::store::offline::compact::{CompactError, CompactReport, compact};
pub use crate::store::offline::restore::{RestoreError, RestoreReport, restore};
pub use crate::store::offline::row_lines::export::{ExportError, ExportReport, export};
pub use crate::store::offline::row_lines::import::{ImportError, ImportKind, ImportReport, import};
pub use crate::store::offline::summary::{StoreSummary, summary};
pub use crate::store::offline::verify::{VerifyFinding, VerifyResult, verify, verify_backend};
pub use counters::RowCounts;
pub use figures::StoreFigures;
pub use marker::MARKER;
pub use open::{FILE, LoggedBackend, StoreLocation, StoreOptions};
pub use schema::version::SCHEMA;
pub use shared::Wake;
pub use stats::{StoreStats, TableStats};

/// An open store. Clones are cheap; the file is closed when the last clone and the last read are dropped.
#[derive(Clone)]
pub struct Store {
    shared: Arc<StoreShared>,
    _open: Arc<CloseAtDrop>,
}

/// Closes the queue when the last store handle is dropped, so that the writer's task ends.
struct CloseAtDrop(Arc<StoreShared>);

impl Drop for CloseAtDrop {
    fn drop(&mut self) {
        self.0.queue.close();
    }
}

impl Store {
    /// Opens the store, or creates it if the file does not exist. It blocks while redb reads or repairs the file. It
    /// must be called within a tokio runtime that has time enabled, because the writer runs on that runtime.
    pub fn open(options: StoreOptions, clock: Arc<dyn Clock>, wake: Wake) -> Result<Self, OpenError> {
        let limits = options.group_limits();
        let (queue_rows, recent) = (options.queue_rows, options.recent);
        let lane = options.lane.clone();
        let opened = open::open(options, &*clock)?;
        let shared = Arc::new(StoreShared {
            engine: opened.engine,
            runtime: Handle::current(),
            place: opened.place,
            file: opened.file,
            counted_from: opened.counted_from,
            digest_key: opened.digest_key,
            jumps: opened.memory.cache.feed.jumps().clone(),
            fence: Fence { slot: 0, epoch: opened.epoch },
            lane,
            reads: Arc::new(Semaphore::new(READS_MAX)),
            queue_rows,
            clock,
            wake,
            queue: JournalQueue::new(limits),
            counters: RowCounters::default(),
            claims: PduClaims::default(),
            under_way: UncommittedState::default(),
            records: RecordCache::default(),
            recent: HandoffBudget::new(recent),
            bounds: watch::Sender::new(opened.memory.cache.feed.bounds()),
            state: watch::Sender::new(StoreState::Open),
        });
        tokio::spawn(write::group_commit::run(shared.clone(), opened.memory));
        Ok(Self { _open: Arc::new(CloseAtDrop(shared.clone())), shared })
    }

    /// Commits everything submitted so far and accepts no more. Returns when the journal has closed or failed.
    pub async fn close(&self) {
        self.shared.queue.close();
        let mut state = self.shared.state.subscribe();
        // The sender lives in `shared`, which this borrows.
        let _ = state.wait_for(|state| !matches!(state, StoreState::Open)).await;
    }

    /// Resolves when the journal has failed, and never otherwise. After that no submitted batch is committed, reads
    /// still work, and the process should exit.
    pub async fn failed(&self) -> StoreFailure {
        let mut state = self.shared.state.subscribe();
        let failed = state.wait_for(|state| matches!(state, StoreState::Failed(_))).await;
        match failed.as_deref() {
            Ok(StoreState::Failed(failure)) => failure.clone(),
            _ => std::future::pending().await,
        }
    }

    /// Measures the store. It reads all pages on a blocking thread while commits continue, which takes seconds if the store
    /// holds gigabytes.
    pub async fn stats(&self) -> Result<StoreStats, ArchiveError> {
        stats::measure_aside(self.shared.clone()).await
    }

    /// Returns the figures that are cheap to read.
    pub async fn figures(&self) -> Result<StoreFigures, ArchiveError> {
        figures::read_aside(self.shared.clone()).await
    }

    /// Copies the store into a new file at `path` while it works. The file appears complete, synced and under its name,
    /// or not at all. `progress` is called after each commit of the copy, on the copying thread.
    pub async fn backup(
        &self,
        path: impl Into<PathBuf>,
        progress: impl FnMut(CopyProgress) + Send + 'static,
    ) -> Result<FinishedBackup, BackupError> {
        backup::copy_to_file(self.shared.clone(), path.into(), progress).await
    }

    /// Copies the store into an empty redb backend in the same way.
    pub async fn backup_into(
        &self,
        backend: impl StorageBackend,
        progress: impl FnMut(CopyProgress) + Send + 'static,
    ) -> Result<FinishedBackup, BackupError> {
        backup::copy_to_backend(self.shared.clone(), backend, progress).await
    }

    /// Returns the executor of the store's blocking work, so that a caller can wait for it after the last clone is
    /// dropped.
    pub fn lane(&self) -> BlockingExecutor {
        self.shared.lane.clone()
    }

    /// Returns the counters since the store was opened.
    pub fn counters(&self) -> RowCounts {
        self.shared.counters.now()
    }
}

impl Journal for Store {
    fn submit(&self, fence: Fence, changes: Vec<Change>, urgency: CommitPriority) -> CommitTicket {
        let rows = write::row_estimate::estimate_rows(&changes);
        self.shared.claims.on_submit(&changes);
        self.shared.under_way.handed_over(&changes);
        self.shared.queue.push(QueueWork::Batch { fence, changes, rows, urgency })
    }

    fn barrier(&self) -> CommitTicket {
        self.shared.queue.push(QueueWork::Barrier)
    }

    fn when_settled(&self, done: SettledCall) {
        self.shared.queue.push_with(QueueWork::Barrier, EntryDone::Call(done));
    }

    fn pressure(&self) -> QueueDepth {
        let full_log = self.shared.engine.full_log();
        QueueDepth { rows: self.shared.queue.rows(), rows_max: self.shared.queue_rows, full_log }
    }
}

impl Ownership for Store {
    /// This process owns every peer, because redb's lock excludes other processes. The epoch rejects batches that were
    /// submitted under an earlier opening of the file.
    fn claim(&self, _peer: &ServerName) -> Option<Fence> {
        Some(self.shared.fence)
    }

    fn claim_context(&self, _context: &ContextId) -> Option<Fence> {
        Some(self.shared.fence)
    }

    fn claim_feed(&self) -> Option<Fence> {
        Some(self.shared.fence)
    }
}
