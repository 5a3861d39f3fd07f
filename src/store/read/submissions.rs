//! Reads submissions by id.

use std::ops::Bound;

use actors::model::{SubmissionId, SubmissionRecord};
use actors::ports::SubmissionsPage;
use bytes::Bytes;

use crate::store::engine::read_snapshot::ReadSnapshot;
use crate::store::read::peers::outbox_from;
use crate::store::read::{Read, dead_letters};
use crate::store::schema::codec::BadRow;
use crate::store::schema::{codec, tables};
use crate::store::shared::StoreShared;

/// Maximum number of submissions on one page of the retention job, and of rows examined for it.
const FORGET_MAX: usize = 1_000;
const FORGET_WALK_MAX: usize = 10_000;

pub(super) fn submission(
    shared: &StoreShared,
    read: &ReadSnapshot,
    id: &SubmissionId,
) -> Read<Option<SubmissionRecord>> {
    let row = read.open_table(tables::SUBMISSIONS)?.get(id.as_str())?;
    shared.counters.looked_up(u64::from(row.is_some()));
    Ok(row.map(|row| codec::submission_from_row(row.value())).transpose()?)
}

/// Returns the updates of a submission. They are read from the outbox of any server that still has all rows; those that
/// it refused are among its dead letters. A submission that became a PDU is not read here.
pub(super) fn submitted_updates(
    shared: &StoreShared,
    read: &ReadSnapshot,
    id: &SubmissionId,
) -> Read<Option<Vec<Bytes>>> {
    let Some(record) = submission(shared, read, id)? else { return Ok(None) };
    if record.pdu.is_some() {
        return Ok(None);
    }
    for (server, first) in &record.queued {
        let places = first.0..first.0 + u64::from(record.items);
        let queued = outbox_from(shared, read, server, first.0, record.items as usize, u64::MAX)?;
        let mut found = dead_letters::bodies(shared, read, server, &places)?;
        found.extend(queued.into_iter().map(|row| (row.index.0, row.item.bytes().clone())));
        found.retain(|index, _| places.contains(index));
        if found.len() == record.items as usize {
            return Ok(Some(found.into_values().collect()));
        }
    }
    Ok(None)
}

pub(super) fn submissions_before(
    shared: &StoreShared,
    read: &ReadSnapshot,
    before: u64,
    after: Option<&SubmissionId>,
) -> Read<SubmissionsPage> {
    let from = after.map_or(Bound::Unbounded, |id| Bound::Excluded(id.as_str()));
    let table = read.open_table(tables::SUBMISSIONS)?;
    let mut old = Vec::new();
    for (walked, row) in (1..).zip(table.range::<&str>((from, Bound::Unbounded))?) {
        let (key, row) = row?;
        shared.counters.looked_up(1);
        let is_old = row.value().accepted < before;
        let full = old.len() + usize::from(is_old) >= FORGET_MAX || walked >= FORGET_WALK_MAX;
        if !is_old && !full {
            continue;
        }
        let id: SubmissionId = key.value().parse().map_err(|error| BadRow::new("submissions", &error))?;
        if is_old {
            old.push(id.clone());
        }
        if full {
            return Ok(SubmissionsPage { old, next: Some(id) });
        }
    }
    Ok(SubmissionsPage { old, next: None })
}
