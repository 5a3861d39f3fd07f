//! Counters of the store's work. Tests assert the budget of a message in rows, because row counts do not vary with the
//! machine.

use std::sync::atomic::{AtomicU64, Ordering};

/// The work done since the store was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RowCounts {
    /// Rows inserted or replaced, except by trimming.
    pub rows_written: u64,
    /// Rows found by reading, except by trimming.
    pub rows_read: u64,
    /// Lookups of a key or a range in a table, except by trimming.
    pub lookups: u64,
    /// Rows removed, and item rows rewritten because their reference count decreased.
    pub rows_trimmed: u64,
    /// Rows read for trimming.
    pub trim_reads: u64,
    /// Groups that were written into the log. Each syncs once; checkpoints are not counted.
    pub commits: u64,
    /// Groups handled, including those that held only barriers and needed no commit.
    pub groups: u64,
}

/// The live counters, shared by the writer and all readers.
#[derive(Debug, Default)]
pub(crate) struct RowCounters {
    rows_written: AtomicU64,
    rows_read: AtomicU64,
    lookups: AtomicU64,
    rows_trimmed: AtomicU64,
    trim_reads: AtomicU64,
    commits: AtomicU64,
    groups: AtomicU64,
}

impl RowCounters {
    pub(crate) fn add(&self, counts: &RowCounts) {
        self.rows_written.fetch_add(counts.rows_written, Ordering::Relaxed);
        self.rows_read.fetch_add(counts.rows_read, Ordering::Relaxed);
        self.lookups.fetch_add(counts.lookups, Ordering::Relaxed);
        self.rows_trimmed.fetch_add(counts.rows_trimmed, Ordering::Relaxed);
        self.trim_reads.fetch_add(counts.trim_reads, Ordering::Relaxed);
        self.commits.fetch_add(counts.commits, Ordering::Relaxed);
        self.groups.fetch_add(counts.groups, Ordering::Relaxed);
    }

    /// Counts one lookup and the rows that it found.
    pub(crate) fn looked_up(&self, found: u64) {
        self.lookups.fetch_add(1, Ordering::Relaxed);
        self.rows_read.fetch_add(found, Ordering::Relaxed);
    }

    pub(crate) fn now(&self) -> RowCounts {
        RowCounts {
            rows_written: self.rows_written.load(Ordering::Relaxed),
            rows_read: self.rows_read.load(Ordering::Relaxed),
            lookups: self.lookups.load(Ordering::Relaxed),
            rows_trimmed: self.rows_trimmed.load(Ordering::Relaxed),
            trim_reads: self.trim_reads.load(Ordering::Relaxed),
            commits: self.commits.load(Ordering::Relaxed),
            groups: self.groups.load(Ordering::Relaxed),
        }
    }
}
