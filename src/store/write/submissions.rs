//! The records of submissions: what was accepted, and where its items are queued.

use actors::model::{PduRef, ServerName, Submission, SubmissionId, SubmittedContent};

use crate::store::engine::group_write::GroupWrite;
use crate::store::error::RedbResult;
use crate::store::schema::codec::BadRow;
use crate::store::schema::codec::columns::SubmissionValue;
use crate::store::schema::{codec, tables};
use crate::store::write::lazy_table::LazyTable;
use crate::store::write::writer_context::WriterContext;

/// The records of submissions.
pub(crate) struct SubmissionTable<'t> {
    rows: LazyTable<'t, &'static str, SubmissionValue<'static>>,
}

impl<'t> SubmissionTable<'t> {
    pub(crate) fn new(transaction: &'t GroupWrite<'t>) -> Self {
        Self { rows: LazyTable::new(transaction, tables::SUBMISSIONS) }
    }

    /// Adds the record of a submission of `items` items, of which the first is at these indexes of the recipients' outboxes.
    pub(crate) fn insert<'s>(
        &mut self,
        cx: &mut WriterContext<'_>,
        submission: &'s Submission,
        items: u32,
        mut places: Vec<(&'s str, u64)>,
    ) -> RedbResult {
        places.extend(submission.left_out.iter().map(|server| (server.as_str(), codec::LEFT_OUT)));
        let (origin, id) = match &submission.what {
            SubmittedContent::Pdu(pdu, ..) => (pdu.origin.as_str(), pdu.id.as_str()),
            SubmittedContent::Updates(_) => ("", ""),
        };
        let accepted = submission.accepted.0;
        let places = codec::places_to_row(&places);
        let row = SubmissionValue { accepted, digest: &submission.digest.0, items, places: &places, origin, id };
        self.rows.open()?.insert(submission.id.as_str(), row)?;
        cx.counts.rows_written += 1;
        Ok(())
    }

    /// Returns the PDU of a submission if this server is a recipient whose outbox had no room, and has not got it since.
    pub(crate) fn skipped_pdu(
        &mut self,
        cx: &mut WriterContext<'_>,
        server: &ServerName,
        submission: &SubmissionId,
    ) -> Result<Option<PduRef>, redb::Error> {
        cx.counts.lookups += 1;
        cx.counts.rows_read += 1;
        let record = self.rows.open()?.get(submission.as_str())?;
        let record =
            record.map(|row| codec::submission_from_row(row.value())).transpose().map_err(BadRow::into_corrupted)?;
        Ok(record.filter(|it| it.left_out.contains(server)).and_then(|it| it.pdu))
    }

    /// Records in the submission that an item has another index, or was dropped: its trace compares indexes with what
    /// the peer acknowledged. A submission that was deleted has no trace.
    pub(crate) fn move_place(
        &mut self,
        cx: &mut WriterContext<'_>,
        submission: &SubmissionId,
        server: &ServerName,
        from: u64,
        to: u64,
    ) -> RedbResult {
        cx.counts.lookups += 1;
        let submissions = self.rows.open()?;
        let Some((accepted, digest, items, places, origin, id)) = submissions.get(submission.as_str())?.map(|row| {
            let SubmissionValue { accepted, digest, items, places, origin, id } = row.value();
            (accepted, *digest, items, places.to_vec(), origin.to_owned(), id.to_owned())
        }) else {
            return Ok(());
        };
        let places = codec::place_moved(&places, items, server.as_str(), from, to).map_err(BadRow::into_corrupted)?;
        let row = SubmissionValue { accepted, digest: &digest, items, places: &places, origin: &origin, id: &id };
        submissions.insert(submission.as_str(), row)?;
        cx.counts.rows_read += 1;
        cx.counts.rows_written += 1;
        Ok(())
    }

    /// Records in the submission that all its items for one server went to another one, at this index.
    pub(crate) fn move_to_server(
        &mut self,
        cx: &mut WriterContext<'_>,
        submission: &SubmissionId,
        (from, to): (&ServerName, &ServerName),
        place: u64,
    ) -> RedbResult {
        self.move_place(cx, submission, from, 0, codec::DROPPED)?;
        // A server without a place yet gets its first one.
        self.move_place(cx, submission, to, codec::DROPPED, place)
    }

    /// Removes the records of old submissions.
    pub(crate) fn remove(&mut self, cx: &mut WriterContext<'_>, ids: &[SubmissionId]) -> RedbResult {
        for id in ids {
            let gone = self.rows.open()?.take(id.as_str())?;
            cx.counts.rows_trimmed += u64::from(gone.is_some());
        }
        Ok(())
    }
}
