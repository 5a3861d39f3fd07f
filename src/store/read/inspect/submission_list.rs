//! Lists submissions by page, and reads the fates of their items.

use std::ops::Bound;

use actors::model::{ContextId, DeadLetterReason, Index, ServerName, SubmissionId, SubmissionRecord};
use actors::ports::{InspectPage, SubmissionFilter, SubmissionRow};

use crate::store::engine::read_snapshot::ReadSnapshot;
use crate::store::read::{Read, WALK_MAX};
use crate::store::schema::codec::BadRow;
use crate::store::schema::{codec, tables};
use crate::store::shared::StoreShared;

/// Returns the submissions after an id that match.
pub(super) fn submissions(
    shared: &StoreShared,
    read: &ReadSnapshot,
    filter: &SubmissionFilter,
    after: Option<&SubmissionId>,
    limit: usize,
) -> Read<InspectPage<SubmissionRow, SubmissionId>> {
    let pdus = read.open_table(tables::PDUS)?;
    let from = after.map_or(Bound::Unbounded, |id| Bound::Excluded(id.as_str()));
    let mut rows = Vec::new();
    for (walked, row) in (1..).zip(read.open_table(tables::SUBMISSIONS)?.range::<&str>((from, Bound::Unbounded))?) {
        let (key, value) = row?;
        let value = value.value();
        shared.counters.looked_up(1);
        let id: SubmissionId = key.value().parse().map_err(|error| BadRow::new("submissions", &error))?;
        // The columns that need no decoding come first, because most rows match no filter.
        let is_of_time = filter.before.is_none_or(|before| value.accepted < before.0);
        let is_of_pdu =
            filter.pdu.as_ref().is_none_or(|pdu| (pdu.origin.as_str(), pdu.id.as_str()) == (value.origin, value.id));
        if is_of_time && is_of_pdu {
            let context = match value.id.is_empty() {
                true => None,
                false => pdus
                    .get((value.origin, value.id))?
                    .map(|row| codec::context_id("pdus", row.value().context))
                    .transpose()?,
            };
            let record = codec::submission_from_row(value)?;
            if is_selected(filter, &record, context.as_ref()) {
                rows.push(SubmissionRow { id: id.clone(), record, context });
            }
        }
        if rows.len() >= limit.max(1) || walked >= WALK_MAX {
            return Ok(InspectPage { rows, next: Some(id) });
        }
    }
    Ok(InspectPage { rows, next: None })
}

fn is_selected(filter: &SubmissionFilter, record: &SubmissionRecord, context: Option<&ContextId>) -> bool {
    let is_recipient = |server: &ServerName| {
        let queued = record.queued.iter().any(|(name, _)| name == server);
        queued || record.left_out.contains(server) || record.formless.contains(server)
    };
    filter.recipient.as_ref().is_none_or(is_recipient)
        && filter.context.as_ref().is_none_or(|wanted| context == Some(wanted))
}

/// Returns for each range of an outbox the reason of its first dead letter.
pub(super) fn fates(
    shared: &StoreShared,
    read: &ReadSnapshot,
    ranges: &[(ServerName, Index, Index)],
) -> Read<Vec<Option<DeadLetterReason>>> {
    let letters = read.open_table(tables::DEAD_LETTERS)?;
    let mut fates = Vec::with_capacity(ranges.len());
    for (server, first, last) in ranges {
        let range = (server.as_str(), first.0)..=(server.as_str(), last.0);
        let letter = if first > last { None } else { letters.range(range)?.next().transpose()? };
        fates.push(letter.map(|(_, letter)| codec::fate(letter.value().kind)).transpose()?);
    }
    shared.counters.looked_up(ranges.len() as u64);
    Ok(fates)
}
