//! Reads the delivery attempts that the trace of a message shows.

use std::ops::Bound;

use actors::model::{Attempt, AttemptError, DeliveredSpan, Index, Millis, PeerRecord, ServerName};

use crate::store::engine::read_snapshot::ReadSnapshot;
use crate::store::read::Read;
use crate::store::schema::codec::columns::AttemptValue;
use crate::store::schema::{codec, tables};
use crate::store::shared::StoreShared;

/// Maximum number of rows read beyond the first one that holds later items only. The rows are ordered by their newest item,
/// and resent items make neighbouring rows differ in time.
const STRAY_ROWS_MAX: usize = 4;

/// Maximum number of deliveries returned for one range of items: if they were sent one by one, there are as many deliveries
/// as items.
const DELIVERIES_MAX: usize = 1_000;

/// Returns the attempts that carried any of the items from `first` to `last`, oldest first.
pub(super) fn attempts(
    shared: &StoreShared,
    read: &ReadSnapshot,
    server: &ServerName,
    first: u64,
    last: u64,
) -> Read<Vec<Attempt>> {
    let carried = |from: u64, to: u64| from <= last && first <= to;
    let mut found = delivered(shared, read, server, (first, last))?;
    found.retain(|span| carried(span.first.0, span.last.0));
    found.truncate(DELIVERIES_MAX);
    let mut attempts: Vec<Attempt> = found.into_iter().map(Attempt::from).collect();
    for row in read.open_table(tables::ATTEMPTS)?.range(tables::all_of(server.as_str()))? {
        let (_, row) = row?;
        shared.counters.looked_up(1);
        let AttemptValue { time, first: from, last: to, result } = row.value();
        if carried(from, to) {
            let (time, first, last) = (Millis(time), Index(from), Index(to));
            let (code, result) = codec::attempt_result_from_row(result);
            attempts.push(Attempt { time, first, last, result: result.to_owned(), code });
        }
    }
    attempts.sort_by_key(|attempt| attempt.time);
    Ok(attempts)
}

/// Returns deliveries that include those of the items: those in rows, and the newest from the peer's record.
fn delivered(
    shared: &StoreShared,
    read: &ReadSnapshot,
    server: &ServerName,
    (first, last): (u64, u64),
) -> Read<Vec<DeliveredSpan>> {
    let mut found = Vec::new();
    let mut strays = 0;
    for row in read.open_table(tables::DELIVERED)?.range(tables::deliveries_from(server.as_str(), first))? {
        let (_, row) = row?;
        shared.counters.looked_up(1);
        let spans = codec::spans_from_row(row.value())?;
        strays += usize::from(spans.iter().all(|span| span.first.0 > last));
        if strays > STRAY_ROWS_MAX || found.len() > DELIVERIES_MAX {
            break;
        }
        found.extend(spans);
    }
    let row = read.open_table(tables::PEERS)?.get(server.as_str())?;
    shared.counters.looked_up(u64::from(row.is_some()));
    if let Some(row) = row {
        let PeerRecord { outbound, .. } = codec::peer_from_row(server.clone(), row.value())?;
        found.extend(outbound.delivered);
    }
    Ok(found)
}

/// Returns the error of the newest failed attempt to deliver to a peer.
pub(super) fn newest_error(shared: &StoreShared, read: &ReadSnapshot, server: &str) -> Read<Option<AttemptError>> {
    let newest = read.open_table(tables::ATTEMPTS)?.range(tables::all_of(server))?.newest()?;
    shared.counters.looked_up(u64::from(newest.is_some()));
    Ok(newest.map(|(_, row)| {
        let (code, words) = codec::attempt_result_from_row(row.value().result);
        AttemptError { words: words.into(), code }
    }))
}

/// Returns the first server after `after` whose oldest row of deliveries is older than `before`, and the newest index in
/// that row. It takes one lookup per server.
pub(super) fn old_deliveries(
    shared: &StoreShared,
    read: &ReadSnapshot,
    before: u64,
    after: Option<&ServerName>,
) -> Read<Option<(ServerName, Index)>> {
    let delivered = read.open_table(tables::DELIVERED)?;
    let mut passed = after.map(|server| server.as_str().to_owned());
    loop {
        let from = passed.as_deref().map_or(Bound::Unbounded, |name| Bound::Excluded((name, u64::MAX, u64::MAX)));
        let Some((key, _)) = delivered.range::<(&str, u64, u64)>((from, Bound::Unbounded))?.next().transpose()? else {
            return Ok(None);
        };
        shared.counters.looked_up(1);
        let (server, newest, time) = key.value();
        if time < before {
            return Ok(Some((codec::name("delivered", server)?, Index(newest))));
        }
        passed = Some(server.to_owned());
    }
}
