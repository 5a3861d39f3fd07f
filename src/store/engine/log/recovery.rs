//! Reads the log that an opening left: the groups that no checkpoint holds.
//!
//! Groups are written one at a time, and each is on disk before the next begins. So after a crash only the last one can be
//! incomplete, and it was not acknowledged. A record that cannot be read ends the log if nothing valid of a higher number
//! is anywhere in it; otherwise a group that was acknowledged is lost, and the store is damaged.

use std::io;

use crate::store::engine::log::log_backend::{LogBackend, LogSegment};
use crate::store::engine::log::log_record::{LogIdentity, LogRecord, RowOperation, SECTOR};
use crate::store::engine::memtable::Generation;

/// Groups in a row in one segment.
struct RecordRun {
    segment: LogSegment,
    first: u64,
    last: u64,
}

/// Reads the groups after number `after` of the log with this identity into a generation.
pub(crate) fn replay(backend: &dyn LogBackend, identity: &LogIdentity, after: u64) -> Result<Generation, redb::Error> {
    let mut highest = after;
    let mut runs = Vec::new();
    for segment in backend.segments()? {
        let scanned = scan(&read(backend, segment)?, identity);
        highest = highest.max(scanned.highest);
        runs.extend(scanned.run.map(|(first, last)| RecordRun { segment, first, last }));
    }
    runs.retain(|run| run.last > after);
    runs.sort_by_key(|run| run.first);
    let (mut tables, mut last) = (Generation::no_rows(), after);
    for run in runs {
        if run.first > last + 1 {
            break;
        }
        for_each(&read(backend, run.segment)?, identity, |record| {
            if record.number == last + 1 {
                last = record.number;
                record
                    .operations(|table, operation| {
                        let table = &mut tables[table];
                        match operation {
                            RowOperation::Put { key, value, is_new } => table.put(key, value, is_new),
                            RowOperation::Remove { key } => table.remove(key),
                            RowOperation::RemoveRange { from, to } => table.remove_range(from, to),
                        };
                    })
                    .map_err(|error| redb::Error::Corrupted(error.to_string()))?;
            }
            Ok(())
        })?;
    }
    if highest > last {
        return Err(redb::Error::Corrupted(format!(
            "its log lacks group {} and has group {highest}",
            last.saturating_add(1)
        )));
    }
    Ok(Generation { tables: tables.into(), last })
}

fn read(backend: &dyn LogBackend, segment: LogSegment) -> io::Result<Vec<u8>> {
    backend.read(segment)
}

/// Calls `each` with the records at the beginning of a segment whose numbers rise by one; returns where they end.
fn for_each<'a>(
    bytes: &'a [u8],
    identity: &LogIdentity,
    mut each: impl FnMut(LogRecord<'a>) -> Result<(), redb::Error>,
) -> Result<usize, redb::Error> {
    let (mut at, mut before) = (0, None);
    while let Some(record) = bytes.get(at..).and_then(|bytes| LogRecord::read(identity, bytes)) {
        if before.is_some_and(|before: u64| record.number != before.saturating_add(1)) {
            break;
        }
        before = Some(record.number);
        at += record.length();
        each(record)?;
    }
    Ok(at)
}

struct ScannedSegment {
    /// Numbers of the first and the last group at the beginning of the segment.
    run: Option<(u64, u64)>,
    /// Highest number of a valid record anywhere in the segment.
    highest: u64,
}

fn scan(bytes: &[u8], identity: &LogIdentity) -> ScannedSegment {
    let mut run: Option<(u64, u64)> = None;
    let end = for_each(bytes, identity, |record| {
        run = Some((run.map_or(record.number, |(first, _)| first), record.number));
        Ok(())
    });
    let (mut at, mut highest) = (end.unwrap_or(0), run.map_or(0, |(_, last)| last));
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        match LogRecord::read(identity, rest) {
            Some(record) => {
                highest = highest.max(record.number);
                at += record.length();
            }
            None => at += SECTOR,
        }
    }
    ScannedSegment { run, highest }
}
