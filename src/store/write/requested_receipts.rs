//! The submissions whose author asked to be told of their delivery, until it is reported.

use actors::model::{ServerName, SubmissionId};

use crate::store::engine::group_write::GroupWrite;
use crate::store::error::RedbResult;
use crate::store::schema::codec::BadRow;
use crate::store::schema::{codec, tables};
use crate::store::write::lazy_table::LazyTable;
use crate::store::write::writer_context::WriterContext;

/// The submissions that wait for a receipt of a peer.
pub(crate) struct RequestedReceiptTable<'t> {
    rows: LazyTable<'t, (&'static str, u64), &'static str>,
}

impl<'t> RequestedReceiptTable<'t> {
    pub(crate) fn new(transaction: &'t GroupWrite<'t>) -> Self {
        Self { rows: LazyTable::new(transaction, tables::REQUESTED_RECEIPTS) }
    }

    /// Adds a submission, by the index of its last item.
    pub(crate) fn add(
        &mut self,
        cx: &mut WriterContext<'_>,
        server: &str,
        index: u64,
        submission: &SubmissionId,
    ) -> RedbResult {
        self.rows.open()?.insert((server, index), submission.as_str())?;
        cx.counts.rows_written += 1;
        Ok(())
    }

    /// Removes and returns the submissions whose last item is in this range.
    pub(crate) fn take(
        &mut self,
        cx: &mut WriterContext<'_>,
        server: &ServerName,
        (first, last): (u64, u64),
    ) -> Result<Vec<SubmissionId>, redb::Error> {
        let rows = self.rows.open()?;
        let mut found = Vec::new();
        for row in rows.range((server.as_str(), first)..=(server.as_str(), last))? {
            let (key, submission) = row?;
            let submission = codec::submission_id("requested_receipts", submission.value());
            found.push((tables::number_of(key.value()), submission.map_err(BadRow::into_corrupted)?));
        }
        cx.counts.rows_read += found.len() as u64;
        let mut submissions = Vec::with_capacity(found.len());
        for (index, submission) in found {
            rows.remove((server.as_str(), index))?;
            cx.counts.rows_trimmed += 1;
            submissions.push(submission);
        }
        Ok(submissions)
    }

    /// Gives the row of an item its new index, if it has one.
    pub(crate) fn move_to(
        &mut self,
        cx: &mut WriterContext<'_>,
        server: &ServerName,
        from: u64,
        to: u64,
    ) -> RedbResult {
        for submission in self.take(cx, server, (from, from))? {
            self.add(cx, server.as_str(), to, &submission)?;
        }
        Ok(())
    }
}
