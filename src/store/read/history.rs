//! Reads of history: walks backwards through a context.

pub(super) mod marks;

use std::collections::HashSet;

use actors::model::{ContextId, FeedFlags, FeedPdu, PduRef, ServerName};
use actors::ports::ServedPdu;

use crate::store::engine::read_snapshot::ReadSnapshot;
use crate::store::read::Read;
use crate::store::schema::codec::BadRow;
use crate::store::schema::{codec, tables};
use crate::store::shared::StoreShared;

/// Returns PDUs level by level. A PDU that is missing, pruned, undelivered, of another context, or not addressed to `asker`
/// is neither returned nor walked past. Each PDU names a bounded number of parents, so the limit bounds the walk too.
pub(super) fn backfill(
    shared: &StoreShared,
    read: &ReadSnapshot,
    context: &ContextId,
    asker: &ServerName,
    from: Vec<PduRef>,
    limit: usize,
    bytes_max: u64,
) -> Read<Vec<ServedPdu>> {
    let pdus = read.open_table(tables::PDUS)?;
    let mut seen: HashSet<PduRef> = HashSet::new();
    let (mut found, mut size): (Vec<ServedPdu>, u64) = (Vec::new(), 0);
    let mut level = from;
    while !level.is_empty() {
        let mut next = Vec::new();
        for reference in level {
            if found.len() == limit {
                return Ok(found);
            }
            if !seen.insert(reference.clone()) {
                continue;
            }
            let row = pdus.get((reference.origin.as_str(), reference.id.as_str()))?;
            shared.counters.looked_up(u64::from(row.is_some()));
            let Some(row) = row else { continue };
            let Some(pdu) = codec::served(row.value())? else { continue };
            if pdu.context != *context || !pdu.is_for(asker) {
                continue;
            }
            size += pdu.bytes.len() as u64;
            if size > bytes_max && !found.is_empty() {
                return Ok(found);
            }
            next.extend(codec::parents(row.value())?);
            found.push(pdu);
        }
        level = next;
    }
    Ok(found)
}

/// Returns delivered PDUs backwards from a position. A parent that is missing, pruned or held counts as a gap.
pub(super) fn timeline(
    shared: &StoreShared,
    read: &ReadSnapshot,
    context: &ContextId,
    before: Option<i64>,
    limit: usize,
    bytes_max: u64,
) -> Read<Vec<(i64, FeedPdu)>> {
    let pdus = read.open_table(tables::PDUS)?;
    let (of, end) = (context.as_str(), before.unwrap_or(i64::MAX));
    let (mut page, mut size) = (Vec::new(), 0);
    for row in read.open_table(tables::TIMELINE)?.range((of, i64::MIN)..(of, end))?.rev().take(limit) {
        let (place, named) = row?;
        let ((_, position), (origin, id)) = (place.value(), named.value());
        let reference = codec::reference("timeline", origin, id)?;
        let missing = || BadRow::new("timeline", &format!("{origin}/{id} is missing"));
        let stored = pdus.get((origin, id))?.ok_or_else(missing)?;
        shared.counters.looked_up(2);
        let mut gap = Vec::new();
        for parent in codec::parents(stored.value())? {
            let found = pdus.get((parent.origin.as_str(), parent.id.as_str()))?;
            shared.counters.looked_up(u64::from(found.is_some()));
            if !found.is_some_and(|row| row.value().delivered && !codec::is_forgotten(row.value())) {
                gap.push(parent);
            }
        }
        let shown = FeedFlags { gap, history: position <= 0, ..FeedFlags::default() };
        let fed = codec::fed(reference, shown, stored.value())?;
        size += fed.bytes.len() as u64;
        if size > bytes_max && !page.is_empty() {
            break;
        }
        page.push((position, fed));
    }
    Ok(page)
}
