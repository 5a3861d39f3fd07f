//! Reads state: the current state of a key, all candidates of a key, and the current state of a context.

use std::collections::BTreeMap;
use std::ops::Bound;

use actors::model::{ContextId, MissingPrevState, PduRef, StateEntry, StateKey};
use actors::ports::{CurrentState, StatePage};
use bytes::Bytes;

use crate::store::engine::read_snapshot::ReadSnapshot;
use crate::store::pending::uncommitted_state::{SubmissionPlace, UncommittedChange};
use crate::store::read::Read;
use crate::store::schema::codec::BadRow;
use crate::store::schema::codec::columns::{HolderValue, PduValue};
use crate::store::schema::tables::after;
use crate::store::schema::{codec, tables};
use crate::store::shared::StoreShared;

pub(super) fn holder(shared: &StoreShared, context: &ContextId, key: &StateKey) -> Read<Option<StateEntry>> {
    // The lock is taken before the transaction begins: a commit is visible before its changes are removed from memory,
    // so none is missed in between.
    let under_way = shared.under_way.lock();
    let moves = under_way.get(&SubmissionPlace::Key(context.clone(), key.clone())).map_or(&[][..], Vec::as_slice);
    let newest = moves.iter().rev().find_map(|one| match one {
        UncommittedChange::Holder(holder) => Some(holder.clone()),
        UncommittedChange::Kept(_) | UncommittedChange::Parked => None,
    });
    if let Some(newest) = newest {
        return Ok(newest);
    }
    let read = shared.engine.snapshot();
    let state = read.open_table(tables::STATE)?;
    let row = state.get((context.as_str(), &*key.0, key.1.as_str()))?;
    shared.counters.looked_up(u64::from(row.is_some()));
    Ok(row.map(|row| codec::holder_from_row(row.value())).transpose()?)
}

pub(super) fn set(shared: &StoreShared, context: &ContextId, key: &StateKey) -> Read<Vec<StateEntry>> {
    let under_way = shared.under_way.lock();
    let read = shared.engine.snapshot();
    let table = read.open_table(tables::STATE_PDUS)?;
    let (kind, name) = (&*key.0, key.1.as_str());
    let mut set: BTreeMap<PduRef, StateEntry> = BTreeMap::new();
    let from = (context.as_str(), kind, name, "", "");
    for row in table.range::<(&str, &str, &str, &str, &str)>((Bound::Included(from), Bound::Unbounded))? {
        let (place, piece) = row?;
        let (of, of_kind, of_key, origin, id) = place.value();
        if (of, of_kind, of_key) != (context.as_str(), kind, name) {
            break;
        }
        let reference = codec::reference("state_pdus", origin, id)?;
        set.insert(reference.clone(), codec::piece_from_row(reference, piece.value())?);
    }
    shared.counters.looked_up(set.len() as u64);
    for one in under_way.get(&SubmissionPlace::Key(context.clone(), key.clone())).into_iter().flatten() {
        if let UncommittedChange::Kept(piece) = one {
            set.insert(piece.reference.clone(), piece.clone());
        }
    }
    Ok(set.into_values().collect())
}

pub(super) fn current(
    shared: &StoreShared,
    read: &ReadSnapshot,
    context: &ContextId,
    after: Option<&StateKey>,
    limit: usize,
    bytes_max: u64,
) -> Read<StatePage> {
    let pdus = read.open_table(tables::PDUS)?;
    let from = match after {
        Some((kind, key)) => Bound::Excluded((context.as_str(), &**kind, key.as_str())),
        None => Bound::Included((context.as_str(), "", "")),
    };
    let (mut page, mut size) = (vec![], 0);
    for row in read.open_table(tables::STATE)?.range::<(&str, &str, &str)>((from, Bound::Unbounded))? {
        let (place, holder) = row?;
        let (of, kind, key) = place.value();
        if of != context.as_str() {
            break;
        }
        if page.len() == limit {
            return Ok(StatePage { state: page, more: true });
        }
        let HolderValue { origin, id, .. } = holder.value();
        let reference = codec::reference("state", origin, id)?;
        let stored = pdus.get((origin, id))?.ok_or_else(|| BadRow::new("state", &format!("{reference} is missing")))?;
        shared.counters.looked_up(2);
        let PduValue { depth, sender, verified, bytes, .. } = stored.value();
        size += bytes.len() as u64;
        if size > bytes_max && !page.is_empty() {
            return Ok(StatePage { state: page, more: true });
        }
        page.push(CurrentState {
            key: (kind.into(), key.to_owned()),
            reference,
            depth: codec::unmarked(depth),
            sender: (!sender.is_empty()).then(|| codec::name("pdus", sender)).transpose()?,
            verified: verified.to_owned(),
            bytes: Bytes::copy_from_slice(bytes),
        });
    }
    Ok(StatePage { state: page, more: false })
}

pub(super) fn links(shared: &StoreShared, read: &ReadSnapshot, context: &str) -> Read<Vec<MissingPrevState>> {
    let to = after(context);
    let mut links = Vec::new();
    for row in read.open_table(tables::STATE_LINKS)?.range((context, 0, "", "")..(to.as_str(), 0, "", ""))? {
        let (place, keys) = row?;
        let (_, given_up, origin, id) = place.value();
        let missing = codec::reference("state_links", origin, id)?;
        links.push(MissingPrevState { missing, keys: codec::keys_from_row(keys.value())?, given_up: given_up != 0 });
    }
    shared.counters.looked_up(links.len() as u64);
    Ok(links)
}

/// Returns the contexts with unresolved `prev_state` links. It jumps from context to context: links that were given up
/// sort last, so the first row of a context shows whether any other is left.
pub(super) fn contexts_seeking(shared: &StoreShared, read: &ReadSnapshot) -> Read<Vec<ContextId>> {
    let links = read.open_table(tables::STATE_LINKS)?;
    let mut contexts = Vec::new();
    let mut from = String::new();
    loop {
        let rest = (Bound::Included((from.as_str(), 0, "", "")), Bound::Unbounded);
        let first = links.range::<(&str, u8, &str, &str)>(rest)?.next().transpose()?;
        let Some((place, _)) = first else { return Ok(contexts) };
        shared.counters.looked_up(1);
        let (context, given_up, ..) = place.value();
        from = after(context);
        if given_up == 0 {
            contexts.extend(codec::readable_context("state_links", context));
        }
    }
}
