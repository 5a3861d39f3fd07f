//! What was handed over and is not on disk yet, in the order of decisions.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use actors::change::Change;
use actors::ports::{Fence, Ticket, Urgency};
use tokio::sync::{Notify, oneshot};

/// One thing in the queue.
pub(super) struct Entry {
    pub(super) work: Work,
    pub(super) done: oneshot::Sender<()>,
}

/// What an entry asks for.
pub(super) enum Work {
    /// A batch, committed whole.
    Batch { fence: Fence, changes: Vec<Change>, rows: u64, urgency: Urgency },
    /// Nothing but to be reached.
    Barrier,
}

impl Work {
    fn rows(&self) -> u64 {
        match self {
            Self::Batch { rows, .. } => *rows,
            Self::Barrier => 0,
        }
    }

    fn is_awaited(&self) -> bool {
        !matches!(self, Self::Batch { urgency: Urgency::Rides, .. })
    }
}

/// How large a group may become.
#[derive(Debug, Clone, Copy)]
pub(super) struct GroupLimits {
    pub(super) batches: usize,
    pub(super) rows: u64,
}

/// What the writer should do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Commit: somebody waits, or too much rides.
    Commit,
    /// Only riders wait.
    Ride,
    /// Nothing waits.
    Idle,
    /// Nothing waits, and nothing more will come.
    End,
}

/// Grows only by `submit`: what bounds it are the permits taken at the doors and the mark on its rows at which they answer
/// "wait". A queue that refused would have to refuse in the middle of an actor's decision.
pub(super) struct Queue {
    inner: Mutex<Inner>,
    rows: AtomicU64,
    limits: GroupLimits,
    news: Notify,
}

#[derive(Default)]
struct Inner {
    entries: VecDeque<Entry>,
    /// How many of them somebody waits for; the others ride.
    awaited: usize,
    /// A group has been taken and its tickets are not complete: a barrier must wait for it.
    busy: bool,
    /// Riders have waited long enough.
    flush: bool,
    /// Nothing more is taken, what is here is still committed.
    closing: bool,
    /// Nothing more is taken, and nothing here will be completed.
    dead: bool,
}

impl Queue {
    pub(super) fn new(limits: GroupLimits) -> Self {
        Self { inner: Mutex::default(), rows: AtomicU64::new(0), limits, news: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No code that can panic runs under this lock, so a poisoned one still guards a whole queue.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, work: Work) -> Ticket {
        let (done, ticket) = Ticket::pair();
        let mut inner = self.lock();
        if inner.dead || inner.closing {
            return ticket;
        }
        if matches!(work, Work::Barrier) && inner.entries.is_empty() && !inner.busy {
            // All that was ever handed over is on disk: a trip through the writer would tell the same later.
            let _ = done.send(());
            return ticket;
        }
        self.rows.fetch_add(work.rows(), Ordering::Relaxed);
        let awaited = work.is_awaited();
        inner.awaited += usize::from(awaited);
        inner.entries.push_back(Entry { work, done });
        let first = inner.entries.len() == 1;
        let too_many_ride = inner.entries.len() > self.limits.batches;
        drop(inner);
        if awaited || first || too_many_ride {
            self.news.notify_one();
        }
        ticket
    }

    /// Rows handed over and not committed.
    pub(super) fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Resolves when [`next`](Self::next) may have changed.
    pub(super) async fn news(&self) {
        self.news.notified().await;
    }

    pub(super) fn next(&self) -> Next {
        self.lock().next(&self.limits)
    }

    /// The next group, where one is due; the one before it is complete then.
    pub(super) fn take(&self) -> Option<Vec<Entry>> {
        let mut inner = self.lock();
        inner.busy = inner.next(&self.limits) == Next::Commit;
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

    /// A taken group is on disk, or refused.
    pub(super) fn settled(&self, group: &[Entry]) {
        let rows = group.iter().map(|entry| entry.work.rows()).sum();
        self.rows.fetch_sub(rows, Ordering::Relaxed);
    }

    /// What rides now does not ride any longer.
    pub(super) fn flush(&self) {
        self.lock().flush = true;
    }

    pub(super) fn close(&self) {
        self.lock().closing = true;
        self.news.notify_one();
    }

    /// Let go of everything: each ticket says `Lost`, also those to come.
    pub(super) fn kill(&self) {
        let mut inner = self.lock();
        inner.dead = true;
        inner.awaited = 0;
        let lost = std::mem::take(&mut inner.entries);
        drop(inner);
        drop(lost);
    }
}

impl Inner {
    fn next(&self, limits: &GroupLimits) -> Next {
        match (self.entries.len(), self.closing || self.dead) {
            (0, true) => Next::End,
            (0, false) => Next::Idle,
            (_, true) => Next::Commit,
            (waiting, false) if self.awaited > 0 || self.flush || waiting > limits.batches => Next::Commit,
            _ => Next::Ride,
        }
    }
}
