//! Adopts a backup: the changes of its first opening, so that the store works with peers that remember more than it does.
//!
//! Data that the lost store wrote after the backup is unknown here and known to others, so no number may be reused for
//! something else:
//! - **Ids of peers' updates in the feed** (`<from>#<n>`): `n` continues from the clock, in microseconds, which a counter
//!   that rises by one per update never reaches. A fixed leap alone would assign the same ids again at a second restore
//!   from the same backup. The clock alone would too if it was set back between two restores, so a store that was restored
//!   before also leaps. An update that a peer resends gets a new id, so the messenger may see it twice; under an old id it
//!   would miss another update.
//! - **Sequence numbers of updates that we send**: peers hold other updates under these numbers and report the conflict;
//!   then both sides renumber. A push never holds rows from both sides of the restore: those from before it are known to
//!   the peer under these numbers, and it does not accept them twice.
//! - **Transactions that peers sent** to the lost store are pulled from each peer once, after the newest transaction in the
//!   backup: a peer without a new transaction would never show what is missing. For updates, the next sequence number shows
//!   it.
//! - **Ids of transactions** follow the clock; ids of PDUs are random.
//! - **PDUs of our own** that only the lost store held are refused when peers send them back, because nothing proves yet
//!   that we composed them. A PDU that names one as a parent is delivered with a gap.
//! - **Feed positions** continue after a skipped span (see [`crate::store::position_jumps`]), and the notice is the first
//!   event there. A reader that has positions from the lost store is inside the span and continues after it without a loss.

use std::ops::Bound;

use actors::model::{FeedItem, HeldReceiptRecord, Index, Millis, NumberSegment, OutboundRecord, PeerRecord};
use actors::ports::Clock;
use redb::{ReadableTable, Value, WriteTransaction};

use crate::store::engine::file::opening_table::OpeningTable;
use crate::store::schema::codec;
use crate::store::schema::codec::columns::OutboxValue;
use crate::store::schema::tables;
use crate::store::write::cache::WriterCache;

/// Key in a backup: the time at which it was taken.
const TAKEN: &str = "taken";
/// Key in a store that was ever restored: the lowest start value of the counters of updates.
const COUNTED_FROM: &str = "counted_from";

/// Minimum leap of ids in a store that was restored before, per restore into its folder: more than a restored store assigns
/// in years.
const IDS_LEAP: u64 = 1 << 32;

/// Marks a copy as a backup.
pub(crate) fn mark(copy: &WriteTransaction, taken: Millis) -> Result<(), redb::Error> {
    copy.open_table(tables::META)?.insert(TAKEN, taken.0.to_string().as_str())?;
    Ok(())
}

/// Returns the time at which this backup was taken; `None` if it is a store.
pub(crate) fn backup_taken_at(
    meta: &impl ReadableTable<&'static str, &'static str>,
) -> Result<Option<Millis>, redb::Error> {
    codec::number(meta, TAKEN).map(|taken| taken.map(Millis))
}

/// Returns the lowest start value of the counters of updates from peers; 0 in a store that was never restored.
pub(crate) fn counted_from(meta: &impl ReadableTable<&'static str, &'static str>) -> Result<u64, redb::Error> {
    Ok(codec::number(meta, COUNTED_FROM)?.unwrap_or(0))
}

/// Turns a backup into a store, in the transaction that opens it, and returns the lowest start value of the counters of
/// updates. `earlier` is the number of earlier restores into its folder.
pub(crate) fn settle(
    opening: &WriteTransaction,
    memory: &mut WriterCache,
    clock: &dyn Clock,
    earlier: u64,
) -> Result<u64, redb::Error> {
    let mut meta = opening.open_table(tables::META)?;
    let before = counted_from(&meta)?;
    let Some(taken) = backup_taken_at(&meta)? else { return Ok(before) };
    let now = clock.now();
    let from = match before {
        0 => now.0.saturating_mul(1_000),
        // The clock may have been set back since the earlier restore, so the clock alone could assign ids of that time
        // again.
        before => before.saturating_add(IDS_LEAP.saturating_mul(earlier + 1)).max(now.0.saturating_mul(1_000)),
    };
    meta.insert(COUNTED_FROM, from.to_string().as_str())?;
    meta.remove(TAKEN)?;
    start_new_segments(opening)?;
    let oldest = OpeningTable::open(opening, tables::FEED)?.first(&Bound::Unbounded)?;
    let oldest = oldest.map(|position| <u64 as Value>::from_bytes(&position));
    let tail = memory.feed.tail();
    let position = memory.feed.skip_span(&mut meta, oldest, earlier, taken.until(now))?;
    let text = format!(
        "this gateway was restored at {} from a backup of {}: what was submitted or received in between is lost here. \
         Submit again what was accepted after the backup; the feed continues at position {} after {tail}, without events \
         in between; ids of peers' updates continue from {from}, and an update that a peer resends has a new id; PDUs that this \
         gateway composed after the backup are refused if peers send them back, and replies to them have a gap",
        time(now),
        time(taken),
        position
    );
    let item = FeedItem::Notice { text, server: None };
    memory.deliveries.at(now.0);
    opening.open_table(tables::FEED)?.insert(position, codec::feed_to_row(&item).row(now.0))?;
    tracing::warn!(taken = %time(taken), tail, position, "the store is a backup; its feed continues at this position");
    Ok(from)
}

fn time(at: Millis) -> String {
    let since = std::time::Duration::from_millis(at.0);
    humantime::format_rfc3339_seconds(std::time::UNIX_EPOCH + since).to_string()
}

/// Starts a new segment after each outbox with continuous numbers, because no push crosses the start of a segment. Receipts count
/// from the first item on that the peer has not acknowledged: those for smaller numbers may be for items that the lost store had
/// numbered otherwise.
fn start_new_segments(opening: &WriteTransaction) -> Result<(), redb::Error> {
    let mut peers = opening.open_table(tables::PEERS)?;
    let outbox = OpeningTable::open(opening, tables::OUTBOX)?;
    let servers =
        |names: Vec<String>| names.into_iter().map(|name| codec::name("peers", &name)).collect::<Result<Vec<_>, _>>();
    let first = |from: Bound<(&str, u64)>| {
        let first = outbox.first(&from.map(|key| <(&str, u64)>::as_bytes(&key)))?;
        Ok(first.map(|key| <(&str, u64)>::from_bytes(&key).0.to_owned()))
    };
    let mut known = servers(tables::servers_by(first)?).map_err(codec::BadRow::into_corrupted)?;
    for row in peers.iter()? {
        known.push(codec::name("peers", row?.0.value()).map_err(codec::BadRow::into_corrupted)?);
    }
    known.sort();
    known.dedup();
    for server in known {
        let record = match peers.get(server.as_str())? {
            Some(row) => codec::peer_from_row(server, row.value()).map_err(codec::BadRow::into_corrupted)?,
            None => PeerRecord::new(server),
        };
        if let Some(record) = divided(record, &outbox)? {
            peers.insert(record.server.as_str(), codec::peer_to_row(&record).as_slice())?;
        }
    }
    Ok(())
}

fn divided(
    mut record: PeerRecord,
    outbox: &OpeningTable<'_, (&'static str, u64), OutboxValue<'static>>,
) -> Result<Option<PeerRecord>, redb::Error> {
    let name = record.server.as_str();
    let newest = outbox.last(Some(&<(&str, u64)>::as_bytes(&(name, u64::MAX))))?;
    let newest = newest.as_ref().map(|key| <(&str, u64)>::from_bytes(key)).filter(|(server, _)| *server == name);
    let newest = Index(newest.map_or(0, tables::number_of));
    let tail = newest.max(record.outbound.acked).max(record.outbound.highest_index_assigned);
    let first = tail.next();
    let before = record.clone();
    let OutboundRecord { segments, acked, told_from, held, .. } = &mut record.outbound;
    if let Some(newest) = segments.last().copied().filter(|newest| newest.first < first) {
        segments.push(NumberSegment { first, number: newest.number.plus(first.since(newest.first)) });
    }
    // The row of a peer that has acknowledged nothing stays as it is.
    let first_open = segments.iter().rfind(|segment| segment.first <= acked.next()).filter(|_| *acked > Index(0));
    if let Some(segment) = first_open {
        let number = segment.number.plus(acked.next().since(segment.first));
        *told_from = number.max(*told_from);
    }
    *held = HeldReceiptRecord::default();
    Ok((record != before).then_some(record))
}
