//! Forwarded updates that wait, and forwards that were taken or passed on before.

use actors::model::{Digest, Seq, ServerName, StoredForward};
use bytes::Bytes;

use crate::store::engine::read_snapshot::ReadSnapshot;
use crate::store::read::Read;
use crate::store::schema::codec::columns::HeldForwardValue;
use crate::store::schema::tables;
use crate::store::shared::StoreShared;

/// Maximum number of updates that are loaded; `relay.held_max` is below it.
const HELD_MAX: usize = 100_000;

/// Returns the forwarded updates of a server that wait, in the order of their numbers.
pub(super) fn held(shared: &StoreShared, read: &ReadSnapshot, server: &str) -> Read<Vec<StoredForward>> {
    let mut held = Vec::new();
    for row in read.open_table(tables::HELD_FORWARDS)?.range(tables::all_of(server))?.take(HELD_MAX) {
        let (key, row) = row?;
        let HeldForwardValue { digest, is_pdu, bytes } = row.value();
        let (number, bytes) = (Seq(tables::number_of(key.value())), Bytes::copy_from_slice(bytes));
        held.push(StoredForward { number, digest: Digest(*digest), is_pdu, bytes });
    }
    shared.counters.looked_up(held.len() as u64);
    Ok(held)
}

/// Returns for each forward, by its origin and id, whether it is remembered.
pub(in crate::store::read) fn are_known(
    shared: &StoreShared,
    read: &ReadSnapshot,
    forwards: &[(ServerName, Box<str>)],
) -> Read<Vec<bool>> {
    let ids = read.open_table(tables::SEEN_FORWARD_IDS)?;
    shared.counters.looked_up(forwards.len() as u64);
    forwards.iter().map(|(origin, id)| Ok(ids.get((origin.as_str(), &**id))?.is_some())).collect()
}
