//! State that the writer and the readers of an open store share.

use std::path::PathBuf;
use std::sync::Arc;

use actors::model::DigestKey;
use actors::ports::{Clock, FeedBounds, Fence, OutboxGrown};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};

use crate::store::counters::RowCounters;
use crate::store::engine::store_engine::StoreEngine;
use crate::store::error::StoreFailure;
use crate::store::executor::BlockingExecutor;
use crate::store::handoff_budget::HandoffBudget;
use crate::store::pending::claims::PduClaims;
use crate::store::pending::uncommitted_state::UncommittedState;
use crate::store::position_jumps::PositionJumps;
use crate::store::record_cache::RecordCache;
use crate::store::write::queue::JournalQueue;

/// Callback after each commit, called once for each server whose outbox grew. It runs on the writer's thread and must
/// not block.
pub type Wake = Arc<dyn Fn(OutboxGrown) + Send + Sync>;

/// State shared by the writer and the readers.
pub(crate) struct StoreShared {
    pub(crate) engine: StoreEngine,
    /// Runtime on which checkpoints are started, from whichever thread commits.
    pub(crate) runtime: Handle,
    /// Name of the file, for messages.
    pub(crate) place: String,
    /// Path of the file; `None` for another backend.
    pub(crate) file: Option<PathBuf>,
    /// Lowest start value of the counters of updates from peers; see `restored`.
    pub(crate) counted_from: u64,
    /// Key of the digests of updates and submissions.
    pub(crate) digest_key: DigestKey,
    /// Positions of the feed that restores skipped.
    pub(crate) jumps: PositionJumps,
    pub(crate) fence: Fence,
    pub(crate) lane: BlockingExecutor,
    /// Permits for concurrent range reads.
    pub(crate) reads: Arc<Semaphore>,
    pub(crate) queue_rows: u64,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) wake: Wake,
    pub(crate) queue: JournalQueue,
    pub(crate) counters: RowCounters,
    pub(crate) claims: PduClaims,
    pub(crate) under_way: UncommittedState,
    pub(crate) records: RecordCache,
    pub(crate) recent: Arc<HandoffBudget>,
    pub(crate) bounds: watch::Sender<FeedBounds>,
    pub(crate) state: watch::Sender<StoreState>,
}

impl StoreShared {
    /// Returns whether the journal works.
    pub(crate) fn is_open(&self) -> bool {
        matches!(*self.state.borrow(), StoreState::Open)
    }
}

/// The state of the journal.
#[derive(Debug, Clone)]
pub(crate) enum StoreState {
    Open,
    Closed,
    Failed(StoreFailure),
}
