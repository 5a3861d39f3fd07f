//! The rows on disk of all strangers, estimated upwards between two counts.

use std::time::Duration;

use actors::errors::AdmissionError;
use actors::limits::STRANGERS_ROWS_MAX;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Time after which a refused stranger should retry: until then the rows are counted again.
const WAIT: Duration = Duration::from_secs(10);

/// Rows of a batch beside those of its items: the record of its sender, its digests or its id, and its nonce.
const ROWS_PER_BATCH: u64 = 3;

/// The number of rows of all strangers.
#[derive(Default)]
pub(super) struct StrangersRows {
    state: Mutex<CountedRows>,
    /// Wakes the count: something may have changed since the last one.
    pub(super) asked: Notify,
}

#[derive(Debug, Default)]
struct CountedRows {
    /// Rows at the last count.
    counted: u64,
    /// Rows of batches that were admitted before the count before the last began: the next count sees them.
    settled: u64,
    /// Rows of batches that were admitted before the last count began. Some may not have been on disk then.
    earlier: u64,
    /// Rows of batches that were admitted since.
    added: u64,
}

impl StrangersRows {
    /// Admits a batch, unless there are as many rows already.
    pub(super) fn admit(&self, most: u64, items: usize) -> Result<(), AdmissionError> {
        self.asked.notify_one();
        let mut state = self.state.lock();
        if state.counted + state.settled + state.earlier + state.added >= most {
            return Err(AdmissionError::LimitReached { limit: STRANGERS_ROWS_MAX, value: most, wait: WAIT });
        }
        state.added += items as u64 + ROWS_PER_BATCH;
        Ok(())
    }

    /// Begins a count.
    pub(super) fn begin_count(&self) {
        let mut state = self.state.lock();
        state.settled += std::mem::take(&mut state.earlier);
        state.earlier = std::mem::take(&mut state.added);
    }

    /// Takes over the count that was begun last.
    pub(super) fn end_count(&self, rows: u64) {
        let mut state = self.state.lock();
        (state.counted, state.settled) = (rows, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_estimated_between_counts() {
        let rows = StrangersRows::default();
        assert!(rows.admit(10, 4).is_ok());
        rows.begin_count();
        assert!(rows.admit(10, 1).is_ok(), "7 rows so far");
        let full = rows.admit(10, 0).expect_err("11 rows");
        assert_eq!(full.limit(), "federation.strangers.rows_max");
        rows.end_count(0);
        assert!(rows.admit(10, 0).is_err(), "the first batch may have been stored after the count");
        rows.begin_count();
        assert!(rows.admit(10, 0).is_err(), "a count that runs changes nothing");
        rows.end_count(5);
        assert!(rows.admit(10, 1).is_ok(), "5 counted, and 4 of the second batch");
        assert!(rows.admit(10, 1).is_err());
    }
}
