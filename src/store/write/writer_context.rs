//! The context of a group of commits that every owner of tables gets.

use actors::model::Millis;

use crate::store::counters::RowCounts;
use crate::store::write::peer_tails::PeerTails;

/// The context that every owner of tables gets from a group: its time, its counters, and the parts of the writer's memory that several
/// owners share.
pub(crate) struct WriterContext<'m> {
    /// Time of the group, which all its rows have.
    pub(crate) now: Millis,
    /// Rows written and read by the group so far.
    pub(crate) counts: RowCounts,
    /// Ends of the tables of each server.
    pub(crate) tails: &'m mut PeerTails,
    /// Order of the PDUs that wait.
    pub(crate) order: &'m mut WaitingOrder,
}

/// The order of the PDUs that wait, held or in quarantine: it continues over openings of the store.
#[derive(Debug)]
pub(crate) struct WaitingOrder {
    /// Epoch of this opening.
    epoch: u64,
    /// Number of PDUs since the store was opened.
    count: u64,
}

impl WaitingOrder {
    pub(crate) fn new(epoch: u64) -> Self {
        Self { epoch, count: 0 }
    }

    /// Returns the epoch and the number within it for the next PDU.
    pub(crate) fn next_place(&mut self) -> (u64, u64) {
        self.count += 1;
        (self.epoch, self.count)
    }
}
