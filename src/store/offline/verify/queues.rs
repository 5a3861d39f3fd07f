//! Verifies queues, inbound digests, submissions and the feed against the rows that they refer to.

use std::collections::HashMap;
use std::ops::Bound;

use crate::store::engine::read_snapshot::{MergedTable, ReadSnapshot};
use crate::store::error::RedbResult;
use crate::store::offline::verify::VerifyFindings;
use crate::store::position_jumps::PositionJumps;
use crate::store::schema::codec::columns::{AttemptValue, DeadLetterValue, FeedValue, IN_ROW, OutboxValue, PduValue};
use crate::store::schema::tables::RefValue;
use crate::store::schema::{codec, tables};
use actors::model::{CountedNoun, DeadLetterReason};

/// Number of items counted in one pass over the queues; it bounds the memory.
const ITEMS_AT_ONCE: u64 = 1 << 20;

pub(super) fn examine(read: &ReadSnapshot, jumps: &PositionJumps, findings: &mut VerifyFindings) -> RedbResult {
    let tails = tails(read, findings)?;
    queued(read, findings, &tails)?;
    items(read, findings)?;
    taken(read, findings)?;
    attempts(read, findings)?;
    submissions(read, findings, &tails)?;
    feed(read, jumps, findings)?;
    for (server, _) in tails {
        findings.unless(codec::name("outbox", &server).is_ok(), "outbox", || format!("{server:?} is no server name"));
    }
    Ok(())
}

/// Newest index that was ever assigned in each outbox.
type Tails = HashMap<String, u64>;

fn tails(read: &ReadSnapshot, findings: &mut VerifyFindings) -> Result<Tails, redb::Error> {
    let outbox = read.open_table(tables::OUTBOX)?;
    let newest = |server: &str| -> Result<u64, redb::Error> {
        let newest = outbox.range(tables::all_of(server))?.newest()?;
        Ok(newest.map_or(0, |(key, _)| tables::number_of(key.value())))
    };
    let mut tails = HashMap::new();
    let first = |from: Bound<(&str, u64)>| {
        let first = outbox.range::<(&str, u64)>((from, Bound::Unbounded))?.next().transpose()?;
        Ok(first.map(|(key, _)| key.value().0.to_owned()))
    };
    for server in tables::servers_by(first)? {
        tails.insert(server.clone(), newest(&server)?);
    }
    for row in read.open_table(tables::PEERS)?.iter()? {
        let (key, value) = row?;
        let server = key.value();
        let record = codec::name("peers", server).and_then(|name| codec::peer_from_row(name, value.value()));
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                findings.add("peers", error);
                continue;
            }
        };
        let segments = &record.outbound.segments;
        findings.unless(!segments.is_empty(), "peers", || format!("{server} has no numbering"));
        let rises = segments.windows(2).all(|pair| pair[0].first < pair[1].first);
        findings.unless(rises, "peers", || format!("the segments of {server} are not in order: {segments:?}"));
        let counted = segments.iter().all(|segment| segment.number.0 > 0 && segment.first.0 > 0);
        findings.unless(counted, "peers", || format!("the segments of {server} begin below 1: {segments:?}"));
        let (acked, expected) = (record.outbound.acked.0, record.inbound.expected.0);
        findings.unless(expected > 0, "peers", || format!("the next number expected from {server} is 0"));
        tails.insert(server.to_owned(), newest(server)?.max(acked).max(record.outbound.highest_index_assigned.0));
    }
    Ok(tails)
}

/// Checks that the PDU of each row exists, and that no item is both queued and a dead letter. Items are checked
/// separately.
fn queued(read: &ReadSnapshot, findings: &mut VerifyFindings, tails: &Tails) -> RedbResult {
    let pdus = read.open_table(tables::PDUS)?;
    let outbox = read.open_table(tables::OUTBOX)?;
    for row in outbox.iter()? {
        let (key, value) = row?;
        let (server, index) = key.value();
        let OutboxValue { item, origin, id, submission, .. } = value.value();
        named(&pdus, findings, "outbox", (server, index), (item, origin, id))?;
        findings.unless(index > 0, "outbox", || format!("{server} has a row 0"));
        let sound = codec::submission_id("outbox", submission).is_ok();
        findings.unless(sound, "outbox", || format!("row {index} of {server} has no valid submission: {submission:?}"));
    }
    for row in read.open_table(tables::DEAD_LETTERS)?.iter()? {
        let (key, value) = row?;
        let (server, index) = key.value();
        let DeadLetterValue { kind, item, origin, id, .. } = value.value();
        named(&pdus, findings, "dead_letters", (server, index), (item, origin, id))?;
        // An item that the peer accepted also stays in the outbox, among the acknowledged ones.
        let was_taken = codec::fate(kind).is_ok_and(DeadLetterReason::was_taken);
        let twice = !was_taken && outbox.get((server, index))?.is_some();
        findings.unless(!twice, "dead_letters", || format!("row {index} of {server} is still queued"));
        let tail = tails.get(server).copied().unwrap_or(0);
        findings.unless(index <= tail, "dead_letters", || {
            format!("row {index} of {server} is beyond the newest index, {tail}")
        });
    }
    Ok(())
}

fn named(
    pdus: &MergedTable<'_, RefValue, PduValue<'static>>,
    findings: &mut VerifyFindings,
    table: &'static str,
    (server, index): (&str, u64),
    (item, origin, id): (u64, &str, &str),
) -> RedbResult {
    if item == 0 {
        let row = pdus.get((origin, id))?;
        findings
            .unless(row.is_some(), table, || format!("row {index} of {server} names {origin}/{id}, which is missing"));
        let is_forgotten = row.is_some_and(|row| codec::is_forgotten(row.value()));
        findings
            .unless(!is_forgotten, table, || format!("row {index} of {server} names {origin}/{id}, which is pruned"));
    }
    Ok(())
}

/// Checks that each item is referred to as often as its count says, and that each item referred to exists. Item numbers
/// are checked one range at a time.
fn items(read: &ReadSnapshot, findings: &mut VerifyFindings) -> RedbResult {
    let items = read.open_table(tables::ITEMS)?;
    let mut from = 1;
    loop {
        let mut names: HashMap<u64, u32> = HashMap::new();
        let mut lowest = items.range(from..)?.next().transpose()?.map(|(number, _)| number.value());
        each_number(read, &mut |number| {
            if number >= from {
                lowest = Some(lowest.map_or(number, |lowest| lowest.min(number)));
            }
        })?;
        let Some(first) = lowest else { return Ok(()) };
        let span = first..first.saturating_add(ITEMS_AT_ONCE);
        each_number(read, &mut |number| {
            if span.contains(&number) {
                *names.entry(number).or_default() += 1;
            }
        })?;
        for row in items.range(span.clone())? {
            let (number, value) = row?;
            let (number, said) = (number.value(), value.value().names);
            let counted = names.remove(&number).unwrap_or(0);
            findings.unless(said == counted, "items", || {
                let names = if said == 1 { "names" } else { "name" };
                format!("item {number} says that {} {names} it, {counted} do", CountedNoun(said.into(), "row"))
            });
        }
        let mut missing: Vec<_> = names.into_keys().collect();
        missing.sort_unstable();
        for number in missing {
            findings.add("items", format!("item {number} is referred to and missing"));
        }
        from = span.end;
    }
}

fn each_number(read: &ReadSnapshot, note: &mut impl FnMut(u64)) -> RedbResult {
    for row in read.open_table(tables::OUTBOX)?.iter()? {
        let item = row?.1.value().item;
        if item != IN_ROW {
            note(item);
        }
    }
    for row in read.open_table(tables::DEAD_LETTERS)?.iter()? {
        note(row?.1.value().item);
    }
    Ok(())
}

/// Checks that each row of digests has whole digests.
fn taken(read: &ReadSnapshot, findings: &mut VerifyFindings) -> RedbResult {
    for row in read.open_table(tables::INBOUND_DIGESTS)?.iter()? {
        let (key, value) = row?;
        let ((server, first), digests) = (key.value(), value.value());
        findings
            .unless(digests.len() % 16 == 0, "taken", || format!("a digest of {server} from {first} on is cut off"));
    }
    Ok(())
}

/// Checks that attempts and deliveries can be read, and that their ranges of items are valid.
fn attempts(read: &ReadSnapshot, findings: &mut VerifyFindings) -> RedbResult {
    for row in read.open_table(tables::ATTEMPTS)?.iter()? {
        let (key, value) = row?;
        let ((server, number), AttemptValue { first, last, .. }) = (key.value(), value.value());
        findings.unless(first <= last, "attempts", || {
            format!("row {number} of {server} has the items from {first} to {last}")
        });
    }
    for row in read.open_table(tables::DELIVERED)?.iter()? {
        let (key, value) = row?;
        let (server, newest, _) = key.value();
        match codec::spans_from_row(value.value()) {
            Err(error) => findings.add("delivered", format!("row {newest} of {server}: {error}")),
            Ok(spans) => {
                let is_within = spans.iter().all(|span| span.first <= span.last && span.last.0 <= newest);
                findings
                    .unless(is_within, "delivered", || format!("row {newest} of {server} holds items beyond its key"));
            }
        }
    }
    Ok(())
}

fn submissions(read: &ReadSnapshot, findings: &mut VerifyFindings, tails: &Tails) -> RedbResult {
    let pdus = read.open_table(tables::PDUS)?;
    for row in read.open_table(tables::SUBMISSIONS)?.iter()? {
        let (key, value) = row?;
        let id = key.value();
        let record = match codec::submission_from_row(value.value()) {
            Ok(record) => record,
            Err(error) => {
                findings.add("submissions", format!("{id}: {error}"));
                continue;
            }
        };
        if let Some(pdu) = &record.pdu {
            let there = pdus.get((pdu.origin.as_str(), pdu.id.as_str()))?.is_some();
            findings.unless(there, "submissions", || format!("{id} was composed into {pdu}, which is missing"));
        }
        for (server, first) in record.queued.iter().filter(|_| record.items > 0) {
            let (last, tail) =
                (first.0 + u64::from(record.items) - 1, tails.get(server.as_str()).copied().unwrap_or(0));
            findings.unless(last <= tail, "submissions", || {
                format!("{id} is queued for {server} up to {last}, but its outbox ends at {tail}")
            });
        }
    }
    Ok(())
}

/// Checks that the feed has no gap after its oldest row, except where a restore skipped positions, and that every PDU it
/// shows is delivered.
fn feed(read: &ReadSnapshot, jumps: &PositionJumps, findings: &mut VerifyFindings) -> RedbResult {
    let feed = read.open_table(tables::FEED)?;
    let pdus = read.open_table(tables::PDUS)?;
    let acked = read.open_table(tables::FEED_CURSOR)?.get(tables::MESSENGER)?.map_or(0, |row| row.value());
    let mut last = None;
    for row in feed.iter()? {
        let (position, value) = row?;
        let position = position.value();
        match last.replace(position) {
            Some(before) => {
                let follows = position == before + 1 || jumps.join(before, position);
                findings.unless(follows, "feed", || format!("the events between {before} and {position} are missing"));
            }
            None => findings.unless(position <= acked + 1 || jumps.join(acked, position), "feed", || {
                format!("the feed begins at {position}, but only {acked} is acknowledged")
            }),
        }
        shown(&pdus, findings, position, value.value())?;
    }
    if let Some(last) = last {
        findings.unless(acked <= last, "feed", || format!("the feed ends at {last}, but {acked} is acknowledged"));
    }
    Ok(())
}

fn shown(
    pdus: &MergedTable<'_, RefValue, PduValue<'static>>,
    findings: &mut VerifyFindings,
    position: u64,
    row: FeedValue<'_>,
) -> RedbResult {
    match codec::feed_from_row(row, None) {
        Err(error) => findings.add("feed", format!("at {position}: {error}")),
        Ok(codec::DecodedFeedRow::Whole(_)) => {}
        Ok(codec::DecodedFeedRow::Pdu(reference, _)) => {
            let row = pdus.get((reference.origin.as_str(), reference.id.as_str()))?;
            let amiss = match row.as_ref().map(|row| row.value()) {
                None => Some("missing"),
                Some(row) if codec::is_forgotten(row) => Some("pruned"),
                Some(row) => (!row.delivered).then_some("held"),
            };
            if let Some(amiss) = amiss {
                findings.add("feed", format!("the event at {position} shows {reference}, which is {amiss}"));
            }
        }
    }
    Ok(())
}
