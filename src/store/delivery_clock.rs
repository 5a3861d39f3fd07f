//! The clock of deliveries: it never goes back, so that old PDUs can be pruned by the age of rows.

use redb::ReadableTable;

use crate::store::schema::codec;

/// Row of `meta`: no PDU was delivered after this time.
pub(crate) const AHEAD: &str = "delivered_before";

/// Distance by which the stored time is ahead.
pub(crate) const AHEAD_MS: u64 = 10_000;

/// The clock of deliveries. It never goes back, and never behind the time of any row that was written.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct DeliveryClock {
    /// Newest time of anything written.
    pub(crate) last: u64,
    /// Time stored in `meta`.
    pub(crate) ahead: u64,
}

impl DeliveryClock {
    /// Reads the time that an earlier opening stored.
    pub(crate) fn behind(meta: &impl ReadableTable<&'static str, &'static str>) -> Result<Self, redb::Error> {
        let ahead = codec::number(meta, AHEAD)?.unwrap_or(0);
        Ok(Self { last: ahead, ahead })
    }

    /// Advances to the time of a write.
    pub(crate) fn at(&mut self, now: u64) {
        self.last = self.last.max(now);
    }

    /// Returns the row of `meta` that must be written with this transaction so that nothing in it is later; `None` if
    /// the stored time is still ahead. That is one row every few seconds.
    pub(crate) fn persist_if_ahead(&mut self) -> Option<(&'static str, String)> {
        (self.last > self.ahead).then(|| {
            self.ahead = self.last.saturating_add(AHEAD_MS);
            (AHEAD, self.ahead.to_string())
        })
    }
}
