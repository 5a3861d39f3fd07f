//! Verifies contexts: PDUs, timeline, held PDUs, gaps, heads and state against each other.

use actors::model::PduRef;

use crate::store::engine::read_snapshot::{MergedTable, ReadSnapshot};
use crate::store::error::RedbResult;
use crate::store::offline::verify::VerifyFindings;
use crate::store::schema::codec::columns::{HolderValue, PduValue, StageValue};
use crate::store::schema::tables::RefValue;
use crate::store::schema::{codec, tables};

type Pdus<'r> = MergedTable<'r, RefValue, PduValue<'static>>;

pub(super) fn examine(read: &ReadSnapshot, findings: &mut VerifyFindings) -> RedbResult {
    let pdus = read.open_table(tables::PDUS)?;
    contexts(read, findings, &pdus)?;
    let stored = stored(read, findings, &pdus)?;
    timeline(read, findings, &pdus, stored.delivered)?;
    waiting(read, findings, &pdus, stored.waiting)?;
    staged(read, findings)?;
    work(read, findings)?;
    others(read, findings, &pdus)
}

fn contexts(read: &ReadSnapshot, findings: &mut VerifyFindings, pdus: &Pdus<'_>) -> RedbResult {
    for row in read.open_table(tables::CONTEXTS)?.iter()? {
        let (context, record) = row?;
        let named = context.value();
        match codec::context_id("contexts", named).and_then(|id| codec::context_from_row(id, record.value())) {
            Ok(record) => {
                for head in record.heads {
                    let PduRef { origin, id } = &head.reference;
                    open_end(findings, pdus, named, (origin.as_str(), id.as_str()))?;
                }
            }
            Err(error) => findings.add("contexts", error),
        }
    }
    Ok(())
}

/// Checks that a head is not pruned: the next PDU will name it as a parent, and its recipients may ask for it.
fn open_end(findings: &mut VerifyFindings, pdus: &Pdus<'_>, context: &str, (origin, id): (&str, &str)) -> RedbResult {
    let is_forgotten = StoredStanding::of(pdus, context, (origin, id))? == StoredStanding::Forgotten;
    findings.unless(!is_forgotten, "contexts", || format!("{origin}/{id}, a head of {context}, is pruned"));
    Ok(())
}

/// The numbers of PDUs that are not pruned.
#[derive(Default)]
struct StoredReference {
    delivered: u64,
    waiting: u64,
}

fn stored(read: &ReadSnapshot, findings: &mut VerifyFindings, pdus: &Pdus<'_>) -> Result<StoredReference, redb::Error> {
    let held = read.open_table(tables::HELD)?;
    let mut stored = StoredReference::default();
    for row in pdus.iter()? {
        let (key, value) = row?;
        let ((origin, id), PduValue { context, delivered, .. }) = (key.value(), value.value());
        if delivered {
            stored.delivered += u64::from(!codec::is_forgotten(value.value()));
            continue;
        }
        findings
            .unless(!codec::is_forgotten(value.value()), "pdus", || format!("{origin}/{id} is held and has no text"));
        stored.waiting += 1;
        let waits = held.get((context, origin, id))?.is_some();
        findings.unless(waits, "pdus", || format!("{origin}/{id} is neither delivered nor held in {context}"));
    }
    Ok(stored)
}

/// Checks that each timeline row names a delivered PDU of its context. If there are as many rows as such PDUs, each PDU
/// has one.
fn timeline(read: &ReadSnapshot, findings: &mut VerifyFindings, pdus: &Pdus<'_>, delivered: u64) -> RedbResult {
    let timeline = read.open_table(tables::TIMELINE)?;
    let contexts = read.open_table(tables::CONTEXTS)?;
    let mut at: Option<(String, i64)> = None;
    for row in timeline.iter()? {
        let (key, value) = row?;
        let ((context, position), (origin, id)) = (key.value(), value.value());
        let standing = StoredStanding::of(pdus, context, (origin, id))?;
        findings.unless(standing == StoredStanding::Delivered, "timeline", || {
            format!("position {position} of {context} names {origin}/{id}, which is {}", standing.words())
        });
        if at.as_ref().is_none_or(|(last, _)| last != context) {
            let record = match contexts.get(context)? {
                Some(row) => {
                    codec::context_id("contexts", context).and_then(|id| codec::context_from_row(id, row.value())).ok()
                }
                None => {
                    findings.add("timeline", format!("{context} has no row of its own"));
                    None
                }
            };
            // A row that cannot be decoded was reported already.
            let next = record.and_then(|record| i64::try_from(record.next).ok());
            at = Some((context.to_owned(), next.unwrap_or(i64::MAX)));
        }
        let next = at.as_ref().map_or(i64::MAX, |(_, next)| *next);
        findings.unless(position < next, "timeline", || {
            format!("the next position of {context} is {next}, but {position} is used")
        });
    }
    let places = timeline.len()?;
    findings.unless(places == delivered, "timeline", || format!("delivered PDUs: {delivered}, positions: {places}"));
    Ok(())
}

/// The status of a PDU in the context of the row that names it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum StoredStanding {
    Missing,
    Elsewhere,
    Held,
    Delivered,
    Forgotten,
}

impl StoredStanding {
    fn of(pdus: &Pdus<'_>, context: &str, key: (&str, &str)) -> Result<Self, redb::Error> {
        let Some(row) = pdus.get(key)? else { return Ok(Self::Missing) };
        Ok(match row.value() {
            row if row.context != context => Self::Elsewhere,
            row if !row.delivered => Self::Held,
            row if codec::is_forgotten(row) => Self::Forgotten,
            _ => Self::Delivered,
        })
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Elsewhere => "of another context",
            Self::Held => "held",
            Self::Delivered => "delivered",
            Self::Forgotten => "pruned",
        }
    }
}

fn waiting(read: &ReadSnapshot, findings: &mut VerifyFindings, pdus: &Pdus<'_>, waiting: u64) -> RedbResult {
    let held = read.open_table(tables::HELD)?;
    for row in held.iter()? {
        let (key, value) = row?;
        let (context, origin, id) = key.value();
        let standing = StoredStanding::of(pdus, context, (origin, id))?;
        findings.unless(standing == StoredStanding::Held, "held", || {
            format!("{origin}/{id} has a row in `held` of {context} and is {}", standing.words())
        });
        if let Err(error) = codec::refs_from_row("held", value.value().missing) {
            findings.add("held", error);
        }
    }
    let rows = held.len()?;
    findings.unless(rows == waiting, "held", || format!("undelivered PDUs: {waiting}, rows in `held`: {rows}"));
    Ok(())
}

/// Checks that the names of contexts with unfinished work can be read.
fn work(read: &ReadSnapshot, findings: &mut VerifyFindings) -> RedbResult {
    for row in read.open_table(tables::CONTEXT_WORK)?.iter()? {
        if let Err(error) = codec::context_id("context_work", row?.0.value()) {
            findings.add("context_work", error);
        }
    }
    Ok(())
}

/// Checks that each staged PDU can be read and has an index row, and that each index row leads to one.
fn staged(read: &ReadSnapshot, findings: &mut VerifyFindings) -> RedbResult {
    let (stage, ids) = (read.open_table(tables::STAGE)?, read.open_table(tables::STAGE_IDS)?);
    for row in stage.iter()? {
        let (key, value) = row?;
        let (context, server, number) = key.value();
        let StageValue { origin, id, .. } = value.value();
        let names = codec::context_id("stage", context).and(codec::name("stage", server)).map(drop);
        if let Err(error) = names.and(codec::reference("stage", origin, id)) {
            findings.add("stage", error);
        }
        let is_found = ids.get((context, server, origin, id))?.is_some_and(|row| row.value() == number);
        findings.unless(is_found, "stage", || {
            format!("{origin}/{id} of {server}, staged for {context} as {number}, has no row in `stage_ids`")
        });
    }
    let (rows, names) = (stage.len()?, ids.len()?);
    findings.unless(rows == names, "stage_ids", || format!("staged PDUs: {rows}, rows in `stage_ids`: {names}"));
    Ok(())
}

/// Checks that the PDUs named by gaps, heads and state exist.
fn others(read: &ReadSnapshot, findings: &mut VerifyFindings, pdus: &Pdus<'_>) -> RedbResult {
    for row in read.open_table(tables::GAPS)?.iter()? {
        let (key, value) = row?;
        let (context, origin, id) = key.value();
        match codec::refs_from_row("gaps", value.value().children) {
            Err(error) => findings.add("gaps", error),
            Ok(children) => {
                for child in children {
                    let there = pdus.get((child.origin.as_str(), child.id.as_str()))?.is_some();
                    findings.unless(there, "gaps", || {
                        format!("{child}, delivered in {context} without its parent {origin}/{id}, is missing")
                    });
                }
            }
        }
    }
    for row in read.open_table(tables::HEADS)?.iter()? {
        let (key, _) = row?;
        let (context, origin, id) = key.value();
        open_end(findings, pdus, context, (origin, id))?;
    }
    for row in read.open_table(tables::STATE)?.iter()? {
        let (key, value) = row?;
        let ((context, kind, name), HolderValue { origin, id, .. }) = (key.value(), value.value());
        let standing = StoredStanding::of(pdus, context, (origin, id))?;
        findings.unless(standing == StoredStanding::Delivered, "state", || {
            format!("the state {kind}/{name} of {context} is {origin}/{id}, which is {}", standing.words())
        });
    }
    for row in read.open_table(tables::STATE_PDUS)?.iter()? {
        let (key, value) = row?;
        let (context, kind, name, origin, id) = key.value();
        let standing = StoredStanding::of(pdus, context, (origin, id))?;
        findings.unless(standing == StoredStanding::Delivered, "state_pdus", || {
            format!("{origin}/{id}, a candidate for {kind}/{name} in {context}, is {}", standing.words())
        });
        if let Err(error) = codec::reference("state_pdus", origin, id)
            .and_then(|reference| codec::piece_from_row(reference, value.value()))
        {
            findings.add("state_pdus", error);
        }
    }
    Ok(())
}
