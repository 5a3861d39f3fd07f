//! Finds PDUs that are old enough to be pruned, and those that must stay. `src/store/write/context/pdus.rs` explains why this is
//! safe.

use std::collections::HashSet;
use std::ops::Bound;

use actors::model::{ContextId, Millis, PduRef};
use actors::ports::{
    ArchiveError, OldPage, OldPdu, RetentionCursor, RetentionPins, RetentionScan, RetentionStep, Task,
};
use bytes::Bytes;

use crate::store::Store;
use crate::store::engine::merged_range::MergedRow;
use crate::store::engine::read_snapshot::{MergedTable, ReadSnapshot};
use crate::store::read::Read;
use crate::store::schema::codec::BadRow;
use crate::store::schema::codec::columns::{DeadLetterValue, OutboxValue, PduValue};
use crate::store::schema::tables::{ContextPduKey, RefValue};
use crate::store::schema::{codec, tables};
use crate::store::shared::StoreShared;

/// Maximum number of rows examined in one queue, and of PDUs named by all queues and dead letters.
const OF_A_QUEUE_MAX: usize = 10_000;
const NAMED_MAX: usize = 100_000;

/// Maximum number of PDUs and contexts examined for one page, however few of them are old.
const WALK_MAX: usize = 2_000;

impl RetentionScan for Store {
    fn pinned(&self, before: Millis) -> Task<Result<RetentionPins, ArchiveError>> {
        self.page(move |shared, rows| pinned(shared, rows, before.0))
    }

    fn old(
        &self,
        before: Millis,
        after: Option<RetentionCursor>,
        limit: u32,
        bytes: u64,
    ) -> Task<Result<OldPage, ArchiveError>> {
        self.page(move |shared, rows| {
            let mut walk = RetentionWalk::open(shared, rows, before.0, limit as usize, bytes)?;
            walk.all(rows, after.as_ref())?;
            Ok(OldPage { pdus: walk.found, next: walk.next })
        })
    }
}

fn pinned(shared: &StoreShared, read: &ReadSnapshot, before: u64) -> Read<RetentionPins> {
    let oldest = read.open_table(tables::FEED)?.first()?.map(|(_, row)| row.value().time);
    let before = before.min(oldest.unwrap_or(u64::MAX));
    let (mut named, mut ours_before) = (HashSet::new(), before);
    let mut looked = 1;
    for row in read.open_table(tables::DEAD_LETTERS)?.iter()? {
        let (_, row) = row?;
        let DeadLetterValue { item, origin, id, .. } = row.value();
        looked += 1;
        if item == 0 {
            named.insert(codec::reference("dead_letters", origin, id)?);
        }
        if named.len() >= NAMED_MAX {
            // No PDU of our own may be pruned then. PDUs of other servers are never among the dead letters.
            ours_before = 0;
            break;
        }
    }
    let outbox = read.open_table(tables::OUTBOX)?;
    for server in tables::servers_by(|from| {
        let first = outbox.range::<(&str, u64)>((from, Bound::Unbounded))?.next().transpose()?;
        Ok(first.map(|(key, _)| key.value().0.to_owned()))
    })? {
        for (walked, row) in outbox.range(tables::all_of(&server))?.enumerate() {
            let (_, row) = row?;
            let OutboxValue { queued, item, origin, id, .. } = row.value();
            looked += 1;
            if queued >= ours_before {
                break;
            }
            if walked >= OF_A_QUEUE_MAX || named.len() >= NAMED_MAX {
                ours_before = queued;
                break;
            }
            if item == 0 {
                named.insert(codec::reference("outbox", origin, id)?);
            }
        }
    }
    shared.counters.looked_up(looked);
    Ok(RetentionPins { before: Millis(before), ours_before: Millis(ours_before), named })
}

/// (context, position in its timeline).
type PlaceOf = (&'static str, i64);

/// A walk that collects one page.
struct RetentionWalk<'a> {
    shared: &'a StoreShared,
    pdus: MergedTable<'a, RefValue, PduValue<'static>>,
    timeline: MergedTable<'a, PlaceOf, RefValue>,
    heads: MergedTable<'a, ContextPduKey, u64>,
    before: u64,
    limit: usize,
    bytes_max: u64,
    found: Vec<OldPdu>,
    bytes: u64,
    walked: usize,
    next: Option<RetentionCursor>,
}

impl<'a> RetentionWalk<'a> {
    fn open(shared: &'a StoreShared, read: &'a ReadSnapshot, before: u64, limit: usize, bytes_max: u64) -> Read<Self> {
        Ok(Self {
            shared,
            pdus: read.open_table(tables::PDUS)?,
            timeline: read.open_table(tables::TIMELINE)?,
            heads: read.open_table(tables::HEADS)?,
            before,
            limit: limit.max(1),
            bytes_max,
            found: Vec::new(),
            bytes: 0,
            walked: 0,
            next: None,
        })
    }

    fn all(&mut self, read: &ReadSnapshot, after: Option<&RetentionCursor>) -> Read<()> {
        let from = after.map_or(Bound::Unbounded, |after| Bound::Included(after.context.as_str()));
        for row in read.open_table(tables::CONTEXTS)?.range::<&str>((from, Bound::Unbounded))? {
            let (name, record) = row?;
            let context = codec::context_id("contexts", name.value())?;
            let behind = after.filter(|after| after.context == context);
            let behind = behind.map_or(RetentionStep::News(0), |after| after.walked);
            self.walked += 1;
            let heads = PinnedHeads { context: &context, record: record.value(), loaded: None };
            let stopped = self.one(heads, behind)?;
            let stopped = stopped.or((self.walked >= WALK_MAX).then_some(RetentionStep::All));
            if let Some(walked) = stopped {
                self.next = Some(RetentionCursor { context, walked });
                return Ok(());
            }
        }
        Ok(())
    }

    /// Returns the position at which the page is full; `None` if the context is finished. Each direction ends at the
    /// first PDU that is too young: those after it are younger, or it is young only because it was requeued.
    fn one(&mut self, mut heads: PinnedHeads<'_>, behind: RetentionStep) -> Read<Option<RetentionStep>> {
        let of = heads.context.as_str();
        let (news, history) = match behind {
            RetentionStep::News(position) => (position, 1),
            RetentionStep::History(position) => (i64::MAX, position),
            RetentionStep::All => return Ok(None),
        };
        let news = self.timeline.range((Bound::Excluded((of, news)), Bound::Included((of, i64::MAX))))?;
        if let Some(stopped) = self.through(&mut heads, news, RetentionStep::News)? {
            return Ok(Some(stopped));
        }
        let history = self.timeline.range((of, i64::MIN)..(of, history))?.rev();
        self.through(&mut heads, history, RetentionStep::History)
    }

    fn through(
        &mut self,
        heads: &mut PinnedHeads<'_>,
        rows: impl Iterator<Item = Result<MergedRow<PlaceOf, RefValue>, redb::Error>>,
        at: fn(i64) -> RetentionStep,
    ) -> Read<Option<RetentionStep>> {
        for row in rows {
            let (place, named) = row?;
            let (_, position) = place.value();
            if !self.looks_at(heads, position, named.value())? {
                break;
            }
            if self.is_full() {
                return Ok(Some(at(position)));
            }
        }
        Ok(None)
    }

    /// Returns whether the PDU at this position is old; an old one is added to the page unless it is a head.
    fn looks_at(&mut self, heads: &mut PinnedHeads<'_>, position: i64, (origin, id): (&str, &str)) -> Read<bool> {
        let reference = codec::reference("timeline", origin, id)?;
        let missing = || BadRow::new("timeline", &format!("{reference} is missing"));
        let row = self.pdus.get((origin, id))?.ok_or_else(missing)?;
        self.walked += 1;
        self.shared.counters.looked_up(1);
        let PduValue { since: delivered, bytes, .. } = row.value();
        if delivered >= self.before {
            return Ok(false);
        }
        if !heads.hold(&self.heads, &reference)? {
            self.bytes += bytes.len() as u64;
            let (context, bytes) = (heads.context.clone(), Bytes::copy_from_slice(bytes));
            self.found.push(OldPdu { context, position, reference, delivered: Millis(delivered), bytes });
        }
        Ok(true)
    }

    fn is_full(&self) -> bool {
        self.found.len() >= self.limit || self.bytes >= self.bytes_max || self.walked >= WALK_MAX
    }
}

/// The heads of a context: some are in the context's row, which is decoded only if there is an old PDU, the others have
/// rows of their own.
struct PinnedHeads<'a> {
    context: &'a ContextId,
    record: &'a [u8],
    loaded: Option<HashSet<PduRef>>,
}

impl PinnedHeads<'_> {
    fn hold(&mut self, further: &MergedTable<'_, ContextPduKey, u64>, reference: &PduRef) -> Read<bool> {
        let loaded = match &mut self.loaded {
            Some(loaded) => loaded,
            none => {
                let record = codec::context_from_row(self.context.clone(), self.record)?;
                none.insert(record.heads.into_iter().map(|head| head.reference).collect())
            }
        };
        let place = (self.context.as_str(), reference.origin.as_str(), reference.id.as_str());
        Ok(loaded.contains(reference) || further.get(place)?.is_some())
    }
}
