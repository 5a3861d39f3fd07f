//! Loads the snapshot of a peer's actor, and reads its outbox.

pub(super) mod forwards;

use std::collections::HashSet;
use std::ops::Bound;

use actors::model::{
    ContextId, Digest, InboundRecord, Index, Item, Millis, PeerRecord, SeenTransaction, SentPage, Seq, ServerName,
};
use actors::ports::{OutboxRow, PeerSnapshot};
use bytes::Bytes;

use crate::store::engine::read_snapshot::{MergedTable, ReadSnapshot};
use crate::store::read::{Read, attempts};
use crate::store::schema::codec::BadRow;
use crate::store::schema::codec::columns::{IN_ROW, ItemValue, OutboxValue, PduValue};
use crate::store::schema::tables::RefValue;
use crate::store::schema::{codec, tables};
use crate::store::shared::StoreShared;
use crate::store::write::peer::outbound::records::ends;

/// Maximum number of digests, and of transactions, in a snapshot.
const DIGESTS_MAX: usize = 1_024;
const SEEN_MAX: usize = 1_024;

pub(super) fn peer(shared: &StoreShared, read: &ReadSnapshot, server: ServerName) -> Read<PeerSnapshot> {
    let (newest, newest_bytes) = newest_row(shared, read, server.as_str())?;
    let row = read.open_table(tables::PEERS)?.get(server.as_str())?;
    shared.counters.looked_up(u64::from(row.is_some()));
    let seen = seen(shared, read, server.as_str())?;
    let last_error = attempts::newest_error(shared, read, server.as_str())?;
    let forwards = forwards::held(shared, read, server.as_str())?;
    let Some(row) = row else {
        let mut record = (shared.counted_from > 0).then(|| PeerRecord::new(server));
        record.iter_mut().for_each(|record| settle(record, shared, &seen));
        let (tail, digests) = (Index(newest), Vec::new());
        return Ok(PeerSnapshot { record, tail, queued_bytes: newest_bytes, digests, seen, last_error, forwards });
    };
    let mut record = codec::peer_from_row(server, row.value())?;
    settle(&mut record, shared, &seen);
    let digests = digests_below(shared, read, record.server.as_str(), record.inbound.expected)?;
    // The end of an empty outbox is in its record.
    let (given, bytes) = ends(&record.outbound);
    let (tail, queued_bytes) = (Index(newest.max(given)), newest_bytes.max(bytes));
    Ok(PeerSnapshot { record: Some(record), tail, queued_bytes, digests, seen, last_error, forwards })
}

/// Adjusts a peer's record after a restore: the lost store may have counted further, and the peer may have sent more;
/// see `restored`.
fn settle(record: &mut PeerRecord, shared: &StoreShared, seen: &[SeenTransaction]) {
    let inbound = &mut record.inbound;
    inbound.taken = inbound.taken.max(shared.counted_from);
    if inbound.restored < shared.counted_from {
        inbound.restored = shared.counted_from;
        inbound.catch_up = Some(seen.iter().filter_map(|seen| seen.id.parse().ok()).max().unwrap_or(0));
    }
}

/// Returns the newest transactions, oldest first.
fn seen(shared: &StoreShared, read: &ReadSnapshot, server: &str) -> Read<Vec<SeenTransaction>> {
    let mut newest_first = Vec::new();
    for row in read.open_table(tables::INBOUND_TRANSACTIONS)?.range(tables::all_of(server))?.rev().take(SEEN_MAX) {
        newest_first.push(codec::seen_from_row(row?.1.value())?);
    }
    shared.counters.looked_up(newest_first.len() as u64);
    newest_first.reverse();
    Ok(newest_first)
}

/// Returns the newest index that has a row, and the bytes ever queued up to it.
fn newest_row(shared: &StoreShared, read: &ReadSnapshot, server: &str) -> Read<(u64, u64)> {
    let newest = read.open_table(tables::OUTBOX)?.range(tables::all_of(server))?.newest()?;
    shared.counters.looked_up(u64::from(newest.is_some()));
    Ok(newest.map_or((0, 0), |(key, row)| (tables::number_of(key.value()), row.value().queued_bytes)))
}

/// Returns the last digests below `expected`, ascending and without a gap; the last one belongs to `expected - 1`. Rows
/// may overlap where the numbering was reset; the row that begins later is the newer one.
fn digests_below(shared: &StoreShared, read: &ReadSnapshot, server: &str, expected: Seq) -> Read<Vec<Digest>> {
    let mut newest_first = Vec::new();
    let mut below = expected.0;
    let mut found = 0;
    for row in read.open_table(tables::INBOUND_DIGESTS)?.range((server, 0)..(server, expected.0))?.rev() {
        let (key, row) = row?;
        found += 1;
        let first = tables::number_of(key.value());
        if first + codec::digests_len(row.value()) < below {
            break;
        }
        let wanted = usize::try_from(below - first).unwrap_or(usize::MAX);
        let part: Vec<Digest> = codec::digests_from_row(row.value()).take(wanted).collect();
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
    shared: &StoreShared,
    read: &ReadSnapshot,
    server: &ServerName,
    from: u64,
    rows_max: usize,
    bytes_max: u64,
) -> Read<Vec<OutboxRow>> {
    let bodies = ItemBodies::open(read)?;
    let mut page: Vec<OutboxRow> = Vec::new();
    let mut size = 0;
    let range = (server.as_str(), from)..=(server.as_str(), u64::MAX);
    for row in read.open_table(tables::OUTBOX)?.range(range)?.take(rows_max) {
        let (key, value) = row?;
        let (index, value) = (tables::number_of(key.value()), value.value());
        let OutboxValue { queued, queued_bytes, again, origin, id, submission, .. } = value;
        let (item, context) = bodies.item_within(value.item, origin, id)?;
        shared.counters.looked_up(if value.item == IN_ROW { 1 } else { 2 });
        size += item.bytes().len() as u64;
        if size > bytes_max && !page.is_empty() {
            break;
        }
        let submission = match page.last() {
            // Many rows in a row are of one submission.
            Some(last) if last.submission.as_str() == submission => last.submission.clone(),
            _ => codec::submission_id("outbox", submission)?,
        };
        let (index, queued) = (Index(index), Millis(queued));
        page.push(OutboxRow { index, queued, item, context, submission, queued_bytes, again });
    }
    Ok(page)
}

/// The tables with the bytes of items. They are stored once, however many outboxes name them.
pub(super) struct ItemBodies<'v> {
    pub(super) items: MergedTable<'v, u64, ItemValue<'static>>,
    pub(super) pdus: MergedTable<'v, RefValue, PduValue<'static>>,
}

impl<'v> ItemBodies<'v> {
    pub(super) fn open(read: &'v ReadSnapshot) -> Read<Self> {
        Ok(Self { items: read.open_table(tables::ITEMS)?, pdus: read.open_table(tables::PDUS)? })
    }

    pub(super) fn item(&self, number: u64, origin: &str, id: &str) -> Read<Item> {
        Ok(self.item_within(number, origin, id)?.0)
    }

    /// Returns the item and the context if it is a PDU.
    fn item_within(&self, number: u64, origin: &str, id: &str) -> Read<(Item, Option<ContextId>)> {
        let missing = |what: &str| BadRow::new("outbox", &format!("{what} is missing"));
        if number == IN_ROW {
            return Ok((Item::Update(Bytes::copy_from_slice(id.as_bytes())), None));
        }
        if number > 0 {
            let row = self.items.get(number)?.ok_or_else(|| missing(&format!("item {number}")))?;
            let bytes = Bytes::copy_from_slice(row.value().bytes);
            let item = match codec::forward_route(origin, id)? {
                Some(route) => Item::Forward(route, bytes),
                None => Item::Update(bytes),
            };
            return Ok((item, None));
        }
        let reference = codec::reference("outbox", origin, id)?;
        let row = self.pdus.get((origin, id))?.ok_or_else(|| missing(&reference.to_string()))?;
        let PduValue { context, bytes, .. } = row.value();
        Ok((Item::Pdu(reference, Bytes::copy_from_slice(bytes)), Some(codec::context_id("pdus", context)?)))
    }
}

/// Returns whole transactions with their remaining rows. `open` counts as sent; if it has been acknowledged since, it
/// is among the rows.
pub(super) fn sent_after(
    shared: &StoreShared,
    read: &ReadSnapshot,
    server: &ServerName,
    after: u64,
    open: Option<(u64, Index, Index)>,
    (items_max, bytes_max): (usize, u64),
) -> Read<SentPage> {
    let name = server.as_str();
    let (sent, outbox) = (read.open_table(tables::OUTBOUND_TRANSACTIONS)?, read.open_table(tables::OUTBOX)?);
    let bodies = ItemBodies::open(read)?;
    let mut page = SentPage::default();
    let mut size = 0;
    let mut take = |id: u64, first: u64, last: u64, page: &mut SentPage| -> Read<bool> {
        let mut pdus = Vec::new();
        for row in outbox.range((name, first)..=(name, last))? {
            let (_, row) = row?;
            let OutboxValue { item, origin, id: id_of_pdu, .. } = row.value();
            shared.counters.looked_up(2);
            if let Item::Pdu(reference, bytes) = bodies.item(item, origin, id_of_pdu)? {
                pdus.push((id, reference, bytes));
            }
        }
        let bytes: u64 = pdus.iter().map(|(.., bytes)| bytes.len() as u64).sum();
        let fits = page.pdus.len() + pdus.len() <= items_max && size + bytes <= bytes_max;
        page.more = page.last.is_some() && !fits;
        if !page.more {
            size += bytes;
            page.last = Some(id);
            page.pdus.extend(pdus);
        }
        Ok(page.more)
    };
    if let Some(next) = after.checked_add(1) {
        for row in sent.range((name, next)..=(name, u64::MAX))? {
            let (key, places) = row?;
            shared.counters.looked_up(1);
            let ((_, id), (first, last)) = (key.value(), places.value());
            if take(id, first, last, &mut page)? {
                return Ok(page);
            }
        }
    }
    if let Some((id, first, last)) = open.filter(|(id, ..)| *id > page.last.unwrap_or(after)) {
        take(id, first.0, last.0, &mut page)?;
    }
    Ok(page)
}

/// Returns the peers with pending items, and those that must be pulled from: for transactions that they sent to a lost
/// store, or that they named and that never arrived.
pub(super) fn peers_behind(
    shared: &StoreShared,
    read: &ReadSnapshot,
    listed: Vec<ServerName>,
) -> Read<Vec<ServerName>> {
    let mut behind = unsent(shared, read)?;
    let unsent: HashSet<ServerName> = behind.iter().cloned().collect();
    let peers = read.open_table(tables::PEERS)?;
    let is_restored = shared.counted_from > 0;
    for server in listed.into_iter().filter(|_| is_restored) {
        // A listed peer without a record may have sent transactions to the lost store for the first time.
        if peers.get(server.as_str())?.is_none() && !unsent.contains(&server) {
            behind.push(server);
        }
    }
    for row in peers.iter()? {
        let (server, row) = row?;
        // There may be very many rows, and this test is cheaper than decoding each.
        if !is_restored && !codec::may_be_asked(row.value()) {
            continue;
        }
        let record = codec::peer_from_row(codec::name("peers", server.value())?, row.value())?;
        let InboundRecord { restored, catch_up, missed, .. } = record.inbound;
        let is_settled = restored >= shared.counted_from && catch_up.is_none() && missed.is_none();
        if !is_settled && !unsent.contains(&record.server) {
            behind.push(record.server);
        }
    }
    Ok(behind)
}

/// Returns the peers with unsent items. It jumps from server to server with three lookups each, however long the
/// outboxes are.
fn unsent(shared: &StoreShared, read: &ReadSnapshot) -> Read<Vec<ServerName>> {
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
        let (server, _) = head.value();
        let server = codec::name("outbox", server)?;
        let (tail, _) = newest_row(shared, read, server.as_str())?;
        let row = peers.get(server.as_str())?;
        shared.counters.looked_up(u64::from(row.is_some()));
        let acked = match row {
            Some(row) => codec::peer_from_row(server.clone(), row.value())?.outbound.acked.0,
            None => 0,
        };
        if acked < tail {
            behind.push(server.clone());
        }
        last = Some(server);
    }
}
