//! The texts of old PDUs leave, and their names stay: a PDU that is forgotten is known for ever, or it would be news when it is
//! sent again.
//!
//! # What may go
//! Not what anybody here still reads the text of: what lies in the feed, in a queue or among the dead letters. None of these can
//! be asked which PDUs it names but by reading all of it, and to count names would cost each message a row. So **the times of
//! delivery never go back**, whatever the clock does, not behind those of any row: a row of the feed or of a queue that was
//! written at a time names nothing that was delivered before that time, and neither does any row behind it. The oldest row of the
//! feed says all of the feed, and of a queue only what is as old as what is to go has to be read. What is taken from the dead
//! letters into a queue again counts as delivered then.
//!
//! The time that is ahead of all deliveries is kept in `meta`, and is where the next opening begins: a clock that was set back
//! while nobody looked changes nothing. It is written once in a while, so an opening may begin some seconds early.

use actors::model::{ContextId, PduRef};
use redb::ReadableTable;

use super::apply::Group;
use super::rows::{self, OwnedPdu};

/// The row of `meta`: no PDU was delivered after this time.
const AHEAD: &str = "delivered_before";
/// How far it is ahead.
const AHEAD_MS: u64 = 10_000;

/// When PDUs are delivered: never before an earlier one, nor before any row that says when it was written.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Deliveries {
    /// The newest time of all that was written.
    last: u64,
    /// What `meta` says.
    ahead: u64,
}

impl Deliveries {
    /// As an earlier opening left it.
    pub(super) fn behind(meta: &impl ReadableTable<&'static str, &'static str>) -> Result<Self, redb::Error> {
        let ahead = rows::number(meta, AHEAD)?.unwrap_or(0);
        Ok(Self { last: ahead, ahead })
    }

    /// Something is written at this time of the clock.
    pub(super) fn at(&mut self, now: u64) {
        self.last = self.last.max(now);
    }

    /// What `meta` is to say at the end of a transaction, so that nothing in it is younger; `None`: it says enough. That is a row
    /// every few seconds.
    pub(super) fn note(&mut self) -> Option<(&'static str, String)> {
        (self.last > self.ahead).then(|| {
            self.ahead = self.last.saturating_add(AHEAD_MS);
            (AHEAD, self.ahead.to_string())
        })
    }
}

impl Group<'_> {
    /// The time of a delivery in this group.
    pub(super) fn delivery_time(&self) -> u64 {
        self.memory.deliveries.last
    }

    /// Whoever hands this over has looked at what may go, in rows that were committed; here it is only made sure that each is
    /// what it was then. One that is not is passed over: the next walk will see it.
    pub(super) fn forget_pdus(
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
            pdus.insert(key, rows::forgotten(row.row()))?;
            self.timeline.open()?.remove(place)?;
            self.counts.rows_trimmed += 2;
        }
        Ok(())
    }

    /// It is queued once more, at the time that it now counts as delivered at.
    pub(super) fn delivered_again(&mut self, reference: &PduRef) -> Result<(), redb::Error> {
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
