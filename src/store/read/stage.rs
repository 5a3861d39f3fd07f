//! Reads the staged PDUs of a context that was too busy to process them.

use std::ops::Bound;

use actors::model::{ContextId, PduRef, ServerName, StagedPdu};
use bytes::Bytes;

use crate::store::engine::read_snapshot::ReadSnapshot;
use crate::store::read::Read;
use crate::store::schema::codec::columns::StageValue;
use crate::store::schema::tables::after;
use crate::store::schema::{codec, tables};
use crate::store::shared::StoreShared;

/// Returns the number of staged PDUs of a server, and which of the given ones are staged.
pub(super) fn of_server(
    shared: &StoreShared,
    read: &ReadSnapshot,
    context: &ContextId,
    from: &ServerName,
    references: Vec<PduRef>,
) -> Read<(u64, Vec<PduRef>)> {
    let (context, from) = (context.as_str(), from.as_str());
    let ids = read.open_table(tables::STAGE_IDS)?;
    let (to, mut count) = (after(from), 0);
    for row in ids.range((context, from, "", "")..(context, to.as_str(), "", ""))? {
        row?;
        count += 1;
    }
    let mut there = Vec::new();
    for reference in references {
        if ids.get((context, from, reference.origin.as_str(), reference.id.as_str()))?.is_some() {
            there.push(reference);
        }
    }
    shared.counters.looked_up(count);
    Ok((count, there))
}

/// Servers after `last` come first, so that a server whose stage never empties does not starve the others.
pub(super) fn page(
    shared: &StoreShared,
    read: &ReadSnapshot,
    context: &ContextId,
    last: Option<&ServerName>,
    limit: usize,
    bytes_max: u64,
) -> Read<Vec<StagedPdu>> {
    let (context, behind) = (context.as_str(), after(context.as_str()));
    let start = last.map_or_else(String::new, |last| after(last.as_str()));
    let stage = read.open_table(tables::STAGE)?;
    let later = stage.range((context, start.as_str(), 0)..(behind.as_str(), "", 0))?;
    let earlier = stage.range((context, "", 0)..(context, start.as_str(), 0))?;
    let (mut page, mut bytes_left) = (Vec::new(), bytes_max);
    for row in later.chain(earlier).take(limit) {
        let (key, row) = row?;
        let (_, server, number) = key.value();
        let StageValue { origin, id, verified, bytes, .. } = row.value();
        let size = bytes.len() as u64;
        if size > bytes_left && !page.is_empty() {
            break;
        }
        bytes_left = bytes_left.saturating_sub(size);
        page.push(StagedPdu {
            number,
            reference: codec::reference("stage", origin, id)?,
            from: codec::name("stage", server)?,
            verified: codec::interned(verified),
            bytes: Bytes::copy_from_slice(bytes),
        });
    }
    shared.counters.looked_up(page.len() as u64);
    Ok(page)
}

/// Returns the contexts with staged PDUs. It jumps from context to context with one lookup each, however many PDUs are
/// staged.
pub(super) fn contexts(shared: &StoreShared, read: &ReadSnapshot) -> Read<Vec<ContextId>> {
    let stage = read.open_table(tables::STAGE)?;
    let mut contexts: Vec<ContextId> = Vec::new();
    let mut from = String::new();
    loop {
        let rest = (Bound::Included((from.as_str(), "", 0)), Bound::Unbounded);
        let Some((key, _)) = stage.range::<(&str, &str, u64)>(rest)?.next().transpose()? else { return Ok(contexts) };
        shared.counters.looked_up(1);
        let (context, ..) = key.value();
        from = after(context);
        contexts.extend(codec::readable_context("stage", context));
    }
}
