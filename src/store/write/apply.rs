//! Applies changes: one match that gives each change to the owner of its tables, without reads on the hot path.
//!
//! The owners do not know each other. A change that concerns several of them is coordinated here, by a method that hands
//! what one owner returns to the next.

use std::collections::BTreeMap;

use actors::change::Change;
use actors::model::{
    ContextId, DeadLetterReason, FeedItem, GroupSubmission, Item, Millis, ParkedItem, PlainCopy, ServerName,
    Submission, SubmissionId,
};
use bytes::Bytes;

use crate::store::counters::RowCounts;
use crate::store::engine::group_write::GroupWrite;
use crate::store::error::RedbResult;
use crate::store::schema::codec;
use crate::store::schema::codec::BadRow;
use crate::store::schema::codec::columns::IN_ROW;
use crate::store::write::cache::WriterCache;
use crate::store::write::context::pdus::PduTables;
use crate::store::write::context::records::ContextRecordTables;
use crate::store::write::context::stage::StageTables;
use crate::store::write::context::state::StateTables;
use crate::store::write::feed::FeedTables;
use crate::store::write::peer::attempts::AttemptTables;
use crate::store::write::peer::forwards::ForwardTables;
use crate::store::write::peer::inbound::InboundTables;
use crate::store::write::peer::outbound::outbox::{AppendedItem, OutboxGrowth};
use crate::store::write::peer::outbound::{ForwardRow, OutboundTables, QueuedSubmission};
use crate::store::write::peer::quarantine::QuarantineTables;
use crate::store::write::refused_events::RefusedEventTables;
use crate::store::write::requested_receipts::RequestedReceiptTable;
use crate::store::write::submissions::SubmissionTable;
use crate::store::write::writer_context::WriterContext;

/// State of an item that a peer's messenger has acknowledged, in a delivery event.
const DELIVERED: &str = "delivered";

/// The work that remains after the commit of a group.
#[derive(Debug)]
pub(crate) struct AppliedGroup {
    pub(crate) grown: BTreeMap<ServerName, OutboxGrowth>,
    pub(crate) counts: RowCounts,
}

/// A group that is being written: the owners of all tables, and what they share.
pub(crate) struct WriteBatch<'t> {
    context: WriterContext<'t>,
    outbound: OutboundTables<'t>,
    attempts: AttemptTables<'t>,
    inbound: InboundTables<'t>,
    quarantine: QuarantineTables<'t>,
    forwards: ForwardTables<'t>,
    pdus: PduTables<'t>,
    state: StateTables<'t>,
    context_records: ContextRecordTables<'t>,
    stage: StageTables<'t>,
    feed: FeedTables<'t>,
    refused_events: RefusedEventTables<'t>,
    submissions: SubmissionTable<'t>,
    requested_receipts: RequestedReceiptTable<'t>,
}

impl<'t> WriteBatch<'t> {
    pub(crate) fn new(transaction: &'t GroupWrite<'t>, memory: &'t mut WriterCache, now: Millis) -> Self {
        let WriterCache { feed, next_item, order, deliveries, latest_pdu_ids, tails } = memory;
        deliveries.at(now.0);
        Self {
            context: WriterContext { now, counts: RowCounts::default(), tails, order },
            outbound: OutboundTables::new(transaction, next_item),
            attempts: AttemptTables::new(transaction),
            inbound: InboundTables::new(transaction),
            quarantine: QuarantineTables::new(transaction),
            forwards: ForwardTables::new(transaction),
            pdus: PduTables::new(transaction, deliveries, latest_pdu_ids),
            state: StateTables::new(transaction),
            context_records: ContextRecordTables::new(transaction),
            stage: StageTables::new(transaction),
            feed: FeedTables::new(transaction, feed),
            refused_events: RefusedEventTables::new(transaction),
            submissions: SubmissionTable::new(transaction),
            requested_receipts: RequestedReceiptTable::new(transaction),
        }
    }

    pub(crate) fn apply(&mut self, change: Change) -> RedbResult {
        let cx = &mut self.context;
        match change {
            Change::Submitted(submission) => self.submitted(&submission)?,
            Change::SubmittedToGroups(submission) => self.submitted_to_groups(&submission)?,
            Change::SkippedCopyQueued { submission, copy } => self.skipped_copy_queued(&submission, &copy)?,
            Change::Quarantined { parked, keep } => self.quarantined(parked, keep)?,
            Change::DeadLetterDeleted { server, index } => self.dead_letter_deleted(&server, index.0)?,
            Change::DeadLetterRequeued { server, index } => self.dead_letter_requeued(&server, index.0)?,
            Change::SkippedRecipientQueued { server, submission } => {
                self.skipped_recipient_queued(&server, &submission)?;
            }
            Change::PduStored(stored) => {
                let shown = self.pdus.store(cx, &stored)?;
                self.feed.append_pdu(cx, &stored.pdu.reference, shown)?;
            }
            Change::PduDelivered { reference, context, delivery } => {
                let shown = self.pdus.deliver(cx, &reference, &context, &delivery)?;
                self.feed.append_pdu(cx, &reference, shown)?;
            }
            Change::PeerRecordUpdated(record) => self.outbound.update_record(record),
            Change::OutboxTrimmed { server, upto, keep_items, queued_before, rows_max } => {
                if let Some(newest) =
                    self.outbound.trim_outbox(cx, &server, upto.0, keep_items, queued_before.0, rows_max)?
                {
                    self.requested_receipts.take(cx, &server, (0, newest))?;
                }
            }
            Change::OutboxDeadLettered { server, first, last, fate, reason, keep } => {
                self.outbound.move_to_dead_letters(cx, &server, first.0..=last.0, fate, &reason, keep)?;
            }
            Change::OutboxMoved { server, first, last, to, submission } => {
                self.outbox_moved((&server, &to), (first.0, last.0), &submission)?;
            }
            Change::ItemsHandedOver { server, spans } => self.items_handed_over(&server, spans)?,
            Change::ItemRejected { server, index, reason, keep } => {
                self.item_rejected(&server, index.0, reason, keep)?;
            }
            Change::TransactionSent { server, id, first, last } => {
                self.outbound.add_transaction(cx, &server, id, (first, last))?;
            }
            Change::AttemptFailed { server, attempt, keep } => self.attempts.add_failed(cx, &server, &attempt, keep)?,
            Change::Delivered { server, spans } => self.attempts.add_delivered(cx, &server, &spans)?,
            Change::DeliveriesForgotten { server, before, rows_max } => {
                self.attempts.trim_delivered(cx, &server, before.0, rows_max)?;
            }
            Change::InboundDigestsStored { from, first, digests, forget_below } => {
                self.inbound.store_digests(cx, &from, first.0, &digests, forget_below.0)?;
            }
            Change::TransactionSeen { from, seen, keep } => self.inbound.add_transaction(cx, &from, &seen, keep)?,
            Change::NonceUsed(nonce) => self.inbound.use_nonce(cx, &nonce)?,
            Change::ForwardPassedOn { route, id, sent, text, memory } => {
                if self.forwards.remember(cx, &route.origin, &id, memory)? {
                    let submission = SubmissionId::of_forward(&id);
                    let row = ForwardRow { text, since: Some(sent), submission };
                    self.outbound.queue_forwards(cx, &route.destination, &route, [row])?;
                }
            }
            Change::ForwardsQueued { via, route, forwards } => {
                let row = |(id, text): (Box<str>, Bytes)| ForwardRow {
                    text,
                    since: None,
                    submission: SubmissionId::of_forward(&id),
                };
                self.outbound.queue_forwards(cx, &via, &route, forwards.into_iter().map(row))?;
            }
            Change::ForwardTaken { origin, id, memory } => {
                self.forwards.remember(cx, &origin, &id, memory)?;
            }
            Change::ForwardsHeld { from, updates } => self.forwards.hold(cx, &from, &updates)?,
            Change::HeldForwardsDropped { from, below } => self.forwards.drop_held(cx, &from, below)?,
            Change::QuarantineRemoved { server, number } => self.quarantine.remove(cx, &server, number)?,
            Change::PduHeld { reference, context, hold } => self.pdus.update_held(cx, &reference, &context, &hold)?,
            Change::GapOpened { context, gap } => self.pdus.open_gap(cx, &context, &gap)?,
            Change::GapClosed { context, missing } => self.pdus.close_gap(cx, &context, &missing)?,
            Change::PduContentPruned { context, pdus, before } => self.pdus.prune(cx, &context, &pdus, before.0)?,
            Change::StateEventStored { context, key, piece } => {
                self.state.store_candidate(cx, &context, &key, &piece)?;
            }
            Change::CurrentStateChanged { context, key, current } => {
                self.state.set_current(cx, &context, &key, current.as_ref())?;
            }
            Change::MissingPrevStateAdded { context, link } => self.state.open_link(cx, &context, &link)?,
            Change::MissingPrevStateResolved { context, missing } => self.state.close_link(cx, &context, &missing)?,
            Change::ContextRecordUpdated(record) => self.context_records.update(record),
            Change::OverflowHeadsChanged { context, added, gone } => {
                self.context_records.change_heads(cx, &context, &added, &gone)?;
            }
            Change::ContextWork { context, unfinished } => self.context_records.mark_work(cx, &context, unfinished)?,
            Change::Staged { context, from, verified, pdus } => {
                self.stage.append(cx, &context, &from, verified, &pdus)?;
            }
            Change::StageLeft { context, from, number, reference } => {
                self.stage.remove(cx, &context, &from, number, &reference)?;
            }
            Change::FeedAppended(item) => self.feed.append(cx, &codec::feed_to_row(&item))?,
            Change::StateReemitted { reference } => self.feed.append_state_again(cx, &reference)?,
            Change::FeedAcked { upto } => self.feed.acknowledge(upto.0),
            Change::EventRefused { event, keep } => self.refused_events.add(cx, &event, keep)?,
            Change::RefusedEventReleased { position } => self.refused_events.release(cx, position, self.feed.tail())?,
            Change::RefusedEventDropped { position } => self.refused_events.remove(cx, position)?,
            Change::ReleasedEventsPushed { upto } => self.refused_events.forget_released(cx, upto)?,
            Change::PushIdsReserved { upto } => self.feed.reserve_push_ids(cx, upto)?,
            Change::FeedRewound { to } => self.feed.rewind(to.0),
            Change::FeedTrimmed { before, rows_max } => self.feed.trim(cx, before.0, rows_max)?,
            Change::SubmissionsPruned(ids) => self.submissions.remove(cx, &ids)?,
        }
        Ok(())
    }

    /// Writes the collected rows.
    pub(crate) fn finish(mut self) -> Result<AppliedGroup, redb::Error> {
        let cx = &mut self.context;
        self.outbound.finish(cx)?;
        self.context_records.finish(cx)?;
        self.feed.finish(cx)?;
        self.pdus.finish()?;
        cx.tails.limit();
        Ok(AppliedGroup { grown: self.outbound.into_growth(), counts: self.context.counts })
    }

    /// Queues a submission, and records where.
    fn submitted(&mut self, submission: &Submission) -> RedbResult {
        let queued = self.outbound.queue(&mut self.context, submission)?;
        self.request_receipts(submission, &queued)?;
        self.submissions.insert(&mut self.context, submission, queued.items, queued.places)
    }

    /// Records at which items the messenger wants to know that a peer's messenger has them, if it asks for that.
    fn request_receipts(&mut self, submission: &Submission, queued: &QueuedSubmission<'_>) -> RedbResult {
        for (server, first) in queued.places.iter().filter(|_| submission.receipt) {
            let last = (first + u64::from(queued.items)).saturating_sub(1);
            self.requested_receipts.add(&mut self.context, server, last, &submission.id)?;
        }
        Ok(())
    }

    /// Queues a submission of which some recipients get an update in place of the PDU, and records where.
    fn submitted_to_groups(&mut self, given: &GroupSubmission) -> RedbResult {
        let GroupSubmission { submission, copies, formless } = given;
        let mut queued = self.outbound.queue(&mut self.context, submission)?;
        for copy in copies {
            let index = self.outbound.queue_copy(&mut self.context, copy, &submission.id)?;
            queued.places.push((copy.server.as_str(), index));
        }
        self.request_receipts(submission, &queued)?;
        queued.places.extend(formless.iter().map(|server| (server.as_str(), codec::FORMLESS)));
        self.submissions.insert(&mut self.context, submission, queued.items, queued.places)
    }

    /// Queues an update for a recipient whose outbox had no room; its submission records the index. It does nothing if it has
    /// been queued since.
    fn skipped_copy_queued(&mut self, submission: &SubmissionId, copy: &PlainCopy) -> RedbResult {
        let cx = &mut self.context;
        if self.submissions.skipped_pdu(cx, &copy.server, submission)?.is_none() {
            return Ok(());
        }
        let place = self.outbound.queue_copy(cx, copy, submission)?;
        self.submissions.move_place(cx, submission, &copy.server, codec::LEFT_OUT, place)
    }

    /// Reports the deliveries of items that a peer's messenger has acknowledged, to those who asked for it.
    fn items_handed_over(&mut self, server: &ServerName, spans: Vec<(u64, u64)>) -> RedbResult {
        for span in spans {
            for message in self.requested_receipts.take(&mut self.context, server, span)? {
                let item = FeedItem::Delivery { message, server: server.clone(), state: DELIVERED, reason: None };
                self.feed.append(&mut self.context, &codec::feed_to_row(&item))?;
            }
        }
        Ok(())
    }

    /// Makes an item a dead letter that a peer's messenger has refused, and reports it in the feed.
    fn item_rejected(&mut self, server: &ServerName, index: u64, reason: String, keep: u64) -> RedbResult {
        let cx = &mut self.context;
        let fate = DeadLetterReason::Rejected;
        let Some(message) = self.outbound.submission_at(cx, server, index)? else { return Ok(()) };
        self.outbound.move_to_dead_letters(cx, server, index..=index, fate, &reason, keep)?;
        self.requested_receipts.take(cx, server, (index, index))?;
        let (server, state) = (server.clone(), fate.state());
        let item = FeedItem::Delivery { message, server, state, reason: Some(reason) };
        self.feed.append(cx, &codec::feed_to_row(&item))
    }

    /// Quarantines an item, and reports it in the feed.
    fn quarantined(&mut self, parked: ParkedItem, keep: u64) -> RedbResult {
        self.quarantine.add(&mut self.context, &parked, keep)?;
        self.feed.append(&mut self.context, &codec::feed_to_row(&FeedItem::Parked(parked)))
    }

    /// Deletes a dead letter; its submission records that the item was dropped.
    fn dead_letter_deleted(&mut self, server: &ServerName, index: u64) -> RedbResult {
        let cx = &mut self.context;
        let Some(letter) = self.outbound.take_dead_letter(cx, server, index)? else { return Ok(()) };
        self.outbound.release_item(letter.item);
        self.submissions.move_place(cx, &letter.submission, server, index, codec::DROPPED)
    }

    /// Appends a dead letter to the end of its outbox; its submission records the new index.
    fn dead_letter_requeued(&mut self, server: &ServerName, index: u64) -> RedbResult {
        let cx = &mut self.context;
        let Some(letter) = self.outbound.take_dead_letter(cx, server, index)? else { return Ok(()) };
        cx.counts.lookups += 1;
        cx.counts.rows_read += 1;
        let content = if letter.item > 0 {
            self.outbound.update_bytes(letter.item)?.map(|bytes| (Item::Update(bytes), None))
        } else {
            let reference = letter.reference()?;
            let content = self.pdus.deliver_again(cx, &reference)?;
            content.map(|(context, text)| (Item::Pdu(reference, text), Some(context)))
        };
        let Some((item, context)) = content else {
            tracing::error!(%server, index, "a dead letter has no content; this is a bug");
            return Ok(());
        };
        let submission = letter.submission.clone();
        let row = AppendedItem { number: letter.item, since: None, item, context, submission };
        let place = self.outbound.queue_again(cx, server, row)?;
        self.requested_receipts.move_to(cx, server, index, place)?;
        self.submissions.move_place(cx, &letter.submission, server, index, place)
    }

    /// Appends the items of a submission in one outbox to another one; the submission records it, and so does the receipt that its
    /// author asked for.
    fn outbox_moved(
        &mut self,
        (from, to): (&ServerName, &ServerName),
        (first, last): (u64, u64),
        submission: &SubmissionId,
    ) -> RedbResult {
        let rows = self.outbound.rows_in(&mut self.context, from, first..=last)?;
        let mut items = Vec::with_capacity(rows.len());
        for row in &rows {
            let Some((item, context)) = self.content(row.item, (&row.origin, &row.id))? else {
                tracing::error!(peer = %from, index = row.index, "an item of an outbox has no content; this is a bug");
                return Ok(());
            };
            let submission = submission.clone();
            items.push(AppendedItem { number: row.item, since: None, item, context, submission });
        }
        let (cx, count) = (&mut self.context, rows.len() as u64);
        if count == 0 {
            return Ok(());
        }
        let place = self.outbound.move_rows(cx, (from, to), &rows, items)?;
        for asked in self.requested_receipts.take(cx, from, (first, last))? {
            self.requested_receipts.add(cx, to.as_str(), place + count - 1, &asked)?;
        }
        self.submissions.move_to_server(cx, submission, (from, to), place)
    }

    /// Returns an item that an outbox or a dead letter names, with the context of a PDU; `None`: it is pruned.
    fn content(
        &mut self,
        number: u64,
        (origin, id): (&str, &str),
    ) -> Result<Option<(Item, Option<ContextId>)>, redb::Error> {
        if number == IN_ROW {
            return Ok(Some((Item::Update(Bytes::copy_from_slice(id.as_bytes())), None)));
        }
        if number > 0 {
            return Ok(self.outbound.update_bytes(number)?.map(|bytes| (Item::Update(bytes), None)));
        }
        let reference = codec::reference("outbox", origin, id).map_err(BadRow::into_corrupted)?;
        let content = self.pdus.deliver_again(&mut self.context, &reference)?;
        Ok(content.map(|(context, text)| (Item::Pdu(reference, text), Some(context))))
    }

    /// Queues a PDU for a recipient whose outbox had no room; its submission records the index. It does nothing if the PDU
    /// has been queued since, or is pruned.
    fn skipped_recipient_queued(&mut self, server: &ServerName, submission: &SubmissionId) -> RedbResult {
        let cx = &mut self.context;
        let Some(reference) = self.submissions.skipped_pdu(cx, server, submission)? else { return Ok(()) };
        let Some((context, text)) = self.pdus.deliver_again(cx, &reference)? else { return Ok(()) };
        let item = Item::Pdu(reference, text);
        let (context, submission_id) = (Some(context), submission.clone());
        let row = AppendedItem { number: 0, since: None, item, context, submission: submission_id };
        let place = self.outbound.queue_again(cx, server, row)?;
        self.submissions.move_place(cx, submission, server, codec::LEFT_OUT, place)
    }
}
