//! Conversations: PDUs, the timeline, what is held, gaps and state, each against the others.

use redb::{ReadOnlyTable, ReadTransaction, ReadableTable, ReadableTableMetadata};

use super::Findings;
use crate::store::rows;
use crate::store::tables::{self, PduValue, RefValue};

type Done = Result<(), redb::Error>;
type Pdus = ReadOnlyTable<RefValue, PduValue>;

pub(super) fn examine(read: &ReadTransaction, findings: &mut Findings) -> Done {
    let pdus = read.open_table(tables::PDUS)?;
    contexts(read, findings)?;
    let (delivered, held) = stored(read, findings, &pdus)?;
    timeline(read, findings, &pdus, delivered)?;
    waiting(read, findings, &pdus, held)?;
    others(read, findings, &pdus)
}

fn contexts(read: &ReadTransaction, findings: &mut Findings) -> Done {
    for row in read.open_table(tables::CONTEXTS)?.iter()? {
        let (context, record) = row?;
        let read = rows::context_id("contexts", context.value());
        if let Err(error) = read.and_then(|context| rows::context_from_row(context, record.value())) {
            findings.add("contexts", error);
        }
    }
    Ok(())
}

/// How many PDUs are delivered, and how many wait.
fn stored(read: &ReadTransaction, findings: &mut Findings, pdus: &Pdus) -> Result<(u64, u64), redb::Error> {
    let held = read.open_table(tables::HELD)?;
    let (mut delivered, mut waiting) = (0, 0);
    for row in pdus.iter()? {
        let (key, value) = row?;
        let ((origin, id), (context, is_delivered, ..)) = (key.value(), value.value());
        if is_delivered {
            delivered += 1;
            continue;
        }
        waiting += 1;
        let waits = held.get((context, origin, id))?.is_some();
        findings.unless(waits, "pdus", || format!("{origin}/{id} is not delivered and does not wait in {context}"));
    }
    Ok((delivered, waiting))
}

/// Each place holds a delivered PDU of its conversation; with as many places as such PDUs, each has one.
fn timeline(read: &ReadTransaction, findings: &mut Findings, pdus: &Pdus, delivered: u64) -> Done {
    let timeline = read.open_table(tables::TIMELINE)?;
    let contexts = read.open_table(tables::CONTEXTS)?;
    let mut at: Option<(String, i64)> = None;
    for row in timeline.iter()? {
        let (key, value) = row?;
        let ((context, position), (origin, id)) = (key.value(), value.value());
        let standing = pdus.get((origin, id))?.map(|row| (row.value().0 == context, row.value().1));
        findings.unless(standing == Some((true, true)), "timeline", || {
            format!("{context} has at {position} {origin}/{id}, which is {}", words(standing))
        });
        if at.as_ref().is_none_or(|(last, _)| last != context) {
            let record = match contexts.get(context)? {
                Some(row) => {
                    rows::context_id("contexts", context).and_then(|id| rows::context_from_row(id, row.value())).ok()
                }
                None => {
                    findings.add("timeline", format!("{context} has no row of its own"));
                    None
                }
            };
            // A row that cannot be understood has been told of.
            let next = record.and_then(|record| i64::try_from(record.next).ok());
            at = Some((context.to_owned(), next.unwrap_or(i64::MAX)));
        }
        let next = at.as_ref().map_or(i64::MAX, |(_, next)| *next);
        findings
            .unless(position < next, "timeline", || format!("{context} goes on at {next}, and {position} is taken"));
    }
    let places = timeline.len()?;
    findings.unless(places == delivered, "timeline", || format!("{delivered} PDUs are delivered, in {places} places"));
    Ok(())
}

fn words(standing: Option<(bool, bool)>) -> &'static str {
    match standing {
        None => "missing",
        Some((false, _)) => "of another one",
        Some((true, false)) => "held",
        Some((true, true)) => "delivered",
    }
}

fn waiting(read: &ReadTransaction, findings: &mut Findings, pdus: &Pdus, waiting: u64) -> Done {
    let held = read.open_table(tables::HELD)?;
    for row in held.iter()? {
        let (key, value) = row?;
        let (context, origin, id) = key.value();
        let standing = pdus.get((origin, id))?.map(|row| (row.value().0 == context, row.value().1));
        findings.unless(standing == Some((true, false)), "held", || {
            format!("{origin}/{id} waits in {context} and is {}", words(standing))
        });
        if let Err(error) = rows::refs_from_row("held", value.value().5) {
            findings.add("held", error);
        }
    }
    let rows = held.len()?;
    findings.unless(rows == waiting, "held", || format!("{waiting} PDUs are not delivered, {rows} wait"));
    Ok(())
}

/// Gaps and state name PDUs that are there.
fn others(read: &ReadTransaction, findings: &mut Findings, pdus: &Pdus) -> Done {
    for row in read.open_table(tables::GAPS)?.iter()? {
        let (key, value) = row?;
        let (context, origin, id) = key.value();
        match rows::refs_from_row("gaps", value.value().1) {
            Err(error) => findings.add("gaps", error),
            Ok(children) => {
                for child in children {
                    let there = pdus.get((child.origin.as_str(), child.id.as_str()))?.is_some();
                    findings.unless(there, "gaps", || {
                        format!("{child} was delivered in {context} without {origin}/{id}, and is missing")
                    });
                }
            }
        }
    }
    for row in read.open_table(tables::STATE)?.iter()? {
        let (key, value) = row?;
        let ((context, kind, name), (origin, id, ..)) = (key.value(), value.value());
        let there = pdus.get((origin, id))?.is_some();
        findings.unless(there, "state", || format!("{kind}/{name} of {context} is {origin}/{id}, which is missing"));
    }
    for row in read.open_table(tables::STATE_PDUS)?.iter()? {
        let (key, value) = row?;
        let (context, kind, name, origin, id) = key.value();
        let there = pdus.get((origin, id))?.is_some();
        findings.unless(there, "state_pdus", || format!("{origin}/{id}, of {kind}/{name} in {context}, is missing"));
        if let Err(error) = rows::reference("state_pdus", origin, id)
            .and_then(|reference| rows::piece_from_row(reference, value.value()))
        {
            findings.add("state_pdus", error);
        }
    }
    Ok(())
}
