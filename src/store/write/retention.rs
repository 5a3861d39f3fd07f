//! Prunes the texts of old PDUs. Their identities stay for ever, because a PDU that is unknown would be delivered as
//! new when it is sent again.
//!
//! # What may be pruned
//! A PDU stays as long as a row of the feed, of a queue or of the dead letters names it, because its text is still
//! needed there. The only way to find out what these rows name is to read them all, and reference counts would cost
//! each message a row. Therefore **delivery times never go back**, whatever the clock does, and are never earlier than
//! the time of a row that was written before. So a row of the feed or of a queue that was written at time T, and every
//! row after it, names only PDUs that were delivered at T or later. The oldest row of the feed thus decides for the
//! whole feed, and of a queue only the rows that are older than the limit have to be read. A dead letter that is
//! requeued counts as delivered at that time.
//!
//! The time that is ahead of all deliveries is stored in `meta`, and the next opening starts from it: a clock that was
//! set back while the store was closed has no effect. It is written every few seconds, so after an opening delivery
//! times may be some seconds ahead of the clock.

use actors::model::{ContextId, PduRef};
use redb::ReadableTable;

use crate::store::schema::codec;
use crate::store::schema::codec::OwnedPdu;
use crate::store::write::apply::WriteBatch;

impl WriteBatch<'_> {
    /// Returns the delivery time of this group.
    pub(crate) fn delivery_time(&self) -> u64 {
        self.memory.deliveries.last
    }

    /// Prunes PDUs. The caller has selected them from committed rows; this call only checks that each is unchanged and
    /// skips those that are not: the next pass of the retention job sees them.
    pub(crate) fn forget_pdus(
        &mut self,
        context: &ContextId,
        pdus: &[(i64, PduRef)],
        before: u64,
    ) -> Result<(), redb::Error> {
        for (position, reference) in pdus {
            let (place, key) = ((context.as_str(), *position), (reference.origin.as_str(), reference.id.as_str()));
            self.counts.trim_reads += 2;
            let stands_there = self.timeline.open()?.get(place)?.is_some_and(|row| row.value() == key);
            let pdus = self.pdus.open()?;
            let Some(row) = pdus.get(key)?.map(|row| OwnedPdu::from_row(row.value())) else { continue };
            if !stands_there || !row.may_be_forgotten(context.as_str(), before) {
                continue;
            }
            pdus.insert(key, codec::forgotten(row.row()))?;
            self.timeline.open()?.remove(place)?;
            self.counts.rows_trimmed += 2;
        }
        Ok(())
    }

    /// Marks a PDU as delivered now, because it is queued once more.
    pub(crate) fn delivered_again(&mut self, reference: &PduRef) -> Result<(), redb::Error> {
        let at = self.delivery_time();
        let key = (reference.origin.as_str(), reference.id.as_str());
        let pdus = self.pdus.open()?;
        let Some(mut row) = pdus.get(key)?.map(|row| OwnedPdu::from_row(row.value())) else { return Ok(()) };
        row.again(at);
        pdus.insert(key, row.row())?;
        self.counts.rows_written += 1;
        Ok(())
    }
}
