//! Paged reads for operators: queues by age, quarantine and dead letters, submissions, and what came in.

mod receptions;
mod submission_list;

use std::ops::Bound;

use actors::model::{ContextId, DeadLetterReason, Index, Millis, PduRef, Position, ServerName, SubmissionId};
use actors::ports::{
    ArchiveError, ContextSummary, Direction, InspectPage, ParkedFilter, ParkedRow, PduReception, QuarantineItemKind,
    QuarantineKey, QuarantineReason, QueuedItem, RefusedRow, SearchedEvent, StoreInspector, SubmissionFilter,
    SubmissionRow, Task,
};
use bytes::Bytes;
use redb::Value;

use crate::store::Store;
use crate::store::engine::read_snapshot::{MergedTable, ReadSnapshot};
use crate::store::read::feed::refused_events;
use crate::store::read::peers::ItemBodies;
use crate::store::read::{Read, WALK_MAX, contexts};
use crate::store::schema::codec::BadRow;
use crate::store::schema::codec::columns::{DeadLetterValue, IN_ROW, OutboxValue, PduValue, QuarantineValue};
use crate::store::schema::{codec, tables};
use crate::store::shared::StoreShared;

impl StoreInspector for Store {
    fn queued(&self, server: &ServerName, after: Index, limit: u32) -> Task<Result<Vec<QueuedItem>, ArchiveError>> {
        let server = server.clone();
        self.page(move |shared, read| queued(shared, read, &server, after.0, limit as usize))
    }

    fn ages(
        &self,
        server: &ServerName,
        after: Index,
        edges: Vec<Millis>,
    ) -> Task<Result<InspectPage<u64, Index>, ArchiveError>> {
        let server = server.clone();
        self.page(move |shared, read| ages(shared, read, &server, after.0, &edges))
    }

    fn receipts_awaited(&self, server: &ServerName, upto: Index) -> Task<Result<u64, ArchiveError>> {
        let server = server.clone();
        self.page(move |_, read| receipts_awaited(read, &server, upto.0))
    }

    fn parked(
        &self,
        filter: ParkedFilter,
        after: Option<QuarantineKey>,
        limit: u32,
    ) -> Task<Result<InspectPage<ParkedRow, QuarantineKey>, ArchiveError>> {
        self.page(move |shared, read| parked(shared, read, &filter, after.as_ref(), limit as usize))
    }

    fn contexts(
        &self,
        after: Option<ContextId>,
        limit: u32,
    ) -> Task<Result<InspectPage<ContextSummary, ContextId>, ArchiveError>> {
        self.page(move |shared, read| contexts::page(shared, read, after.as_ref(), limit as usize))
    }

    fn refused_events(
        &self,
        after: Position,
        limit: u32,
        bytes: u64,
    ) -> Task<Result<InspectPage<RefusedRow, Position>, ArchiveError>> {
        self.page(move |shared, read| refused_events::refused_events(shared, read, after.0, limit as usize, bytes))
    }

    fn parked_row(&self, place: QuarantineKey) -> Task<Result<Option<ParkedRow>, ArchiveError>> {
        self.page(move |shared, read| parked_row(shared, read, &place))
    }

    fn submissions(
        &self,
        filter: SubmissionFilter,
        after: Option<SubmissionId>,
        limit: u32,
    ) -> Task<Result<InspectPage<SubmissionRow, SubmissionId>, ArchiveError>> {
        self.page(move |shared, read| {
            submission_list::submissions(shared, read, &filter, after.as_ref(), limit as usize)
        })
    }

    fn fates(
        &self,
        ranges: Vec<(ServerName, Index, Index)>,
    ) -> Task<Result<Vec<Option<DeadLetterReason>>, ArchiveError>> {
        self.page(move |shared, read| submission_list::fates(shared, read, &ranges))
    }

    fn reception(&self, reference: PduRef) -> Task<Result<Option<PduReception>, ArchiveError>> {
        self.page(move |shared, read| receptions::reception(shared, read, &reference))
    }

    fn find_event(
        &self,
        event: SearchedEvent,
        after: Position,
    ) -> Task<Result<InspectPage<Position, Position>, ArchiveError>> {
        self.page(move |shared, read| receptions::find_event(shared, read, &event, after))
    }
}

fn receipts_awaited(read: &ReadSnapshot, server: &ServerName, upto: u64) -> Read<u64> {
    let rows = read.open_table(tables::REQUESTED_RECEIPTS)?;
    let mut count = 0;
    for row in rows.range((server.as_str(), 0)..=(server.as_str(), upto))?.take(WALK_MAX) {
        row?;
        count += 1;
    }
    Ok(count)
}

fn queued(
    shared: &StoreShared,
    read: &ReadSnapshot,
    server: &ServerName,
    after: u64,
    limit: usize,
) -> Read<Vec<QueuedItem>> {
    let bodies = ItemBodies::open(read)?;
    let mut page = Vec::new();
    let range = (Bound::Excluded((server.as_str(), after)), Bound::Included((server.as_str(), u64::MAX)));
    for row in read.open_table(tables::OUTBOX)?.range::<(&str, u64)>(range)?.take(limit) {
        let (key, value) = row?;
        let OutboxValue { queued, item, origin, id, submission, .. } = value.value();
        let (size, pdu) = bodies.size(item, origin, id)?;
        let (index, queued) = (Index(tables::number_of(key.value())), Millis(queued));
        let submission = codec::submission_id("outbox", submission)?;
        page.push(QueuedItem { index, queued, pdu, submission, size });
    }
    shared.counters.looked_up(2 * page.len() as u64);
    Ok(page)
}

fn ages(
    shared: &StoreShared,
    read: &ReadSnapshot,
    server: &ServerName,
    after: u64,
    edges: &[Millis],
) -> Read<InspectPage<u64, Index>> {
    let mut counts = vec![0; edges.len() + 1];
    let range = (Bound::Excluded((server.as_str(), after)), Bound::Included((server.as_str(), u64::MAX)));
    let mut walked = 0;
    for row in read.open_table(tables::OUTBOX)?.range::<(&str, u64)>(range)? {
        let (key, value) = row?;
        let queued = Millis(value.value().queued);
        counts[edges.iter().position(|edge| queued >= *edge).unwrap_or(edges.len())] += 1;
        walked += 1;
        if walked == WALK_MAX {
            shared.counters.looked_up(walked as u64);
            return Ok(InspectPage { rows: counts, next: Some(Index(tables::number_of(key.value()))) });
        }
    }
    shared.counters.looked_up(walked as u64);
    Ok(InspectPage { rows: counts, next: None })
}

/// The tables of quarantine and dead letters. A walk visits one server after the other, quarantine first.
struct ParkedTables<'v> {
    quarantine: MergedTable<'v, (&'static str, u64), QuarantineValue<'static>>,
    dead_letters: MergedTable<'v, (&'static str, u64), DeadLetterValue<'static>>,
    bodies: ItemBodies<'v>,
}

impl<'v> ParkedTables<'v> {
    fn open(read: &'v ReadSnapshot) -> Read<Self> {
        Ok(Self {
            quarantine: read.open_table(tables::QUARANTINE)?,
            dead_letters: read.open_table(tables::DEAD_LETTERS)?,
            bodies: ItemBodies::open(read)?,
        })
    }

    /// Returns the first server within `from` that has quarantined items or dead letters.
    fn server_from(&self, from: Bound<&str>) -> Read<Option<ServerName>> {
        let first = [first_server(&self.quarantine, from)?, first_server(&self.dead_letters, from)?];
        let first = first.into_iter().flatten().min();
        Ok(first.map(|server| codec::name("quarantine", &server)).transpose()?)
    }

    fn inbound(&self, place: QuarantineKey, row: QuarantineValue<'_>, whole: bool) -> Read<ParkedRow> {
        let QuarantineValue { time, seq, what, code, reason, bytes } = row;
        Ok(ParkedRow {
            place,
            what: codec::what_from_row("quarantine", seq, what)?.0.into(),
            code: QuarantineReason::Inbound(codec::parked_code("quarantine", code)?),
            reason: reason.to_owned(),
            time: Millis(time),
            submission: None,
            size: bytes.len() as u64,
            bytes: whole.then(|| Bytes::copy_from_slice(bytes)),
        })
    }

    fn outbound(&self, place: QuarantineKey, row: DeadLetterValue<'_>, whole: bool) -> Read<ParkedRow> {
        let DeadLetterValue { kind, removed, reason, item, origin, id, submission } = row;
        let (size, pdu) = self.bodies.size(item, origin, id)?;
        let bytes = whole.then(|| self.bodies.item(item, origin, id)).transpose()?;
        Ok(ParkedRow {
            place,
            what: pdu.map_or(QuarantineItemKind::UpdateOut, |(reference, context)| {
                QuarantineItemKind::PduOut(reference, context)
            }),
            code: QuarantineReason::Outbound(codec::fate(kind)?),
            reason: reason.to_owned(),
            time: Millis(removed),
            submission: Some(codec::submission_id("dead_letters", submission)?),
            size,
            bytes: bytes.map(|item| item.bytes().clone()),
        })
    }
}

fn first_server<V: Value>(table: &MergedTable<'_, (&'static str, u64), V>, from: Bound<&str>) -> Read<Option<String>> {
    let from = match from {
        Bound::Included(server) => Bound::Included((server, 0)),
        Bound::Excluded(server) => Bound::Excluded((server, u64::MAX)),
        Bound::Unbounded => Bound::Unbounded,
    };
    let first = table.range::<(&str, u64)>((from, Bound::Unbounded))?.next().transpose()?;
    Ok(first.map(|(key, _)| {
        let (server, _) = key.value();
        server.to_owned()
    }))
}

fn parked(
    shared: &StoreShared,
    read: &ReadSnapshot,
    filter: &ParkedFilter,
    after: Option<&QuarantineKey>,
    limit: usize,
) -> Read<InspectPage<ParkedRow, QuarantineKey>> {
    let tables = ParkedTables::open(read)?;
    let mut walk = InspectWalk { filter, limit: limit.max(1), walked: 0, rows: Vec::new() };
    let mut server = match (&filter.server, after) {
        (Some(only), _) => Some(only.clone()),
        (None, Some(place)) => Some(place.server.clone()),
        (None, None) => tables.server_from(Bound::Unbounded)?,
    };
    let mut next = None;
    while let Some(name) = server {
        for direction in [Direction::In, Direction::Out] {
            let start = match after {
                Some(place) if place.server == name && place.direction == direction => Some(place.number),
                Some(place) if place.server == name && place.direction > direction => continue,
                _ => None,
            };
            if next.is_none() && filter.direction.is_none_or(|only| only == direction) {
                next = walk.one(&tables, &name, direction, start)?;
            }
        }
        server = match next.is_none() && filter.server.is_none() {
            true => tables.server_from(Bound::Excluded(name.as_str()))?,
            false => None,
        };
    }
    shared.counters.looked_up(walk.walked as u64);
    Ok(InspectPage { rows: walk.rows, next })
}

/// A page that is being collected.
struct InspectWalk<'a> {
    filter: &'a ParkedFilter,
    limit: usize,
    walked: usize,
    rows: Vec<ParkedRow>,
}

impl InspectWalk<'_> {
    /// Adds one server's items of one direction; returns the last key if the page ends there.
    fn one(
        &mut self,
        tables: &ParkedTables<'_>,
        server: &ServerName,
        direction: Direction,
        after: Option<u64>,
    ) -> Read<Option<QuarantineKey>> {
        let name = server.as_str();
        let from = after.map_or(Bound::Included((name, 0)), |number| Bound::Excluded((name, number)));
        let range = (from, Bound::Included((name, u64::MAX)));
        let place = |number| QuarantineKey { server: server.clone(), direction, number };
        match direction {
            Direction::In => {
                for row in tables.quarantine.range::<(&str, u64)>(range)? {
                    let (key, value) = row?;
                    let place = place(tables::number_of(key.value()));
                    if self.is_full(tables.inbound(place.clone(), value.value(), false)?) {
                        return Ok(Some(place));
                    }
                }
            }
            Direction::Out => {
                for row in tables.dead_letters.range::<(&str, u64)>(range)? {
                    let (key, value) = row?;
                    let place = place(tables::number_of(key.value()));
                    if self.is_full(tables.outbound(place.clone(), value.value(), false)?) {
                        return Ok(Some(place));
                    }
                }
            }
        }
        Ok(None)
    }

    fn is_full(&mut self, row: ParkedRow) -> bool {
        self.walked += 1;
        if self.filter.pdus.is_none_or(|pdus| pdus == row.what.is_pdu()) {
            self.rows.push(row);
        }
        self.rows.len() >= self.limit || self.walked >= WALK_MAX
    }
}

fn parked_row(shared: &StoreShared, read: &ReadSnapshot, place: &QuarantineKey) -> Read<Option<ParkedRow>> {
    let tables = ParkedTables::open(read)?;
    let key = (place.server.as_str(), place.number);
    let row = match place.direction {
        Direction::In => {
            let row = tables.quarantine.get(key)?;
            row.map(|row| tables.inbound(place.clone(), row.value(), true)).transpose()?
        }
        Direction::Out => {
            let row = tables.dead_letters.get(key)?;
            row.map(|row| tables.outbound(place.clone(), row.value(), true)).transpose()?
        }
    };
    shared.counters.looked_up(u64::from(row.is_some()));
    Ok(row)
}

impl ItemBodies<'_> {
    /// Returns the size of an item in bytes, and the PDU and its context if it is one.
    fn size(&self, number: u64, origin: &str, id: &str) -> Read<(u64, Option<(PduRef, ContextId)>)> {
        let missing = |what: &str| BadRow::new("outbox", &format!("{what} is missing"));
        if number == IN_ROW {
            return Ok((id.len() as u64, None));
        }
        if number > 0 {
            let row = self.items.get(number)?.ok_or_else(|| missing(&format!("item {number}")))?;
            return Ok((row.value().bytes.len() as u64, None));
        }
        let reference = codec::reference("outbox", origin, id)?;
        let row = self.pdus.get((origin, id))?.ok_or_else(|| missing(&reference.to_string()))?;
        let PduValue { context, bytes, .. } = row.value();
        Ok((bytes.len() as u64, Some((reference, codec::context_id("pdus", context)?))))
    }
}
