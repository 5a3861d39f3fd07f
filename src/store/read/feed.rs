//! Reads pages of the feed.

pub(super) mod refused_events;

use std::ops::Bound;

use actors::model::{FeedEntry, FeedItem, Millis, Position};
use actors::ports::FeedPage;

use crate::store::engine::read_snapshot::ReadSnapshot;
use crate::store::read::Read;
use crate::store::schema::codec::{BadRow, DecodedFeedRow};
use crate::store::schema::{codec, tables};
use crate::store::shared::StoreShared;

/// Maximum number of events that are read on the caller's thread.
const IN_MEMORY_MAX: u64 = 64;

/// Returns whether the events after a position are few and all in memory: events have rising positions, so those after one that no
/// checkpoint holds are in memory too, with nearly all PDUs that they name.
pub(super) fn are_in_memory(shared: &StoreShared, after: u64) -> bool {
    let tail = shared.bounds.borrow().tail.0;
    let count = tail.saturating_sub(after);
    (1..=IN_MEMORY_MAX).contains(&count) && shared.engine.snapshot().is_in_memory(tables::FEED, &(after + 1))
}

/// Returns a page of the feed. Each row that names a PDU costs one lookup, because the PDU's bytes are stored once, in
/// `pdus`.
pub(super) fn feed_after(
    shared: &StoreShared,
    read: &ReadSnapshot,
    after: u64,
    limit: usize,
    bytes_max: u64,
) -> Read<FeedPage> {
    let feed = read.open_table(tables::FEED)?;
    let pdus = read.open_table(tables::PDUS)?;
    // A commit can be read a moment before its bounds are published. Rows beyond the published tail are left out,
    // because a reader would acknowledge them and be told that there is no such event.
    let tail = shared.bounds.borrow().tail.0;
    let mut page = Vec::new();
    let (mut size, mut near) = (0, None);
    for row in feed.range((Bound::Excluded(after), Bound::Unbounded))?.take(limit.max(1)) {
        let (position, value) = row?;
        shared.counters.looked_up(1);
        let position = position.value();
        if position > tail {
            break;
        }
        // A reader inside a span that a restore skipped has missed nothing.
        if page.is_empty() && position > after + 1 && !shared.jumps.join(after, position) {
            return Ok(FeedPage::Gone { oldest: Position(position) });
        }
        let row = value.value();
        let (item, bytes) = match codec::feed_from_row(row, near.as_ref())? {
            DecodedFeedRow::Whole(item) => (item, row.body.len()),
            DecodedFeedRow::Pdu(reference, shown) => {
                let key = (reference.origin.as_str(), reference.id.as_str());
                let stored = pdus.get(key)?.ok_or_else(|| BadRow::new("feed", &format!("{reference} is missing")))?;
                shared.counters.looked_up(1);
                let pdu = codec::fed(reference, shown, stored.value())?;
                let bytes = pdu.bytes.len();
                (FeedItem::Pdu(Box::new(pdu)), bytes)
            }
        };
        size += bytes as u64;
        if page.len() == limit || size > bytes_max && !page.is_empty() {
            break;
        }
        if let FeedItem::Update { from, .. } = &item
            && near.as_ref() != Some(from)
        {
            near = Some(from.clone());
        }
        page.push(FeedEntry { position: Position(position), time: Millis(row.time), item });
    }
    if page.is_empty() && limit > 0 {
        return gone_or_end(shared, read, after);
    }
    Ok(FeedPage::Entries(page))
}

/// Returns the highest transaction id that is reserved for pushes.
pub(super) fn push_ids_reserved(shared: &StoreShared, read: &ReadSnapshot) -> Read<u64> {
    shared.counters.looked_up(1);
    Ok(read.open_table(tables::PUSH_IDS)?.get(tables::MESSENGER)?.map_or(0, |row| row.value()))
}

/// Handles an empty page: either the feed ends here, or all of it was trimmed and the reader is behind its own cursor.
fn gone_or_end(shared: &StoreShared, read: &ReadSnapshot, after: u64) -> Read<FeedPage> {
    let acked = read.open_table(tables::FEED_CURSOR)?.get(tables::MESSENGER)?.map_or(0, |row| row.value());
    shared.counters.looked_up(u64::from(acked > 0));
    if after < acked {
        return Ok(FeedPage::Gone { oldest: Position(acked + 1) });
    }
    Ok(FeedPage::Entries(Vec::new()))
}
