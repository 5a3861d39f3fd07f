//! Writes the changes of contexts: PDUs stored, delivered and held, and gaps.
//!
//! A change that contradicts the rows comes from a bug in an actor. It is skipped and logged, because stopping the
//! journal would stop all contexts, and again at each start.

use actors::model::{ContextId, Delivery, Gap, PduRef, PduState, PendingParents, StoredPdu};
use redb::ReadableTable;

use crate::store::error::RedbResult;
use crate::store::schema::codec;
use crate::store::schema::codec::OwnedPdu;
use crate::store::schema::codec::columns::{GapValue, HeldValue};
use crate::store::write::apply::WriteBatch;

fn key(reference: &PduRef) -> (&str, &str) {
    (reference.origin.as_str(), reference.id.as_str())
}

fn place<'a>(context: &'a ContextId, reference: &'a PduRef) -> (&'a str, &'a str, &'a str) {
    (context.as_str(), reference.origin.as_str(), reference.id.as_str())
}

fn skip_inconsistent(context: &ContextId, reference: &PduRef, what: &'static str) -> RedbResult {
    tracing::error!(%context, %reference, "{what}; the change is skipped");
    Ok(())
}

impl WriteBatch<'_> {
    pub(crate) fn pdu_stored(&mut self, stored: &StoredPdu) -> RedbResult {
        let (reference, context) = (&stored.pdu.reference, &stored.pdu.context);
        let prev = codec::refs_to_row(&stored.pdu.prev);
        let at = self.delivery_time();
        let pdus = self.pdus.open()?;
        // `insert` returns the previous row; checking it afterwards and undoing saves a lookup per PDU.
        let before = pdus.insert(key(reference), codec::pdu_to_row(stored, &prev, at))?;
        if let Some(first) = before.map(|row| OwnedPdu::from_row(row.value())) {
            pdus.insert(key(reference), first.row())?;
            return skip_inconsistent(context, reference, "a PDU is stored for the second time");
        }
        self.counts.rows_written += 1;
        match &stored.standing {
            PduState::Delivered(delivery) => self.deliver(context, reference, delivery),
            PduState::Named { .. } => Ok(()),
            PduState::Held(hold) => {
                self.memory.arrivals += 1;
                let (epoch, arrival) = (self.memory.epoch, self.memory.arrivals);
                let (missing, slot) = (codec::refs_to_row(&hold.missing), codec::slot_to_row(&stored.pdu));
                let (edge, depth) = (hold.edge, codec::hold_depth(hold));
                let row = HeldValue { epoch, arrival, edge, depth, slot: &slot, missing: &missing };
                self.held.open()?.insert(place(context, reference), row)?;
                self.counts.rows_written += 1;
                Ok(())
            }
        }
    }

    pub(crate) fn pdu_delivered(&mut self, reference: &PduRef, context: &ContextId, delivery: &Delivery) -> RedbResult {
        let at = self.delivery_time();
        let pdus = self.pdus.open()?;
        self.counts.lookups += 1;
        let found = pdus.get(key(reference))?.map(|row| OwnedPdu::from_row(row.value()));
        self.counts.rows_read += u64::from(found.is_some());
        let Some(mut row) = found.filter(|row| row.waits_in(context.as_str())) else {
            return skip_inconsistent(context, reference, "a PDU is delivered that is not held in this context");
        };
        row.deliver(delivery, at);
        pdus.insert(key(reference), row.row())?;
        self.counts.rows_written += 1;
        let held = self.held.open()?.remove(place(context, reference))?;
        self.counts.rows_trimmed += u64::from(held.is_some());
        drop(held);
        self.deliver(context, reference, delivery)
    }

    fn deliver(&mut self, context: &ContextId, reference: &PduRef, delivery: &Delivery) -> RedbResult {
        self.timeline.open()?.insert((context.as_str(), delivery.position), key(reference))?;
        self.counts.rows_written += 1;
        match &delivery.shown {
            Some(shown) => self.append_feed(&codec::shown_to_row(reference, shown)),
            None => Ok(()),
        }
    }

    pub(crate) fn pdu_held(&mut self, reference: &PduRef, context: &ContextId, hold: &PendingParents) -> RedbResult {
        let held = self.held.open()?;
        self.counts.lookups += 1;
        let before = held.get(place(context, reference))?.map(|row| {
            let HeldValue { epoch, arrival, slot, .. } = row.value();
            (epoch, arrival, slot.to_vec())
        });
        let Some((epoch, arrival, slot)) = before else {
            return skip_inconsistent(context, reference, "a PDU is held again that was not held");
        };
        let missing = codec::refs_to_row(&hold.missing);
        let (edge, depth) = (hold.edge, codec::hold_depth(hold));
        let row = HeldValue { epoch, arrival, edge, depth, slot: &slot, missing: &missing };
        held.insert(place(context, reference), row)?;
        self.counts.rows_read += 1;
        self.counts.rows_written += 1;
        Ok(())
    }

    /// Overwrites the row of a gap, because a change names all children each time.
    pub(crate) fn gap_opened(&mut self, context: &ContextId, gap: &Gap) -> RedbResult {
        let children = codec::refs_to_row(&gap.children);
        self.gaps.open()?.insert(place(context, &gap.missing), GapValue { edge: gap.edge, children: &children })?;
        self.counts.rows_written += 1;
        Ok(())
    }

    pub(crate) fn gap_closed(&mut self, context: &ContextId, missing: &PduRef) -> RedbResult {
        let gone = self.gaps.open()?.remove(place(context, missing))?;
        self.counts.rows_trimmed += u64::from(gone.is_some());
        Ok(())
    }
}
