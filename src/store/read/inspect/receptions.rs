//! Reads how an item came in, and searches its event in the feed.

use std::ops::Bound;

use actors::model::{Millis, PduRef, Position};
use actors::ports::{InspectPage, PduReception, SearchedEvent};

use crate::store::engine::read_snapshot::ReadSnapshot;
use crate::store::read::{Read, WALK_MAX};
use crate::store::schema::codec::columns::PduValue;
use crate::store::schema::{codec, tables};
use crate::store::shared::StoreShared;

/// Returns how a PDU came in.
pub(super) fn reception(shared: &StoreShared, read: &ReadSnapshot, reference: &PduRef) -> Read<Option<PduReception>> {
    let (origin, id) = (reference.origin.as_str(), reference.id.as_str());
    let Some(row) = read.open_table(tables::PDUS)?.get((origin, id))? else { return Ok(None) };
    shared.counters.looked_up(1);
    let PduValue { context, delivered, sender, verified, since, .. } = row.value();
    let waits_for = match delivered {
        true => None,
        false => {
            let held = read.open_table(tables::HELD)?.get((context, origin, id))?;
            Some(held.map(|held| codec::refs_from_row("held", held.value().missing)).transpose()?.unwrap_or_default())
        }
    };
    Ok(Some(PduReception {
        context: codec::context_id("pdus", context)?,
        sender: codec::name("pdus", sender)?,
        verified: verified.to_owned(),
        since: Millis(since),
        waits_for,
    }))
}

/// Searches one page of the feed for an event.
pub(super) fn find_event(
    shared: &StoreShared,
    read: &ReadSnapshot,
    event: &SearchedEvent,
    after: Position,
) -> Read<InspectPage<Position, Position>> {
    let feed = read.open_table(tables::FEED)?;
    for (walked, row) in (1..).zip(feed.range((Bound::Excluded(after.0), Bound::Unbounded))?) {
        let (position, value) = row?;
        let position = Position(position.value());
        if codec::is_event(&value.value(), event) {
            shared.counters.looked_up(walked as u64);
            return Ok(InspectPage { rows: vec![position], next: None });
        }
        if walked >= WALK_MAX {
            shared.counters.looked_up(walked as u64);
            return Ok(InspectPage { rows: vec![], next: Some(position) });
        }
    }
    Ok(InspectPage { rows: vec![], next: None })
}
