//! Reads dead letters.

use std::collections::BTreeMap;
use std::ops::Range;

use actors::model::{DeadLetter, Index, ServerName};
use bytes::Bytes;

use crate::store::engine::read_snapshot::ReadSnapshot;
use crate::store::read::Read;
use crate::store::read::peers::ItemBodies;
use crate::store::schema::codec::columns::DeadLetterValue;
use crate::store::schema::{codec, tables};
use crate::store::shared::StoreShared;

pub(super) fn letters(
    shared: &StoreShared,
    read: &ReadSnapshot,
    server: &ServerName,
    first: u64,
    last: u64,
) -> Read<Vec<DeadLetter>> {
    let mut letters = Vec::new();
    if first > last {
        return Ok(letters);
    }
    for row in read.open_table(tables::DEAD_LETTERS)?.range((server.as_str(), first)..=(server.as_str(), last))? {
        let (key, value) = row?;
        let (index, DeadLetterValue { kind, reason, .. }) = (tables::number_of(key.value()), value.value());
        letters.push(DeadLetter { index: Index(index), fate: codec::fate(kind)?, reason: reason.to_owned() });
    }
    shared.counters.looked_up(letters.len() as u64);
    Ok(letters)
}

/// Returns the bytes of the dead letters at `places`, by index.
pub(super) fn bodies(
    shared: &StoreShared,
    read: &ReadSnapshot,
    server: &ServerName,
    places: &Range<u64>,
) -> Read<BTreeMap<u64, Bytes>> {
    let bodies = ItemBodies::open(read)?;
    let mut found = BTreeMap::new();
    let range = (server.as_str(), places.start)..(server.as_str(), places.end);
    for row in read.open_table(tables::DEAD_LETTERS)?.range(range)? {
        let (key, value) = row?;
        let DeadLetterValue { item: number, origin, id, .. } = value.value();
        found.insert(tables::number_of(key.value()), bodies.item(number, origin, id)?.bytes().clone());
        shared.counters.looked_up(2);
    }
    Ok(found)
}
