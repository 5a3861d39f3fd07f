//! Reads for comparisons of histories: what a timeline holds, without the texts.

use actors::model::{ContextId, Millis, PduRef, ServerName};
use actors::ports::TimelineMark;

use crate::store::engine::read_snapshot::ReadSnapshot;
use crate::store::read::Read;
use crate::store::schema::codec::BadRow;
use crate::store::schema::tables::after;
use crate::store::schema::{codec, tables};
use crate::store::shared::StoreShared;

/// A time that does not come, for a context without news.
const NEVER: Millis = Millis(u64::MAX);

/// Returns marks of the PDUs below a position, in descending order. A text is read one at a time, and none is kept.
pub(in crate::store::read) fn timeline_marks(
    shared: &StoreShared,
    read: &ReadSnapshot,
    context: &ContextId,
    asker: &ServerName,
    below: Option<i64>,
    limit: usize,
) -> Read<Vec<TimelineMark>> {
    let pdus = read.open_table(tables::PDUS)?;
    let (of, end) = (context.as_str(), below.unwrap_or(i64::MAX));
    let mut page = Vec::new();
    for row in read.open_table(tables::TIMELINE)?.range((of, i64::MIN)..(of, end))?.rev().take(limit) {
        let (place, named) = row?;
        let ((_, position), (origin, id)) = (place.value(), named.value());
        let missing = || BadRow::new("timeline", &format!("{origin}/{id} is missing"));
        let stored = pdus.get((origin, id))?.ok_or_else(missing)?;
        shared.counters.looked_up(2);
        let row = stored.value();
        page.push(TimelineMark {
            position,
            reference: codec::reference("timeline", origin, id)?,
            stated: codec::stated_time(row.bytes),
            since: Millis(row.since),
            is_shared: codec::narrowed_to(row.bytes).is_none_or(|to| to.contains(asker)),
        });
    }
    Ok(page)
}

/// Returns the identities of the PDUs at these positions.
pub(in crate::store::read) fn timeline_refs(
    shared: &StoreShared,
    read: &ReadSnapshot,
    context: &ContextId,
    positions: &[i64],
) -> Read<Vec<PduRef>> {
    let timeline = read.open_table(tables::TIMELINE)?;
    let mut found = Vec::with_capacity(positions.len());
    for position in positions {
        if let Some(row) = timeline.get((context.as_str(), *position))? {
            let (origin, id) = row.value();
            found.push(codec::reference("timeline", origin, id)?);
        }
    }
    shared.counters.looked_up(found.len() as u64);
    Ok(found)
}

/// Returns the time of the first news of a context whose history has an edge; one that never comes, if it has no news.
pub(in crate::store::read) fn news_begin(
    shared: &StoreShared,
    read: &ReadSnapshot,
    context: &ContextId,
) -> Read<Option<Millis>> {
    let (from, to) = (context.as_str(), after(context.as_str()));
    let mut has_edge = false;
    for row in read.open_table(tables::GAPS)?.range((from, "", "")..(to.as_str(), "", ""))? {
        let (_, gap) = row?;
        shared.counters.looked_up(1);
        if gap.value().edge {
            has_edge = true;
            break;
        }
    }
    if !has_edge {
        return Ok(None);
    }
    let Some(row) = read.open_table(tables::TIMELINE)?.range((from, 1)..(from, i64::MAX))?.next() else {
        return Ok(Some(NEVER));
    };
    let (_, named) = row?;
    let stored = read.open_table(tables::PDUS)?.get(named.value())?;
    shared.counters.looked_up(2);
    Ok(stored.map(|row| Millis(row.value().since)))
}
