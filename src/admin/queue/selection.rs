//! The items of a queue that a purge or a move selects, page by page.

use actors::model::{ContextId, Index, Millis, ServerName, SubmissionId};
use actors::ports::QueuedItem;

use crate::admin::AdminApi;
use crate::admin::answer::{older_than, stated_time};
use crate::api::queue::QueueSelection;
use crate::http::error::ApiError;

/// Number of items examined in one call: each that is taken out is told by an event.
const ROWS_A_CALL: u32 = 1_000;

/// Items of one submission that follow one another in the queue.
pub(super) struct QueueRun {
    pub(super) submission: SubmissionId,
    pub(super) indexes: Vec<Index>,
    pub(super) bytes: u64,
    /// Size of the largest item in bytes.
    pub(super) largest: u64,
    /// The first of the items.
    pub(super) item: QueuedItem,
}

impl QueueRun {
    /// Returns the index of the first item.
    pub(super) fn first(&self) -> Index {
        self.item.index
    }

    /// Returns the index of the last item.
    pub(super) fn last(&self) -> Index {
        self.indexes.last().copied().unwrap_or(self.item.index)
    }
}

/// A page of selected items.
pub(super) struct QueuePage {
    pub(super) runs: Vec<QueueRun>,
    /// Number of forwards of other servers, which are never selected.
    pub(super) forwards: u64,
    /// Time at which the oldest selected item was queued.
    pub(super) oldest: Option<Millis>,
    /// Index to continue from, if items remain.
    pub(super) next: Option<Index>,
}

impl QueuePage {
    /// Reads the next page of items that match and are not acknowledged.
    pub(super) async fn read(
        api: &AdminApi,
        server: &ServerName,
        asked: &QueueSelection,
        acked: Index,
    ) -> Result<Self, ApiError> {
        let context = asked.context.as_deref().map(|id| {
            let words = || format!("{id:?} is no context");
            id.parse::<ContextId>().map_err(|_| ApiError::bad_request("BAD_FILTER", words()))
        });
        let context = context.transpose()?;
        let age = asked.older_than.as_deref().map(|age| older_than(&api.gateway, age)).transpose()?;
        let stated = asked.before.as_deref().map(stated_time).transpose()?;
        let before = [age, stated].into_iter().flatten().min();
        let after = Index(asked.after.unwrap_or(0)).max(acked);
        let rows = api.inspect.queued(server, after, ROWS_A_CALL).await?;
        let mut page = Self { runs: Vec::new(), forwards: 0, oldest: None, next: None };
        page.next = rows.last().filter(|_| rows.len() == ROWS_A_CALL as usize).map(|row| row.index);
        for row in rows {
            let is_selected = before.is_none_or(|before| row.queued < before)
                && context.as_ref().is_none_or(|wanted| row.pdu.as_ref().is_some_and(|(_, context)| context == wanted));
            match is_selected {
                true if row.submission.is_forward() => page.forwards += 1,
                true => page.add(row),
                false => {}
            }
        }
        page.leave_open_run();
        Ok(page)
    }

    fn add(&mut self, row: QueuedItem) {
        self.oldest = Some(self.oldest.map_or(row.queued, |oldest| oldest.min(row.queued)));
        match self.runs.last_mut().filter(|run| run.submission == row.submission && run.last().next() == row.index) {
            Some(run) => {
                run.indexes.push(row.index);
                run.bytes += row.size;
                run.largest = run.largest.max(row.size);
            }
            None => self.runs.push(QueueRun {
                submission: row.submission.clone(),
                indexes: vec![row.index],
                bytes: row.size,
                largest: row.size,
                item: row,
            }),
        }
    }

    /// Leaves a submission that may continue beyond the page to the next one, unless it fills the page.
    fn leave_open_run(&mut self) {
        if let (Some(next), true) = (self.next, self.runs.len() > 1)
            && self.runs.last().is_some_and(|run| run.last() == next)
            && let Some(open) = self.runs.pop()
        {
            self.next = Some(Index(open.first().0 - 1));
        }
    }
}
