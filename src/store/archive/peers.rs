//! What a peer's actor starts from, and what lies in its outbox.

use std::ops::Bound;

use actors::model::{Digest, Index, Item, Millis, PeerRecord, SeenTransaction, Seq, ServerName};
use actors::ports::{OutboxRow, PeerLoad};
use bytes::Bytes;
use redb::{ReadOnlyTable, ReadTransaction};

use super::Read;
use crate::store::Shared;
use crate::store::rows::{self, BadRow};
use crate::store::tables::{self, PduValue, RefValue};

/// Digests an actor starts from at most, and transactions.
const DIGESTS_MAX: usize = 1_024;
const SEEN_MAX: usize = 1_024;

pub(super) fn peer(shared: &Shared, read: &ReadTransaction, server: ServerName) -> Read<PeerLoad> {
    let newest = newest_index(shared, read, server.as_str())?;
    let row = read.open_table(tables::PEERS)?.get(server.as_str())?;
    shared.counters.looked_up(u64::from(row.is_some()));
    let seen = seen(shared, read, server.as_str())?;
    let Some(row) = row else {
        let mut record = (shared.counted_from > 0).then(|| PeerRecord::new(server));
        record.iter_mut().for_each(|record| record.inbound.taken = shared.counted_from);
        return Ok(PeerLoad { record, tail: Index(newest), digests: Vec::new(), seen });
    };
    let mut record = rows::peer_from_row(server, row.value())?;
    // Restored from a backup, we may have counted further than this once; see `restored`.
    record.inbound.taken = record.inbound.taken.max(shared.counted_from);
    let digests = digests_below(shared, read, record.server.as_str(), record.inbound.expected)?;
    // An outbox that trimming has emptied ends where its acknowledged rows ended.
    let tail = Index(newest).max(record.outbound.acked);
    Ok(PeerLoad { record: Some(record), tail, digests, seen })
}

/// The newest transactions, oldest first.
fn seen(shared: &Shared, read: &ReadTransaction, server: &str) -> Read<Vec<SeenTransaction>> {
    let mut newest_first = Vec::new();
    for row in read.open_table(tables::SEEN)?.range(tables::all_of(server))?.rev().take(SEEN_MAX) {
        newest_first.push(rows::seen_from_row(row?.1.value())?);
    }
    shared.counters.looked_up(newest_first.len() as u64);
    newest_first.reverse();
    Ok(newest_first)
}

fn newest_index(shared: &Shared, read: &ReadTransaction, server: &str) -> Read<u64> {
    let newest = read.open_table(tables::OUTBOX)?.range(tables::all_of(server))?.next_back().transpose()?;
    shared.counters.looked_up(u64::from(newest.is_some()));
    Ok(newest.map_or(0, |(key, _)| key.value().1))
}

/// The last digests below `expected`, ascending and without a gap: the last one is of `expected - 1`. Rows may overlap where
/// numbers were set back; the row that begins later is the newer one.
fn digests_below(shared: &Shared, read: &ReadTransaction, server: &str, expected: Seq) -> Read<Vec<Digest>> {
    let mut newest_first = Vec::new();
    let mut below = expected.0;
    let mut found = 0;
    for row in read.open_table(tables::TAKEN)?.range((server, 0)..(server, expected.0))?.rev() {
        let (key, row) = row?;
        found += 1;
        let first = key.value().1;
        if first + rows::digests_len(row.value()) < below {
            break;
        }
        let wanted = usize::try_from(below - first).unwrap_or(usize::MAX);
        let part: Vec<Digest> = rows::digests_from_row(row.value()).take(wanted).collect();
        newest_first.extend(part.into_iter().rev());
        below = first;
        if newest_first.len() >= DIGESTS_MAX {
            newest_first.truncate(DIGESTS_MAX);
            break;
        }
    }
    shared.counters.looked_up(found);
    newest_first.reverse();
    Ok(newest_first)
}

pub(super) fn outbox_from(
    shared: &Shared,
    read: &ReadTransaction,
    server: &ServerName,
    from: u64,
    rows_max: usize,
    bytes_max: u64,
) -> Read<Vec<OutboxRow>> {
    let bodies = Bodies::open(read)?;
    let mut page = Vec::new();
    let mut size = 0;
    let range = (server.as_str(), from)..=(server.as_str(), u64::MAX);
    for row in read.open_table(tables::OUTBOX)?.range(range)?.take(rows_max) {
        let (key, value) = row?;
        let (index, (queued, number, origin, id, submission)) = (key.value().1, value.value());
        let item = bodies.item(number, origin, id)?;
        shared.counters.looked_up(2);
        size += item.bytes().len() as u64;
        if size > bytes_max && !page.is_empty() {
            break;
        }
        let submission = rows::submission_id("outbox", submission)?;
        page.push(OutboxRow { index: Index(index), queued: Millis(queued), item, submission });
    }
    Ok(page)
}

/// Where the bytes of items lie: each once, however many outboxes name it.
pub(super) struct Bodies {
    pub(super) items: ReadOnlyTable<u64, (u32, &'static [u8])>,
    pub(super) pdus: ReadOnlyTable<RefValue, PduValue>,
}

impl Bodies {
    pub(super) fn open(read: &ReadTransaction) -> Read<Self> {
        Ok(Self { items: read.open_table(tables::ITEMS)?, pdus: read.open_table(tables::PDUS)? })
    }

    pub(super) fn item(&self, number: u64, origin: &str, id: &str) -> Read<Item> {
        let missing = |what: &str| BadRow::new("outbox", &format!("{what} is missing"));
        if number > 0 {
            let row = self.items.get(number)?.ok_or_else(|| missing(&format!("item {number}")))?;
            return Ok(Item::Update(Bytes::copy_from_slice(row.value().1)));
        }
        let reference = rows::reference("outbox", origin, id)?;
        let row = self.pdus.get((origin, id))?.ok_or_else(|| missing(&reference.to_string()))?;
        Ok(Item::Pdu(reference, Bytes::copy_from_slice(row.value().7)))
    }
}

/// Jumps from server to server: three look-ups each, however long the outboxes are.
pub(super) fn peers_behind(shared: &Shared, read: &ReadTransaction) -> Read<Vec<ServerName>> {
    let outbox = read.open_table(tables::OUTBOX)?;
    let peers = read.open_table(tables::PEERS)?;
    let mut behind = Vec::new();
    let mut last: Option<ServerName> = None;
    loop {
        let from = last.as_ref().map_or(Bound::Unbounded, |server| Bound::Excluded((server.as_str(), u64::MAX)));
        let Some((head, _)) = outbox.range::<(&str, u64)>((from, Bound::Unbounded))?.next().transpose()? else {
            return Ok(behind);
        };
        shared.counters.looked_up(1);
        let server = rows::name("outbox", head.value().0)?;
        let tail = newest_index(shared, read, server.as_str())?;
        let row = peers.get(server.as_str())?;
        shared.counters.looked_up(u64::from(row.is_some()));
        let acked = match row {
            Some(row) => rows::peer_from_row(server.clone(), row.value())?.outbound.acked.0,
            None => 0,
        };
        if acked < tail {
            behind.push(server.clone());
        }
        last = Some(server);
    }
}
