//! The schedule for trimming acknowledged rows: not with each acknowledgement, because a trim reads the oldest rows.

/// Number of newly acknowledged rows after which the outbox is trimmed.
const TRIM_EVERY: u64 = 256;

/// The acknowledged rows since the last trim.
#[derive(Debug, Clone)]
pub(crate) struct TrimSchedule {
    acked_since: u64,
}

impl TrimSchedule {
    /// Returns the schedule after a start, which trims with the first acknowledgement: an earlier process may have left
    /// rows.
    pub(crate) const fn new() -> Self {
        Self { acked_since: TRIM_EVERY }
    }

    /// Counts newly acknowledged rows.
    pub(crate) const fn acked(&mut self, rows: u64) {
        self.acked_since += rows;
    }

    /// Returns the maximum number of rows to trim, if a trim is due.
    pub(crate) fn take_due(&mut self) -> Option<u32> {
        if self.acked_since < TRIM_EVERY {
            return None;
        }
        let acked_since = std::mem::take(&mut self.acked_since);
        Some(u32::try_from(2 * acked_since).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trim_is_due_every_256_rows() {
        let mut schedule = TrimSchedule::new();
        schedule.acked(1);
        assert_eq!((schedule.take_due(), schedule.take_due()), (Some(514), None), "the first one is due at once");
        schedule.acked(255);
        assert_eq!(schedule.take_due(), None);
        schedule.acked(1);
        assert_eq!(schedule.take_due(), Some(512));
    }
}
