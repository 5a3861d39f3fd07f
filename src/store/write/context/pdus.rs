//! The PDUs of contexts: stored, delivered and held, the gaps between them, and the removal of old texts.
//!
//! A change that contradicts the rows comes from a bug in an actor. It is skipped and logged, because stopping the
//! journal would stop all contexts, and again at each start.
//!
//! # What may be pruned
//! Identities stay for ever, because a PDU that is unknown would be delivered as new when it is sent again. Texts of old
//! PDUs are pruned. A PDU stays as long as a row of the feed, of a queue or of the dead letters names it, because its text
//! is still needed there. The only way to find out what these rows name is to read them all, and reference counts would
//! cost each message a row. Therefore **delivery times never go back**, whatever the clock does, and are never earlier than
//! the time of a row that was written before. So a row of the feed or of a queue that was written at time T, and every
//! row after it, names only PDUs that were delivered at T or later. The oldest row of the feed thus decides for the
//! whole feed, and of a queue only the rows that are older than the limit have to be read. A dead letter that is
//! requeued counts as delivered at that time.
//!
//! The time that is ahead of all deliveries is stored in `meta`, and the next opening starts from it: a clock that was
//! set back while the store was closed has no effect. It is written every few seconds, so after an opening delivery
//! times may be some seconds ahead of the clock.

use actors::model::{ContextId, Delivery, FeedFlags, Gap, PduRef, PduState, PendingParents, StoredPdu};
use bytes::Bytes;

use crate::store::delivery_clock::DeliveryClock;
use crate::store::engine::group_write::GroupWrite;
use crate::store::error::RedbResult;
use crate::store::schema::codec::columns::{GapValue, HeldValue, PduValue};
use crate::store::schema::codec::{BadRow, OwnedPdu};
use crate::store::schema::tables::{ContextPduKey, RefValue};
use crate::store::schema::{codec, tables};
use crate::store::write::context::latest_pdu_ids::LatestPduIds;
use crate::store::write::lazy_table::LazyTable;
use crate::store::write::writer_context::WriterContext;

fn key(reference: &PduRef) -> (&str, &str) {
    (reference.origin.as_str(), reference.id.as_str())
}

fn place<'a>(context: &'a ContextId, reference: &'a PduRef) -> (&'a str, &'a str, &'a str) {
    (context.as_str(), reference.origin.as_str(), reference.id.as_str())
}

fn log_inconsistent(context: &ContextId, reference: &PduRef, what: &'static str) {
    tracing::error!(%context, %reference, "{what}; the change is skipped");
}

/// The PDUs of all contexts.
pub(crate) struct PduTables<'t> {
    rows: LazyTable<'t, RefValue, PduValue<'static>>,
    timeline: LazyTable<'t, (&'static str, i64), RefValue>,
    held: LazyTable<'t, ContextPduKey, HeldValue<'static>>,
    gaps: LazyTable<'t, ContextPduKey, GapValue<'static>>,
    meta: LazyTable<'t, &'static str, &'static str>,
    /// Clock that gives delivery times; the time that is ahead of them is in `meta`.
    deliveries: &'t mut DeliveryClock,
    newest: &'t mut LatestPduIds,
}

impl<'t> PduTables<'t> {
    pub(crate) fn new(
        transaction: &'t GroupWrite<'t>,
        deliveries: &'t mut DeliveryClock,
        newest: &'t mut LatestPduIds,
    ) -> Self {
        Self {
            rows: LazyTable::new(transaction, tables::PDUS),
            timeline: LazyTable::new(transaction, tables::TIMELINE),
            held: LazyTable::new(transaction, tables::HELD),
            gaps: LazyTable::new(transaction, tables::GAPS),
            meta: LazyTable::new(transaction, tables::META),
            deliveries,
            newest,
        }
    }

    /// Stores a PDU. If it is delivered and the messenger is to see it, its flags are returned.
    pub(crate) fn store<'p>(
        &mut self,
        cx: &mut WriterContext<'_>,
        stored: &'p StoredPdu,
    ) -> Result<Option<&'p FeedFlags>, redb::Error> {
        let (reference, context) = (&stored.pdu.reference, &stored.pdu.context);
        let prev = codec::refs_to_row(&stored.pdu.prev);
        self.find_newest(cx, reference)?;
        let pdus = self.rows.open()?;
        let row = codec::pdu_to_row(stored, &prev, self.deliveries.last);
        if self.newest.rises(reference) {
            pdus.append(key(reference), row)?;
        } else if let Some(first) = pdus.replace(key(reference), row)?.map(|row| OwnedPdu::from_row(row.value())) {
            // `replace` returns the previous row; checking it afterwards and undoing saves a lookup per PDU.
            pdus.insert(key(reference), first.row())?;
            log_inconsistent(context, reference, "a PDU is stored for the second time");
            return Ok(None);
        }
        cx.counts.rows_written += 1;
        match &stored.standing {
            PduState::Delivered(delivery) => self.add_to_timeline(cx, context, reference, delivery),
            PduState::Named { .. } => Ok(None),
            PduState::Held(hold) => {
                let (epoch, arrival) = cx.order.next_place();
                let (missing, slot) = (codec::refs_to_row(&hold.missing), codec::slot_to_row(&stored.pdu));
                let (edge, depth) = (hold.edge, codec::hold_depth(hold));
                let row = HeldValue { epoch, arrival, edge, depth, slot: &slot, missing: &missing };
                self.held.open()?.insert(place(context, reference), row)?;
                cx.counts.rows_written += 1;
                Ok(None)
            }
        }
    }

    /// Reads the greatest id of the origin of a PDU, if it is not known.
    fn find_newest(&mut self, cx: &mut WriterContext<'_>, PduRef { origin, .. }: &PduRef) -> RedbResult {
        if self.newest.knows(origin) {
            return Ok(());
        }
        let end = tables::after(origin.as_str());
        let last = self.rows.open()?.range((origin.as_str(), "")..(end.as_str(), ""))?.newest()?;
        cx.counts.lookups += 1;
        let id = last.map(|(key, _)| codec::reference("pdus", origin.as_str(), key.value().1)).transpose();
        self.newest.fill(origin, id.map_err(BadRow::into_corrupted)?.map(|reference| reference.id));
        Ok(())
    }

    /// Delivers a held PDU. If the messenger is to see it, its flags are returned.
    pub(crate) fn deliver<'d>(
        &mut self,
        cx: &mut WriterContext<'_>,
        reference: &PduRef,
        context: &ContextId,
        delivery: &'d Delivery,
    ) -> Result<Option<&'d FeedFlags>, redb::Error> {
        let pdus = self.rows.open()?;
        cx.counts.lookups += 1;
        let found = pdus.get(key(reference))?.map(|row| OwnedPdu::from_row(row.value()));
        cx.counts.rows_read += u64::from(found.is_some());
        let Some(mut row) = found.filter(|row| row.waits_in(context.as_str())) else {
            log_inconsistent(context, reference, "a PDU is delivered that is not held in this context");
            return Ok(None);
        };
        row.deliver(delivery, self.deliveries.last);
        pdus.insert(key(reference), row.row())?;
        cx.counts.rows_written += 1;
        let held = self.held.open()?.take(place(context, reference))?;
        cx.counts.rows_trimmed += u64::from(held.is_some());
        drop(held);
        self.add_to_timeline(cx, context, reference, delivery)
    }

    fn add_to_timeline<'d>(
        &mut self,
        cx: &mut WriterContext<'_>,
        context: &ContextId,
        reference: &PduRef,
        delivery: &'d Delivery,
    ) -> Result<Option<&'d FeedFlags>, redb::Error> {
        // The machine of a context gives each position once.
        self.timeline.open()?.append((context.as_str(), delivery.position), key(reference))?;
        cx.counts.rows_written += 1;
        Ok(delivery.shown.as_ref())
    }

    /// Replaces the parents that a held PDU waits for.
    pub(crate) fn update_held(
        &mut self,
        cx: &mut WriterContext<'_>,
        reference: &PduRef,
        context: &ContextId,
        hold: &PendingParents,
    ) -> RedbResult {
        let held = self.held.open()?;
        cx.counts.lookups += 1;
        let before = held.get(place(context, reference))?.map(|row| {
            let HeldValue { epoch, arrival, slot, .. } = row.value();
            (epoch, arrival, slot.to_vec())
        });
        let Some((epoch, arrival, slot)) = before else {
            log_inconsistent(context, reference, "a PDU is held again that was not held");
            return Ok(());
        };
        let missing = codec::refs_to_row(&hold.missing);
        let (edge, depth) = (hold.edge, codec::hold_depth(hold));
        let row = HeldValue { epoch, arrival, edge, depth, slot: &slot, missing: &missing };
        held.insert(place(context, reference), row)?;
        cx.counts.rows_read += 1;
        cx.counts.rows_written += 1;
        Ok(())
    }

    /// Overwrites the row of a gap, because a change names all children each time.
    pub(crate) fn open_gap(&mut self, cx: &mut WriterContext<'_>, context: &ContextId, gap: &Gap) -> RedbResult {
        let children = codec::refs_to_row(&gap.children);
        self.gaps.open()?.insert(place(context, &gap.missing), GapValue { edge: gap.edge, children: &children })?;
        cx.counts.rows_written += 1;
        Ok(())
    }

    /// Removes the row of a gap.
    pub(crate) fn close_gap(
        &mut self,
        cx: &mut WriterContext<'_>,
        context: &ContextId,
        missing: &PduRef,
    ) -> RedbResult {
        let gone = self.gaps.open()?.take(place(context, missing))?;
        cx.counts.rows_trimmed += u64::from(gone.is_some());
        Ok(())
    }

    /// Prunes PDUs. The caller has selected them from committed rows; this call only checks that each is unchanged and
    /// skips those that are not: the next pass of the retention job sees them.
    pub(crate) fn prune(
        &mut self,
        cx: &mut WriterContext<'_>,
        context: &ContextId,
        pdus: &[(i64, PduRef)],
        before: u64,
    ) -> RedbResult {
        for (position, reference) in pdus {
            let (place, key) = ((context.as_str(), *position), key(reference));
            cx.counts.trim_reads += 2;
            let stands_there = self.timeline.open()?.get(place)?.is_some_and(|row| row.value() == key);
            let pdus = self.rows.open()?;
            let Some(row) = pdus.get(key)?.map(|row| OwnedPdu::from_row(row.value())) else { continue };
            if !stands_there || !row.may_be_forgotten(context.as_str(), before) {
                continue;
            }
            pdus.insert(key, codec::forgotten(row.row()))?;
            self.timeline.open()?.remove(place)?;
            cx.counts.rows_trimmed += 2;
        }
        Ok(())
    }

    /// Returns the context and the text of a PDU that is queued once more, and marks it as delivered now; `None` if it is
    /// unknown or pruned.
    pub(crate) fn deliver_again(
        &mut self,
        cx: &mut WriterContext<'_>,
        reference: &PduRef,
    ) -> Result<Option<(ContextId, Bytes)>, redb::Error> {
        let pdus = self.rows.open()?;
        let row = pdus.get(key(reference))?.map(|row| OwnedPdu::from_row(row.value()));
        let Some(mut row) = row.filter(|row| !codec::is_forgotten(row.row())) else { return Ok(None) };
        row.again(self.deliveries.last);
        pdus.insert(key(reference), row.row())?;
        cx.counts.rows_written += 1;
        let PduValue { context, bytes, .. } = row.row();
        Ok(Some((codec::context_id("pdus", context).map_err(BadRow::into_corrupted)?, Bytes::copy_from_slice(bytes))))
    }

    /// Writes the time that is ahead of all deliveries, if it is not ahead any more.
    pub(crate) fn finish(&mut self) -> RedbResult {
        if let Some((key, value)) = self.deliveries.persist_if_ahead() {
            self.meta.open()?.insert(key, value.as_str())?;
        }
        Ok(())
    }
}
