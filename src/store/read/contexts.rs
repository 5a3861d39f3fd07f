//! Lists contexts for an operator, with counts.

use std::ops::Bound;

use actors::model::{ContextId, Millis};
use actors::ports::{ContextSummary, InspectPage};
use redb::Value;

use crate::store::engine::read_snapshot::{MergedTable, ReadSnapshot};
use crate::store::read::{Read, WALK_MAX};
use crate::store::schema::tables::{ContextPduKey, after};
use crate::store::schema::{codec, tables};
use crate::store::shared::StoreShared;

/// Returns a page of contexts. It ends at the limit, or when too many rows were counted.
pub(super) fn page(
    shared: &StoreShared,
    read: &ReadSnapshot,
    from: Option<&ContextId>,
    limit: usize,
) -> Read<InspectPage<ContextSummary, ContextId>> {
    let (heads, held, gaps) =
        (read.open_table(tables::HEADS)?, read.open_table(tables::HELD)?, read.open_table(tables::GAPS)?);
    let (timeline, pdus) = (read.open_table(tables::TIMELINE)?, read.open_table(tables::PDUS)?);
    let from = from.map_or(Bound::Unbounded, |context| Bound::Excluded(context.as_str()));
    let now = shared.clock.now().0;
    let (mut page, mut walked, mut next) = (Vec::new(), 0, None);
    for row in read.open_table(tables::CONTEXTS)?.range::<&str>((from, Bound::Unbounded))? {
        let (name, row) = row?;
        if page.len() >= limit.max(1) || walked >= WALK_MAX {
            next = page.last().map(|row: &ContextSummary| row.record.context.clone());
            break;
        }
        let context = codec::context_id("contexts", name.value())?;
        let name = context.as_str();
        let record = codec::context_from_row(context.clone(), row.value())?;
        let further = count(&heads, name, &mut walked, |_| true)?;
        let (held, gaps) =
            (count(&held, name, &mut walked, |_| true)?, count(&gaps, name, &mut walked, |gap| !gap.edge)?);
        let last = match timeline.range((name, i64::MIN)..=(name, i64::MAX))?.newest()? {
            // Delivery times may be slightly ahead of the clock.
            Some((_, reference)) => pdus.get(reference.value())?.map(|pdu| Millis(pdu.value().since.min(now))),
            None => None,
        };
        walked += 3;
        let heads = record.heads.len() as u64 + further;
        page.push(ContextSummary { record, heads, held, gaps, last });
    }
    shared.counters.looked_up(walked as u64);
    Ok(InspectPage { rows: page, next })
}

/// Counts the rows of a context for which `is_meant` holds.
fn count<V: Value + 'static>(
    table: &MergedTable<'_, ContextPduKey, V>,
    context: &str,
    walked: &mut usize,
    is_meant: impl Fn(V::SelfType<'_>) -> bool,
) -> Read<u64> {
    let (to, mut count) = (after(context), 0);
    for row in table.range((context, "", "")..(to.as_str(), "", ""))? {
        let (_, value) = row?;
        *walked += 1;
        count += u64::from(is_meant(value.value()));
    }
    Ok(count)
}
