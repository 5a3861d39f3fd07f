//! Servers that no configuration names: the dialects that their records keep, and the number of their rows.

use std::ops::Bound;

use actors::model::ServerName;
use redb::Value;

use super::Read;
use crate::store::engine::read_snapshot::{MergedTable, ReadSnapshot};
use crate::store::schema::{codec, tables};

/// Returns the servers whose records keep a dialect, with its name.
pub(super) fn kept_dialects(read: &ReadSnapshot) -> Read<Vec<(ServerName, String)>> {
    let mut kept = Vec::new();
    for row in read.open_table(tables::PEERS)?.iter()? {
        let (server, record) = row?;
        if let Some((server, dialect)) = codec::kept_dialect(server.value(), record.value())? {
            kept.push((server, dialect));
        }
    }
    Ok(kept)
}

/// Returns the number of rows that are keyed by servers for which `is_counted` holds, up to `most`.
///
/// PDUs and contexts are not counted: they are the conversations of the messenger, whoever takes part in them.
pub(super) fn rows_of_servers(read: &ReadSnapshot, is_counted: &dyn Fn(&ServerName) -> bool, most: u64) -> Read<u64> {
    let mut count = RowCount { is_counted, most, rows: 0 };
    for row in read.open_table(tables::PEERS)?.iter()? {
        let counted = u64::from(count.has(row?.0.value()));
        count.rows += counted;
    }
    count.numbered(&read.open_table(tables::OUTBOX)?)?;
    count.numbered(&read.open_table(tables::INBOUND_DIGESTS)?)?;
    count.numbered(&read.open_table(tables::QUARANTINE)?)?;
    count.numbered(&read.open_table(tables::OUTBOUND_TRANSACTIONS)?)?;
    count.numbered(&read.open_table(tables::DEAD_LETTERS)?)?;
    count.numbered(&read.open_table(tables::ATTEMPTS)?)?;
    count.numbered(&read.open_table(tables::INBOUND_TRANSACTIONS)?)?;
    for row in read.open_table(tables::DELIVERED)?.iter()? {
        let counted = u64::from(count.has(row?.0.value().0));
        count.rows += counted;
    }
    for row in read.open_table(tables::STAGE)?.iter()? {
        // Each has a row in the index, too.
        let counted = 2 * u64::from(count.has(row?.0.value().1));
        count.rows += counted;
    }
    for row in read.open_table(tables::NONCES)?.iter()? {
        if count.rows >= most {
            break;
        }
        let (key, _) = row?;
        let (_, key, _) = key.value();
        count.rows += u64::from(key.split_once('/').is_some_and(|(server, _)| count.has(server)));
    }
    Ok(count.rows)
}

/// A count in progress.
struct RowCount<'a> {
    is_counted: &'a dyn Fn(&ServerName) -> bool,
    most: u64,
    rows: u64,
}

impl RowCount<'_> {
    fn has(&self, server: &str) -> bool {
        self.rows < self.most && server.parse().is_ok_and(|server| (self.is_counted)(&server))
    }

    /// Adds the rows of a table keyed by (server, number); of other servers nothing but the first row is read.
    fn numbered<V: Value + 'static>(&mut self, table: &MergedTable<'_, (&'static str, u64), V>) -> Read<()> {
        let mut last: Option<String> = None;
        loop {
            let from = last.as_deref().map_or(Bound::Unbounded, |last| Bound::Excluded((last, u64::MAX)));
            let Some((key, _)) = table.range::<(&str, u64)>((from, Bound::Unbounded))?.next().transpose()? else {
                return Ok(());
            };
            let server = key.value().0.to_owned();
            if self.has(&server) {
                for row in table.range(tables::all_of(&server))? {
                    row?;
                    self.rows += 1;
                    if self.rows >= self.most {
                        return Ok(());
                    }
                }
            }
            last = Some(server);
        }
    }
}
