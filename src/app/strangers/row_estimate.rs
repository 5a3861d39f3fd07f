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
    /// Rows that batches may have added since.
    added: u64,
}

impl StrangersRows {
    /// Admits a batch, unless there are as many rows already.
    pub(super) fn admit(&self, most: u64, items: usize) -> Result<(), AdmissionError> {
        self.asked.notify_one();
        let mut state = self.state.lock();
        if state.counted + state.added >= most {
            return Err(AdmissionError::LimitReached { limit: STRANGERS_ROWS_MAX, value: most, wait: WAIT });
        }
        state.added += items as u64 + ROWS_PER_BATCH;
        Ok(())
    }

    /// Returns the number of rows that may have been added since the last count.
    pub(super) fn added(&self) -> u64 {
        self.state.lock().added
    }

    /// Takes over a count that began when `before` rows had been added.
    pub(super) fn counted(&self, rows: u64, before: u64) {
        let mut state = self.state.lock();
        (state.counted, state.added) = (rows, state.added.saturating_sub(before));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_estimated_between_counts() {
        let rows = StrangersRows::default();
        assert!(rows.admit(10, 4).is_ok());
        let before = rows.added();
        assert!(rows.admit(10, 1).is_ok(), "7 rows so far");
        let full = rows.admit(10, 0).expect_err("11 rows");
        assert_eq!(full.limit(), "federation.strangers.rows_max");
        rows.counted(2, before);
        assert!(rows.admit(10, 1).is_ok(), "2 counted, and 4 since the count began");
        assert!(rows.admit(10, 1).is_err());
        rows.counted(9, rows.added());
        assert!(rows.admit(10, 0).is_ok() && rows.admit(10, 0).is_err());
    }
}
