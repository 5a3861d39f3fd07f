//! Reads of the events that the messenger refused, and of those that are pushed again.

use std::ops::Bound;

use actors::model::{Millis, Position, RefusedEvent, ReleasedEvent};
use actors::ports::{InspectPage, RefusedRow};
use bytes::Bytes;

use crate::store::engine::read_snapshot::ReadSnapshot;
use crate::store::read::Read;
use crate::store::schema::codec::columns::{RefusedEventValue, ReleasedEventValue};
use crate::store::schema::tables;
use crate::store::shared::StoreShared;

/// Returns a page of refused events.
pub(in crate::store::read) fn refused_events(
    shared: &StoreShared,
    read: &ReadSnapshot,
    after: u64,
    limit: usize,
    bytes_max: u64,
) -> Read<InspectPage<RefusedRow, Position>> {
    let (mut rows, mut size, mut next) = (Vec::new(), 0, None);
    let table = read.open_table(tables::REFUSED_EVENTS)?;
    for row in table.range((Bound::Excluded(after), Bound::Unbounded))? {
        let (position, value) = row?;
        let RefusedEventValue { time, reason, bytes } = value.value();
        size += bytes.len() as u64;
        if rows.len() >= limit || size > bytes_max && !rows.is_empty() {
            next = rows.last().map(|row: &RefusedRow| row.event.position);
            break;
        }
        let position = Position(position.value());
        let event = RefusedEvent { position, reason: reason.to_owned(), bytes: Bytes::copy_from_slice(bytes) };
        rows.push(RefusedRow { event, time: Millis(time) });
    }
    shared.counters.looked_up(rows.len() as u64);
    Ok(InspectPage { rows, next })
}

/// Returns the positions of the refused events in a range, each with the reason.
pub(in crate::store::read) fn refused_between(
    shared: &StoreShared,
    read: &ReadSnapshot,
    after: u64,
    upto: u64,
) -> Read<Vec<(Position, String)>> {
    let mut refused = Vec::new();
    for row in read.open_table(tables::REFUSED_EVENTS)?.range((Bound::Excluded(after), Bound::Included(upto)))? {
        let (position, value) = row?;
        refused.push((Position(position.value()), value.value().reason.to_owned()));
    }
    shared.counters.looked_up(refused.len() as u64 + 1);
    Ok(refused)
}

/// Returns the oldest released events.
pub(in crate::store::read) fn released_events(
    shared: &StoreShared,
    read: &ReadSnapshot,
    limit: usize,
    bytes_max: u64,
) -> Read<Vec<ReleasedEvent>> {
    let (mut events, mut size) = (Vec::new(), 0);
    for row in read.open_table(tables::RELEASED_EVENTS)?.iter()?.take(limit) {
        let (number, value) = row?;
        let ReleasedEventValue { position, after, bytes } = value.value();
        size += bytes.len() as u64;
        if size > bytes_max && !events.is_empty() {
            break;
        }
        events.push(ReleasedEvent {
            number: number.value(),
            position: Position(position),
            after: Position(after),
            bytes: Bytes::copy_from_slice(bytes),
        });
    }
    shared.counters.looked_up(events.len() as u64);
    Ok(events)
}
