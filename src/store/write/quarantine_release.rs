//! Writes the changes of operator commands on quarantine and dead letters: an item is removed, or a dead letter is
//! requeued.

use actors::model::{ContextId, Item, ServerName, SubmissionId};
use bytes::Bytes;
use redb::ReadableTable;

use crate::store::error::RedbResult;
use crate::store::schema::codec;
use crate::store::schema::codec::columns::{DeadLetterValue, PduValue, SubmissionValue};
use crate::store::write::apply::WriteBatch;
use crate::store::write::peer::non_participants::stranger_in;
use crate::store::write::peer::outbound::outbox::AppendedItem;

/// A dead letter that was removed from its table: its item number or PDU, and its submission.
struct RemovedDeadLetter {
    number: u64,
    origin: String,
    id: String,
    submission: String,
}

impl WriteBatch<'_> {
    pub(crate) fn quarantine_left(&mut self, server: &ServerName, number: u64) -> RedbResult {
        // Quarantine numbers can be reused: the next is the highest row + 1, so removing the newest row before a
        // restart frees its number.
        let gone = self.quarantine.open()?.remove((server.as_str(), number))?.map(|row| stranger_in(row.value()));
        self.counts.rows_trimmed += u64::from(gone.is_some());
        match gone.flatten() {
            Some((context, origin, id)) => {
                self.forget_stranger((context.as_str(), &origin, &id), server.as_str(), number)
            }
            None => Ok(()),
        }
    }

    pub(crate) fn dead_letter_left(&mut self, server: &ServerName, index: u64) -> RedbResult {
        let Some(letter) = self.take_letter(server, index)? else { return Ok(()) };
        // `number` is 0 for PDUs: they are not reference-counted and stay in `pdus`.
        if letter.number > 0 {
            *self.item_refcount_decrements.entry(letter.number).or_default() += 1;
        }
        let submission = codec::submission_id("dead_letters", &letter.submission);
        let submission = submission.map_err(|error| redb::Error::Corrupted(error.to_string()))?;
        self.update_submission_place(&submission, server, index, codec::DROPPED)
    }

    /// Appends a dead letter to the end of its outbox. It gets a new index, because the sequence number that it had
    /// went to the item after it.
    pub(crate) fn dead_letter_requeued(&mut self, server: &ServerName, index: u64) -> RedbResult {
        let Some(letter) = self.take_letter(server, index)? else { return Ok(()) };
        let Some((item, context)) = self.item_of(&letter)? else {
            tracing::error!(%server, index, "a dead letter has no content; this is a bug");
            return Ok(());
        };
        if let Item::Pdu(reference, _) = &item {
            self.delivered_again(reference)?;
        }
        let tail = self.outbox_tail(server)?;
        let submission = codec::submission_id("dead_letters", &letter.submission);
        let submission = submission.map_err(|error| redb::Error::Corrupted(error.to_string()))?;
        self.update_submission_place(&submission, server, index, tail.0 + 1)?;
        self.append_rows(server, tail, [AppendedItem { number: letter.number, item, context, submission }], true)
    }

    /// Queues a PDU for a recipient whose outbox had no room. It does nothing if the PDU has been queued since, or is
    /// pruned.
    pub(crate) fn left_out_queued(&mut self, server: &ServerName, submission: &SubmissionId) -> RedbResult {
        self.counts.lookups += 1;
        self.counts.rows_read += 1;
        let record = self.submissions.open()?.get(submission.as_str())?;
        let record = record.map(|row| codec::submission_from_row(row.value())).transpose();
        let record = record.map_err(|error| redb::Error::Corrupted(error.to_string()))?;
        let Some(reference) = record.filter(|it| it.left_out.contains(server)).and_then(|it| it.pdu) else {
            return Ok(());
        };
        let row = self.pdus.open()?.get((reference.origin.as_str(), reference.id.as_str()))?;
        let row = row.filter(|row| !codec::is_forgotten(row.value()));
        let Some((context, text)) = row.map(|row| pdu_of(row.value())).transpose()? else { return Ok(()) };
        self.delivered_again(&reference)?;
        let tail = self.outbox_tail(server)?;
        self.update_submission_place(submission, server, codec::LEFT_OUT, tail.0 + 1)?;
        let (context, submission) = (Some(context), submission.clone());
        let row = AppendedItem { number: 0, item: Item::Pdu(reference, text), context, submission };
        self.append_rows(server, tail, [row], true)
    }

    fn take_letter(&mut self, server: &ServerName, index: u64) -> Result<Option<RemovedDeadLetter>, redb::Error> {
        self.counts.lookups += 1;
        let letters = self.dead_letters.open()?;
        let letter = letters.remove((server.as_str(), index))?.map(|row| {
            let DeadLetterValue { item: number, origin, id, submission, .. } = row.value();
            let [origin, id, submission] = [origin, id, submission].map(str::to_owned);
            RemovedDeadLetter { number, origin, id, submission }
        });
        if letter.is_some() {
            self.counts.rows_trimmed += 1;
            if let Some(count) = self.memory.peers.get_mut(server).and_then(|ends| ends.dead_letters.as_mut()) {
                *count = count.saturating_sub(1);
            }
        }
        Ok(letter)
    }

    /// Returns the item, and the context if it is a PDU.
    fn item_of(&mut self, letter: &RemovedDeadLetter) -> Result<Option<(Item, Option<ContextId>)>, redb::Error> {
        self.counts.lookups += 1;
        self.counts.rows_read += 1;
        if letter.number > 0 {
            let row = self.items.open()?.get(letter.number)?;
            return Ok(row.map(|row| (Item::Update(Bytes::copy_from_slice(row.value().bytes)), None)));
        }
        let reference = codec::reference("dead_letters", &letter.origin, &letter.id);
        let reference = reference.map_err(|error| redb::Error::Corrupted(error.to_string()))?;
        let row = self.pdus.open()?.get((letter.origin.as_str(), letter.id.as_str()))?;
        let Some((context, text)) = row.map(|row| pdu_of(row.value())).transpose()? else { return Ok(None) };
        Ok(Some((Item::Pdu(reference, text), Some(context))))
    }

    /// Records in the submission that an item has another index, or was dropped: its trace compares indexes with what
    /// the peer acknowledged. A submission that was deleted has no trace.
    fn update_submission_place(
        &mut self,
        submission: &SubmissionId,
        server: &ServerName,
        from: u64,
        to: u64,
    ) -> RedbResult {
        self.counts.lookups += 1;
        let submissions = self.submissions.open()?;
        let Some((accepted, digest, items, places, origin, id)) = submissions.get(submission.as_str())?.map(|row| {
            let SubmissionValue { accepted, digest, items, places, origin, id } = row.value();
            (accepted, *digest, items, places.to_vec(), origin.to_owned(), id.to_owned())
        }) else {
            return Ok(());
        };
        let places = codec::place_moved(&places, items, server.as_str(), from, to);
        let places = places.map_err(|error| redb::Error::Corrupted(error.to_string()))?;
        let row = SubmissionValue { accepted, digest: &digest, items, places: &places, origin: &origin, id: &id };
        submissions.insert(submission.as_str(), row)?;
        self.counts.rows_read += 1;
        self.counts.rows_written += 1;
        Ok(())
    }
}

/// Returns the context and the text of a stored PDU.
fn pdu_of(row: PduValue<'_>) -> Result<(ContextId, Bytes), redb::Error> {
    let context = codec::context_id("pdus", row.context).map_err(|error| redb::Error::Corrupted(error.to_string()))?;
    Ok((context, Bytes::copy_from_slice(row.bytes)))
}
