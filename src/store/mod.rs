//! The journal and the archive on one redb file: opening it, closing it, and its public face.
//!
//! # Map
//! - `tables`: every table with its owner, its bound and who trims it. `rows`: how model types lie in them.
//! - `queue` -> `writer` -> `apply`, `submissions`, `graph`, `heads`, `state`, `dead_letters`, `parked`, `trim`, `forget`: the way of a batch to the disk. `archive`: the way back.
//! - `stats`, `backup`, `verify`, `restore`, `restored`, `jumps`: what an operator does with the file as a whole.
//! - `lane`: which thread waits for the disk. `claims`, `under_way`: the PDUs and the state on the way there, for those who look.
//! - `strangers`: what lies in quarantine, by conversation. `untouched`: a file looked at without being changed.
//! - `marker`: whether a store was made in a folder. `failure`: why the store does not open, why it has stopped. `counters`: rows written and read.
//!
//! A batch is committed whole, in the order it was handed over, or the journal has stopped: there is no batch that fails
//! alone (but for one of an owner that has been replaced). Then [`Store::failed`] yields, and the process is to end.

mod apply;
mod archive;
mod attempts;
mod backup;
mod claims;
mod counters;
mod dead_letters;
mod failure;
mod forget;
mod graph;
mod heads;
mod jumps;
mod lane;
mod marker;
mod open;
mod parked;
mod queue;
mod restore;
mod restored;
mod rows;
mod stage;
mod state;
mod stats;
mod strangers;
mod submissions;
mod tables;
mod trim;
mod under_way;
mod untouched;
mod verify;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;

use actors::change::Change;
use actors::model::{ContextId, ServerName};
use actors::ports::{Clock, FeedBounds, Fence, Journal, Ownership, Pressure, Ticket, Urgency, Woken};
use tokio::sync::{Semaphore, watch};

pub use backup::{Backup, BackupError, Progress};
pub use counters::Counts;
pub use failure::{Failure, OpenError};
pub use lane::Lane;
pub use marker::MARKER;
pub use open::{FILE, Place, SCHEMA, StoreOptions};
pub use restore::{RestoreError, Restored, restore};
pub use stats::{Stats, TableStats};
pub use verify::{Finding, Verified, verify, verify_backend};

use claims::Claims;
use counters::Counters;
use jumps::Jumps;
use queue::{Queue, Work};
use under_way::UnderWay;
use writer::Recent;

/// Told after each commit, once for each server whose outbox grew; runs on the writer's thread and must not block.
pub type Wake = Arc<dyn Fn(Woken) + Send + Sync>;

/// An open store. Cheap to clone; the file is released when the last clone and the last read have gone.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
    _open: Arc<CloseAtDrop>,
}

/// Reads of ranges at a time; the next one waits for its turn.
const READS_MAX: usize = 8;

/// What the writer and the readers have in common.
struct Shared {
    database: redb::Database,
    /// The file, for messages.
    place: String,
    /// The file itself, where it is one.
    file: Option<PathBuf>,
    /// What updates from peers are counted from; see `restored`.
    counted_from: u64,
    /// Positions of the feed that restores skipped.
    jumps: Jumps,
    fence: Fence,
    quick_repair: bool,
    lane: Lane,
    /// Reads of ranges that run at a time.
    reads: Semaphore,
    queue_rows: u64,
    clock: Arc<dyn Clock>,
    wake: Wake,
    queue: Queue,
    counters: Counters,
    claims: Claims,
    under_way: UnderWay,
    recent: Arc<Recent>,
    bounds: watch::Sender<FeedBounds>,
    state: watch::Sender<State>,
}

/// Whether the journal works.
#[derive(Debug, Clone)]
enum State {
    Open,
    Closed,
    Failed(Failure),
}

/// Lets the writer's task end when nobody can hand anything over any more.
struct CloseAtDrop(Arc<Shared>);

impl Drop for CloseAtDrop {
    fn drop(&mut self) {
        self.0.queue.close();
    }
}

impl Store {
    /// Open the store, or make a new one where the file does not exist. Blocks while redb reads, or repairs, the file; call
    /// it within a tokio runtime with time, on which the writer will run.
    pub fn open(options: StoreOptions, clock: Arc<dyn Clock>, wake: Wake) -> Result<Self, OpenError> {
        let limits = options.group_limits();
        let (queue_rows, recent, quick_repair) = (options.queue_rows, options.recent, options.quick_repair);
        let lane = options.lane.clone();
        let opened = open::open(options, &*clock)?;
        let shared = Arc::new(Shared {
            database: opened.database,
            place: opened.place,
            file: opened.file,
            counted_from: opened.counted_from,
            jumps: opened.memory.jumps.clone(),
            fence: Fence { slot: 0, epoch: opened.epoch },
            quick_repair,
            lane,
            reads: Semaphore::new(READS_MAX),
            queue_rows,
            clock,
            wake,
            queue: Queue::new(limits),
            counters: Counters::default(),
            claims: Claims::default(),
            under_way: UnderWay::default(),
            recent: Recent::new(recent),
            bounds: watch::Sender::new(opened.memory.bounds()),
            state: watch::Sender::new(State::Open),
        });
        tokio::spawn(writer::run(shared.clone(), opened.memory));
        Ok(Self { _open: Arc::new(CloseAtDrop(shared.clone())), shared })
    }

    /// Commit everything handed over so far and take no more. Returns when that is done, or has failed.
    pub async fn close(&self) {
        self.shared.queue.close();
        let mut state = self.shared.state.subscribe();
        // The sender lives in `shared`, which this borrows.
        let _ = state.wait_for(|state| !matches!(state, State::Open)).await;
    }

    /// Yields once the journal has stopped by failure, and never otherwise. Then nothing handed over later is committed,
    /// reads go on, and the process should end.
    pub async fn failed(&self) -> Failure {
        let mut state = self.shared.state.subscribe();
        let failed = state.wait_for(|state| matches!(state, State::Failed(_))).await;
        match failed.as_deref() {
            Ok(State::Failed(failure)) => failure.clone(),
            _ => std::future::pending().await,
        }
    }

    /// Where its blocking work runs; to wait for it once the last clone is dropped.
    pub fn lane(&self) -> Lane {
        self.shared.lane.clone()
    }

    /// What was done since it was opened.
    pub fn counters(&self) -> Counts {
        self.shared.counters.now()
    }
}

impl Journal for Store {
    fn submit(&self, fence: Fence, changes: Vec<Change>, urgency: Urgency) -> Ticket {
        let rows = apply::weight(&changes);
        self.shared.claims.handed_over(&changes);
        self.shared.under_way.handed_over(&changes);
        self.shared.queue.push(Work::Batch { fence, changes, rows, urgency })
    }

    fn barrier(&self) -> Ticket {
        self.shared.queue.push(Work::Barrier)
    }

    fn pressure(&self) -> Pressure {
        Pressure { rows: self.shared.queue.rows(), rows_max: self.shared.queue_rows }
    }
}

impl Ownership for Store {
    /// Every peer is ours: redb's lock keeps other processes from the file. The epoch keeps out what an earlier opening of
    /// it handed over.
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
