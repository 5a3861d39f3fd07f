//! The queue of batches that are submitted and not committed yet, in the order of submission.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use actors::change::Change;
use actors::ports::{CommitPriority, CommitTicket, Fence, SettledCall};
use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

/// An entry of the queue.
pub(crate) struct QueueEntry {
    pub(crate) work: QueueWork,
    pub(crate) done: EntryDone,
}

/// What is done when an entry is on disk. Dropped undone, it makes a ticket fail, and a caller of an actor learn that the outcome is
/// unknown.
pub(crate) enum EntryDone {
    /// A ticket completes.
    Ticket(oneshot::Sender<()>),
    /// A function is called.
    Call(SettledCall),
}

impl EntryDone {
    /// Does it.
    pub(crate) fn complete(self) {
        match self {
            // The receiver may be dropped; the commit is valid all the same.
            Self::Ticket(done) => drop(done.send(())),
            Self::Call(done) => done(),
        }
    }
}

/// The work of an entry.
pub(crate) enum QueueWork {
    /// A batch of changes; it is committed whole.
    Batch { fence: Fence, changes: Vec<Change>, rows: u64, urgency: CommitPriority },
    /// A barrier: it completes when everything before it is committed.
    Barrier,
}

impl QueueWork {
    fn rows(&self) -> u64 {
        match self {
            Self::Batch { rows, .. } => *rows,
            Self::Barrier => 0,
        }
    }

    fn is_awaited(&self) -> bool {
        !matches!(self, Self::Batch { urgency: CommitPriority::Deferred, .. })
    }
}

/// The maximum size of a group.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GroupLimits {
    pub(crate) batches: usize,
    pub(crate) rows: u64,
}

/// The next step of the writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NextWork {
    /// Commit: a caller waits, or too many batches are deferred.
    Commit,
    /// Hold: only deferred batches are queued.
    HoldDeferred,
    /// Idle: nothing is queued.
    Idle,
    /// End: nothing is queued and the queue is closed.
    End,
}

/// The journal's queue. It has no limit of its own, because refusing a batch would fail in the middle of an actor's
/// decision. Its bounds are the admission permits, and the row count from which new requests are told to wait.
pub(crate) struct JournalQueue {
    inner: Mutex<QueueInner>,
    rows: AtomicU64,
    limits: GroupLimits,
    /// Wakes a task that waits for news.
    news: Notify,
    /// Wakes a thread that waits for news.
    thread_news: Condvar,
}

#[derive(Default)]
struct QueueInner {
    entries: VecDeque<QueueEntry>,
    /// Number of entries that a caller waits for; the others are deferred.
    awaited: usize,
    /// A group has been taken and its tickets are not complete: a barrier must wait for it.
    busy: bool,
    /// Deferred batches have waited long enough.
    flush: bool,
    /// New entries are refused; queued ones are still committed.
    closing: bool,
    /// New entries are refused, and queued ones are dropped.
    dead: bool,
    /// The next step of a thread may have changed since it looked.
    has_news: bool,
}

impl JournalQueue {
    pub(crate) fn new(limits: GroupLimits) -> Self {
        Self {
            inner: Mutex::default(),
            rows: AtomicU64::new(0),
            limits,
            news: Notify::new(),
            thread_news: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, QueueInner> {
        // No code that can panic runs under this lock, so the queue behind a poisoned lock is intact.
        self.inner.lock()
    }

    pub(crate) fn push(&self, work: QueueWork) -> CommitTicket {
        let (done, ticket) = CommitTicket::pair();
        self.push_with(work, EntryDone::Ticket(done));
        ticket
    }

    /// Adds an entry, with what is done when it is on disk.
    pub(crate) fn push_with(&self, work: QueueWork, done: EntryDone) {
        let mut inner = self.lock();
        if inner.dead || inner.closing {
            return;
        }
        if matches!(work, QueueWork::Barrier) && inner.entries.is_empty() && !inner.busy {
            // Everything ever submitted is on disk, so the barrier completes at once.
            drop(inner);
            return done.complete();
        }
        self.rows.fetch_add(work.rows(), Ordering::Relaxed);
        let awaited = work.is_awaited();
        inner.awaited += usize::from(awaited);
        inner.entries.push_back(QueueEntry { work, done });
        let first = inner.entries.len() == 1;
        let too_many_ride = inner.entries.len() > self.limits.batches;
        if awaited || first || too_many_ride {
            self.tell(inner);
        }
    }

    /// Returns the number of rows that are submitted and not being committed yet.
    pub(crate) fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Tells the writer, which is a task or a thread, that [`next`](Self::next) may have changed.
    fn tell(&self, mut inner: MutexGuard<'_, QueueInner>) {
        inner.has_news = true;
        drop(inner);
        self.thread_news.notify_one();
        self.news.notify_one();
    }

    /// Returns when [`next`](Self::next) may have changed since the last call, or at this time. It blocks.
    pub(crate) fn wait_for_news(&self, until: Option<Instant>) {
        let mut inner = self.lock();
        while !std::mem::take(&mut inner.has_news) {
            match until.map(Instant::into_std) {
                None => self.thread_news.wait(&mut inner),
                Some(until) => {
                    if self.thread_news.wait_until(&mut inner, until).timed_out() {
                        return;
                    }
                }
            }
        }
    }

    /// Completes when [`next`](Self::next) may have changed.
    pub(crate) async fn changed(&self) {
        self.news.notified().await;
    }

    pub(crate) fn next(&self) -> NextWork {
        self.lock().next(&self.limits)
    }

    /// Takes the next group if a commit is due; the group before it is then complete.
    pub(crate) fn take(&self) -> Option<Vec<QueueEntry>> {
        let mut inner = self.lock();
        inner.busy = inner.next(&self.limits) == NextWork::Commit;
        if !inner.busy {
            inner.flush = false;
            return None;
        }
        let mut group = Vec::new();
        let mut rows = 0;
        while let Some(entry) = inner.entries.front() {
            let full = group.len() >= self.limits.batches || rows + entry.work.rows() > self.limits.rows;
            if full && !group.is_empty() {
                break;
            }
            rows += entry.work.rows();
            inner.awaited -= usize::from(entry.work.is_awaited());
            group.extend(inner.entries.pop_front());
        }
        Some(group)
    }

    /// Subtracts the rows of a taken group from the queue's row count.
    pub(crate) fn settled(&self, group: &[QueueEntry]) {
        let rows = group.iter().map(|entry| entry.work.rows()).sum();
        self.rows.fetch_sub(rows, Ordering::Relaxed);
    }

    /// Makes the deferred batches that are queued now due for commit.
    pub(crate) fn flush(&self) {
        self.lock().flush = true;
    }

    /// Wakes the writer, because a checkpoint has ended.
    pub(crate) fn wake(&self) {
        self.tell(self.lock());
    }

    /// Returns whether the store is being closed.
    pub(crate) fn is_ending(&self) -> bool {
        self.lock().closing
    }

    pub(crate) fn close(&self) {
        let mut inner = self.lock();
        inner.closing = true;
        self.tell(inner);
    }

    /// Drops all entries: their tickets fail, and so do those of entries submitted later.
    pub(crate) fn kill(&self) {
        let mut inner = self.lock();
        inner.dead = true;
        inner.awaited = 0;
        let lost = std::mem::take(&mut inner.entries);
        self.tell(inner);
        drop(lost);
    }
}

impl QueueInner {
    fn next(&self, limits: &GroupLimits) -> NextWork {
        match (self.entries.len(), self.closing || self.dead) {
            (0, true) => NextWork::End,
            (0, false) => NextWork::Idle,
            (_, true) => NextWork::Commit,
            (waiting, false) if self.awaited > 0 || self.flush || waiting > limits.batches => NextWork::Commit,
            _ => NextWork::HoldDeferred,
        }
    }
}
