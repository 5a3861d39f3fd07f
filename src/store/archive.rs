//! Typed reads of committed rows.
//!
//! Point reads run where they are asked: they take microseconds and never wait for a sync, while a trip to another thread
//! costs more than it saves. Pages and walks go to a blocking thread. No read transaction lives across an await.

use std::collections::HashMap;
use std::ops::Bound;
use std::sync::Arc;

use actors::model::{
    ContextId, ContextRecord, Digest, Index, Item, Millis, PduRef, Position, Seq, ServerName, SubmissionId,
    SubmissionRecord,
};
use actors::ports::{
    Archive, ArchiveError, ContextLoad, FeedBounds, FeedPage, Known, OutboxRow, PeerLoad, ServedPdu, SubmissionsPage,
    Task,
};
use bytes::Bytes;
use redb::{ReadTransaction, ReadableDatabase};
use tokio::sync::watch;

use super::rows::{self, BadRow};
use super::tables;
use super::{Shared, Store};

/// Digests an actor starts from at most.
const DIGESTS_MAX: usize = 1_024;
/// Submissions on one page of housekeeping, and rows looked at for it.
const FORGET_MAX: usize = 1_000;
const FORGET_WALK_MAX: usize = 10_000;

/// Why a read failed; callers only log it.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error(transparent)]
    Redb(Box<redb::Error>),
    #[error(transparent)]
    Row(#[from] BadRow),
}

impl<E: Into<redb::Error>> From<E> for ReadError {
    fn from(error: E) -> Self {
        Self::Redb(Box::new(error.into()))
    }
}

impl From<ReadError> for ArchiveError {
    fn from(error: ReadError) -> Self {
        Self(error.to_string())
    }
}

type Read<T> = Result<T, ReadError>;

impl Store {
    /// Here and now: for single rows.
    fn point<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Shared, &ReadTransaction) -> Read<T> + Send + 'static,
    ) -> Task<Result<T, ArchiveError>> {
        let shared = self.shared.clone();
        Box::pin(async move { Ok(run(&shared, read)?) })
    }

    /// On a blocking thread: for ranges.
    fn page<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Shared, &ReadTransaction) -> Read<T> + Send + 'static,
    ) -> Task<Result<T, ArchiveError>> {
        let shared: Arc<Shared> = self.shared.clone();
        Box::pin(async move {
            let read = tokio::task::spawn_blocking(move || run(&shared, read)).await;
            Ok(read.map_err(|error| ArchiveError(error.to_string()))??)
        })
    }
}

fn run<T>(shared: &Shared, read: impl FnOnce(&Shared, &ReadTransaction) -> Read<T>) -> Read<T> {
    let transaction = shared.database.begin_read()?;
    read(shared, &transaction)
}

impl Archive for Store {
    fn peer(&self, server: &ServerName) -> Task<Result<PeerLoad, ArchiveError>> {
        let server = server.clone();
        self.page(move |shared, rows| peer(shared, rows, server))
    }

    fn outbox_from(
        &self,
        server: &ServerName,
        from: Index,
        items: u32,
        bytes: u64,
    ) -> Task<Result<Vec<OutboxRow>, ArchiveError>> {
        let server = server.clone();
        self.page(move |shared, rows| outbox_from(shared, rows, &server, from.0, items as usize, bytes))
    }

    fn peers_behind(&self) -> Task<Result<Vec<ServerName>, ArchiveError>> {
        self.page(peers_behind)
    }

    fn context(&self, _: &ContextId) -> Task<Result<Option<ContextLoad>, ArchiveError>> {
        Box::pin(async { not_built() })
    }

    fn contexts_holding(&self) -> Task<Result<Vec<ContextId>, ArchiveError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn look_up(&self, _: &ContextId, _: &[PduRef], _: &[PduRef]) -> Result<HashMap<PduRef, Known>, ArchiveError> {
        not_built()
    }

    fn release(&self, _: &ContextId, _: &[PduRef]) {}

    fn release_all(&self, _: &ContextId) {}

    fn pdu(&self, _: &PduRef) -> Result<Option<ServedPdu>, ArchiveError> {
        not_built()
    }

    fn context_record(&self, _: &ContextId) -> Result<Option<ContextRecord>, ArchiveError> {
        not_built()
    }

    fn state_holder(&self, _: &ContextId, _: &str, _: &str) -> Result<Option<PduRef>, ArchiveError> {
        not_built()
    }

    fn submission(&self, id: &SubmissionId) -> Task<Result<Option<SubmissionRecord>, ArchiveError>> {
        let id = id.clone();
        self.point(move |shared, rows| submission(shared, rows, &id))
    }

    fn submitted_updates(&self, id: &SubmissionId) -> Task<Result<Option<Vec<Bytes>>, ArchiveError>> {
        let id = id.clone();
        self.page(move |shared, rows| submitted_updates(shared, rows, &id))
    }

    fn submissions_before(
        &self,
        before: Millis,
        after: Option<SubmissionId>,
    ) -> Task<Result<SubmissionsPage, ArchiveError>> {
        self.page(move |shared, rows| submissions_before(shared, rows, before.0, after.as_ref()))
    }

    fn feed_after(&self, after: Position, limit: u32, bytes: u64) -> Task<Result<FeedPage, ArchiveError>> {
        self.page(move |shared, rows| feed_after(shared, rows, after.0, limit as usize, bytes))
    }

    fn feed_bounds(&self) -> watch::Receiver<FeedBounds> {
        self.shared.bounds.subscribe()
    }
}

fn not_built<T>() -> Result<T, ArchiveError> {
    Err(ArchiveError("conversations are not built".to_owned()))
}

fn peer(shared: &Shared, read: &ReadTransaction, server: ServerName) -> Read<PeerLoad> {
    let newest = newest_index(shared, read, server.as_str())?;
    let row = read.open_table(tables::PEERS)?.get(server.as_str())?;
    shared.counters.looked_up(u64::from(row.is_some()));
    let Some(row) = row else {
        return Ok(PeerLoad { record: None, tail: Index(newest), digests: Vec::new(), seen: Vec::new() });
    };
    let record = rows::peer_from_row(server, row.value())?;
    let digests = digests_below(shared, read, record.server.as_str(), record.inbound.expected)?;
    // An outbox that trimming has emptied ends where its acknowledged rows ended.
    let tail = Index(newest).max(record.outbound.acked);
    Ok(PeerLoad { record: Some(record), tail, digests, seen: Vec::new() })
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

fn outbox_from(
    shared: &Shared,
    read: &ReadTransaction,
    server: &ServerName,
    from: u64,
    rows_max: usize,
    bytes_max: u64,
) -> Read<Vec<OutboxRow>> {
    let items = read.open_table(tables::ITEMS)?;
    let mut page = Vec::new();
    let mut size = 0;
    let range = (server.as_str(), from)..=(server.as_str(), u64::MAX);
    for row in read.open_table(tables::OUTBOX)?.range(range)?.take(rows_max) {
        let (key, value) = row?;
        let (index, (item, queued)) = (key.value().1, value.value());
        let bytes = items.get(item)?.ok_or_else(|| BadRow::new("outbox", &format!("item {item} is missing")))?;
        let bytes = Bytes::copy_from_slice(bytes.value().1);
        shared.counters.looked_up(2);
        size += bytes.len() as u64;
        if size > bytes_max && !page.is_empty() {
            break;
        }
        page.push(OutboxRow { index: Index(index), queued: Millis(queued), item: Item::Update(bytes) });
    }
    Ok(page)
}

/// Jumps from server to server: three look-ups each, however long the outboxes are.
fn peers_behind(shared: &Shared, read: &ReadTransaction) -> Read<Vec<ServerName>> {
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

fn submission(shared: &Shared, read: &ReadTransaction, id: &SubmissionId) -> Read<Option<SubmissionRecord>> {
    let row = read.open_table(tables::SUBMISSIONS)?.get(id.as_str())?;
    shared.counters.looked_up(u64::from(row.is_some()));
    Ok(row.map(|row| rows::submission_from_row(row.value())).transpose()?)
}

/// Found through the outbox of any server that still has all its rows.
fn submitted_updates(shared: &Shared, read: &ReadTransaction, id: &SubmissionId) -> Read<Option<Vec<Bytes>>> {
    let Some(record) = submission(shared, read, id)? else { return Ok(None) };
    for (server, first) in &record.queued {
        let found = outbox_from(shared, read, server, first.0, record.items as usize, u64::MAX)?;
        let consecutive = found.iter().zip(first.0..).all(|(row, index)| row.index.0 == index);
        if consecutive && found.len() == record.items as usize {
            return Ok(Some(found.into_iter().map(|row| row.item.bytes().clone()).collect()));
        }
    }
    Ok(None)
}

fn submissions_before(
    shared: &Shared,
    read: &ReadTransaction,
    before: u64,
    after: Option<&SubmissionId>,
) -> Read<SubmissionsPage> {
    let from = after.map_or(Bound::Unbounded, |id| Bound::Excluded(id.as_str()));
    let table = read.open_table(tables::SUBMISSIONS)?;
    let mut old = Vec::new();
    for (walked, row) in (1..).zip(table.range::<&str>((from, Bound::Unbounded))?) {
        let (key, row) = row?;
        shared.counters.looked_up(1);
        let is_old = row.value().0 < before;
        let full = old.len() + usize::from(is_old) >= FORGET_MAX || walked >= FORGET_WALK_MAX;
        if !is_old && !full {
            continue;
        }
        let id: SubmissionId = key.value().parse().map_err(|error| BadRow::new("submissions", &error))?;
        if is_old {
            old.push(id.clone());
        }
        if full {
            return Ok(SubmissionsPage { old, next: Some(id) });
        }
    }
    Ok(SubmissionsPage { old, next: None })
}

fn feed_after(shared: &Shared, read: &ReadTransaction, after: u64, limit: usize, bytes_max: u64) -> Read<FeedPage> {
    let feed = read.open_table(tables::FEED)?;
    // A commit can be read a moment before it is told. What is not told yet is not shown: its reader would acknowledge it, and
    // hear that there is no such event.
    let tail = shared.bounds.borrow().tail.0;
    let mut page = Vec::new();
    let mut size = 0;
    for row in feed.range((Bound::Excluded(after), Bound::Unbounded))?.take(limit.max(1)) {
        let (position, value) = row?;
        shared.counters.looked_up(1);
        let position = position.value();
        if position > tail {
            break;
        }
        if page.is_empty() && position > after + 1 {
            return Ok(FeedPage::Gone { oldest: Position(position) });
        }
        let entry = rows::feed_from_row(position, value.value())?;
        size += value.value().7.len() as u64;
        if page.len() == limit || size > bytes_max && !page.is_empty() {
            break;
        }
        page.push(entry);
    }
    if page.is_empty() && limit > 0 {
        return gone_or_end(shared, read, after);
    }
    Ok(FeedPage::Entries(page))
}

/// Nothing follows: the end of the feed, or all of it was trimmed and the reader is behind what it acknowledged.
fn gone_or_end(shared: &Shared, read: &ReadTransaction, after: u64) -> Read<FeedPage> {
    let acked = read.open_table(tables::FEED_CURSOR)?.get(tables::MESSENGER)?.map_or(0, |row| row.value());
    shared.counters.looked_up(u64::from(acked > 0));
    if after < acked {
        return Ok(FeedPage::Gone { oldest: Position(acked + 1) });
    }
    Ok(FeedPage::Entries(Vec::new()))
}
