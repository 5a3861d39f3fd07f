//! Reads the quarantined PDUs of non-participants.

use std::collections::BTreeMap;

use actors::model::{ContextId, PduRef, ServerName};
use actors::ports::QuarantinedPduRow;
use bytes::Bytes;

use crate::store::engine::read_snapshot::ReadSnapshot;
use crate::store::pending::uncommitted_state::SubmissionPlace;
use crate::store::read::Read;
use crate::store::schema::codec::columns::{QuarantinePlace, QuarantineValue};
use crate::store::schema::tables::after;
use crate::store::schema::{codec, tables};
use crate::store::shared::StoreShared;

/// Returns whether a PDU from this sender is in quarantine, or is submitted to it and not committed yet.
pub(super) fn is_kept(shared: &StoreShared, context: &ContextId, reference: &PduRef, from: &ServerName) -> Read<bool> {
    let under_way = shared.under_way.lock();
    if under_way.contains_key(&SubmissionPlace::Stranger(context.clone(), reference.clone(), from.clone())) {
        return Ok(true);
    }
    let read = shared.engine.snapshot();
    let place = (context.as_str(), reference.origin.as_str(), reference.id.as_str(), from.as_str());
    let number = read.open_table(tables::QUARANTINE_BY_CONTEXT)?.get(place)?.map(|row| row.value().number);
    shared.counters.looked_up(u64::from(number.is_some()));
    let Some(number) = number else { return Ok(false) };
    Ok(read.open_table(tables::QUARANTINE)?.get((from.as_str(), number))?.is_some())
}

/// Returns a page in the order of arrival. It reads all rows of the context and keeps the first ones; the number of
/// rows is bounded by the quarantine limits.
pub(super) fn page(
    shared: &StoreShared,
    read: &ReadSnapshot,
    context: &ContextId,
    participants: &[ServerName],
    after_place: (u64, u64),
    limit: usize,
) -> Read<Vec<QuarantinedPduRow>> {
    let takes_part = |name: &str| participants.iter().any(|server| server.as_str() == name);
    let (from, to) = (context.as_str(), after(context.as_str()));
    let strangers = read.open_table(tables::QUARANTINE_BY_CONTEXT)?;
    let mut first: BTreeMap<(u64, u64), (PduRef, String, u64)> = BTreeMap::new();
    for row in strangers.range((from, "", "", "")..(to.as_str(), "", "", ""))? {
        let (key, value) = row?;
        let (_, origin, id, server) = key.value();
        let QuarantinePlace { number, epoch, arrival } = value.value();
        let place = (epoch, arrival);
        let is_late = first.len() == limit && first.last_key_value().is_some_and(|(last, _)| *last < place);
        if place <= after_place || is_late || !takes_part(origin) || !takes_part(server) {
            continue;
        }
        first.insert(place, (codec::reference("strangers", origin, id)?, server.to_owned(), number));
        if first.len() > limit {
            first.pop_last();
        }
    }
    shared.counters.looked_up(first.len() as u64);
    let quarantine = read.open_table(tables::QUARANTINE)?;
    let mut page = Vec::with_capacity(first.len());
    for (place, (reference, server, number)) in first {
        // An item that an operator has handled since has no bytes any more; only its index row is left to be removed.
        let row = quarantine.get((server.as_str(), number))?;
        let (bytes, verified) = match row {
            Some(row) => {
                let QuarantineValue { seq, what, bytes, .. } = row.value();
                (Bytes::copy_from_slice(bytes), codec::what_from_row("quarantine", seq, what)?.1)
            }
            None => (Bytes::new(), None),
        };
        let (origin, id) = (reference.origin.as_str(), reference.id.as_str());
        let superseded = server != origin && strangers.get((context.as_str(), origin, id, origin))?.is_some();
        let from = codec::name("strangers", &server)?;
        page.push(QuarantinedPduRow { place, reference, from, number, verified, bytes, superseded });
    }
    Ok(page)
}
