//! Loads the snapshot of a context, and reads PDUs by their identity.

use std::collections::HashMap;
use std::ops::Bound;

use actors::model::{ContextId, ContextRecord, Gap, Head, HeldPdu, PduId, PduRef, ServerName};
use actors::ports::{ContextSnapshot, PduStatus, ServedPdu};

use crate::store::engine::read_snapshot::{MergedTable, ReadSnapshot};
use crate::store::read::{Read, stage, state};
use crate::store::schema::codec::BadRow;
use crate::store::schema::codec::columns::{GapValue, PduValue};
use crate::store::schema::tables::{RefValue, after};
use crate::store::schema::{codec, tables};
use crate::store::shared::StoreShared;

pub(super) fn context(shared: &StoreShared, read: &ReadSnapshot, context: &ContextId) -> Read<Option<ContextSnapshot>> {
    let Some(mut record) = context_record(shared, read, context)? else { return Ok(None) };
    record.heads.extend(heads(shared, read, context.as_str())?);
    record.heads.sort_by(|one, other| (one.depth, &one.reference).cmp(&(other.depth, &other.reference)));
    let held = held(shared, read, context)?;
    let gaps = gaps(shared, read, context.as_str())?;
    let links = state::links(shared, read, context.as_str())?;
    let unfinished = read.open_table(tables::CONTEXT_WORK)?.get(context.as_str())?.is_some();
    shared.counters.looked_up(u64::from(unfinished));
    Ok(Some(ContextSnapshot { record, held, gaps, links, unfinished }))
}

fn held(shared: &StoreShared, read: &ReadSnapshot, context: &ContextId) -> Read<Vec<HeldPdu>> {
    let (from, to) = (context.as_str(), after(context.as_str()));
    let pdus = read.open_table(tables::PDUS)?;
    let mut held = Vec::new();
    for row in read.open_table(tables::HELD)?.range((from, "", "")..(to.as_str(), "", ""))? {
        let (key, hold) = row?;
        let ((_, origin, id), hold) = (key.value(), hold.value());
        let reference = codec::reference("held", origin, id)?;
        let pdu = pdus.get((origin, id))?.ok_or_else(|| BadRow::new("held", &format!("{reference} is missing")))?;
        shared.counters.looked_up(2);
        let order = (hold.epoch, hold.arrival);
        let mut waiting = codec::held(reference, context.as_str(), hold, pdu.value())?;
        if waiting.hold.for_state {
            for PduRef { origin, id } in &waiting.prev {
                let parent = pdus.get((origin.as_str(), id.as_str()))?;
                waiting.on_news |= parent.is_some_and(|row| codec::is_news(row.value()));
            }
        }
        held.push((order, waiting));
    }
    held.sort_by_key(|(order, _)| *order);
    Ok(held.into_iter().map(|(_, pdu)| pdu).collect())
}

/// Returns the heads that have rows of their own. The row has the computed depth; the depth that the origin states is in
/// the PDU's text.
fn heads(shared: &StoreShared, read: &ReadSnapshot, context: &str) -> Read<Vec<Head>> {
    let to = after(context);
    let pdus = read.open_table(tables::PDUS)?;
    let mut heads = Vec::new();
    for row in read.open_table(tables::HEADS)?.range((context, "", "")..(to.as_str(), "", ""))? {
        let (key, depth) = row?;
        let (_, origin, id) = key.value();
        let stated = pdus.get((origin, id))?.and_then(|row| codec::stated_depth(row.value().bytes));
        heads.push(Head::of(codec::reference("heads", origin, id)?, depth.value(), stated));
    }
    shared.counters.looked_up(2 * heads.len() as u64);
    Ok(heads)
}

fn gaps(shared: &StoreShared, read: &ReadSnapshot, context: &str) -> Read<Vec<Gap>> {
    let to = after(context);
    let mut gaps = Vec::new();
    for row in read.open_table(tables::GAPS)?.range((context, "", "")..(to.as_str(), "", ""))? {
        let (key, gap) = row?;
        let ((_, origin, id), GapValue { edge, children }) = (key.value(), gap.value());
        let children = codec::refs_from_row("gaps", children)?;
        gaps.push(Gap { missing: codec::reference("gaps", origin, id)?, children, edge });
    }
    shared.counters.looked_up(gaps.len() as u64);
    Ok(gaps)
}

/// Returns the contexts with unfinished work. It jumps from context to context with one lookup each, however many PDUs
/// they hold.
pub(super) fn contexts_holding(shared: &StoreShared, read: &ReadSnapshot) -> Read<Vec<ContextId>> {
    let held = read.open_table(tables::HELD)?;
    let mut contexts = Vec::new();
    let mut from = String::new();
    loop {
        let rest = (Bound::Included((from.as_str(), "", "")), Bound::Unbounded);
        let Some((key, _)) = held.range::<(&str, &str, &str)>(rest)?.next().transpose()? else { break };
        shared.counters.looked_up(1);
        let (context, ..) = key.value();
        from = after(context);
        contexts.extend(codec::readable_context("held", context));
    }
    contexts.extend(state::contexts_seeking(shared, read)?);
    contexts.extend(stage::contexts(shared, read)?);
    for row in read.open_table(tables::CONTEXT_WORK)?.iter()? {
        let (context, _) = row?;
        shared.counters.looked_up(1);
        contexts.extend(codec::readable_context("context_work", context.value()));
    }
    contexts.sort();
    contexts.dedup();
    Ok(contexts)
}

/// Returns the status of PDUs and claims the unknown ones among `arriving`. Claims are made at the end, so a PDU that
/// names another PDU of the same batch gets no status for it; the caller knows its own batch.
pub(super) fn look_up(
    shared: &StoreShared,
    context: &ContextId,
    arriving: &[PduRef],
    parents: &[PduRef],
) -> Read<HashMap<PduRef, PduStatus>> {
    // The lock is taken before the transaction begins: a commit is visible before its claims are removed, so no PDU is
    // missed in between.
    let mut claims = shared.claims.lock();
    let read = shared.engine.snapshot();
    let pdus = read.open_table(tables::PDUS)?;
    let mut found = HashMap::new();
    let mut sought = Vec::with_capacity(parents.len());
    for reference in arriving {
        if !claims.rises(reference, || greatest_id(shared, &pdus, &reference.origin))? {
            sought.push(reference);
        }
    }
    for reference in sought.into_iter().chain(parents) {
        if found.contains_key(reference) {
            continue;
        }
        let known = match claims.get(reference) {
            Some(known) => Some(known.clone()),
            None => {
                let row = pdus.get((reference.origin.as_str(), reference.id.as_str()))?;
                shared.counters.looked_up(u64::from(row.is_some()));
                row.map(|row| codec::known(row.value())).transpose()?
            }
        };
        if let Some(known) = known {
            found.insert(reference.clone(), known);
        }
    }
    for reference in arriving.iter().filter(|reference| !found.contains_key(*reference)) {
        claims.claim(context, reference);
    }
    Ok(found)
}

/// Returns the greatest id among the PDUs of an origin.
fn greatest_id(
    shared: &StoreShared,
    pdus: &MergedTable<'_, RefValue, PduValue<'static>>,
    origin: &ServerName,
) -> Read<Option<PduId>> {
    let end = after(origin.as_str());
    let last = pdus.range((origin.as_str(), "")..(end.as_str(), ""))?.newest()?;
    // Only the key is read.
    shared.counters.looked_up(0);
    let id = last.map(|(key, _)| codec::reference("pdus", origin.as_str(), key.value().1)).transpose()?;
    Ok(id.map(|reference| reference.id))
}

pub(super) fn pdu(shared: &StoreShared, read: &ReadSnapshot, reference: &PduRef) -> Read<Option<ServedPdu>> {
    let row = read.open_table(tables::PDUS)?.get((reference.origin.as_str(), reference.id.as_str()))?;
    shared.counters.looked_up(u64::from(row.is_some()));
    Ok(row.map(|row| codec::served(row.value())).transpose()?.flatten())
}

pub(super) fn context_record(
    shared: &StoreShared,
    read: &ReadSnapshot,
    context: &ContextId,
) -> Read<Option<ContextRecord>> {
    let row = read.open_table(tables::CONTEXTS)?.get(context.as_str())?;
    shared.counters.looked_up(u64::from(row.is_some()));
    Ok(row.map(|row| shared.records.decode(context, row.value())).transpose()?)
}

pub(super) fn has_context(shared: &StoreShared, read: &ReadSnapshot, context: &ContextId) -> Read<bool> {
    let is_there = read.open_table(tables::CONTEXTS)?.get(context.as_str())?.is_some();
    shared.counters.looked_up(u64::from(is_there));
    Ok(is_there)
}
