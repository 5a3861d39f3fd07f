//! Rows of a server that are numbered in the order of their arrival, of which the newest are kept.

use actors::model::ServerName;
use redb::Value;

use crate::store::counters::RowCounts;
use crate::store::engine::group_write::WriteTable;
use crate::store::error::RedbResult;
use crate::store::schema::tables;

/// Returns the newest number of a server, with one lookup.
pub(crate) fn newest_number<V: Value + 'static>(
    table: &WriteTable<'_, (&'static str, u64), V>,
    counts: &mut RowCounts,
    server: &ServerName,
) -> Result<Option<u64>, redb::Error> {
    counts.lookups += 1;
    let newest = table.range(tables::all_of(server.as_str()))?.newest()?;
    Ok(newest.map(|(key, _)| tables::number_of(key.value())))
}

/// Removes the oldest rows. Numbers have no gaps except at the old end, so the rows up to `upto` are the oldest ones,
/// beyond the number that is kept.
pub(crate) fn trim_oldest<V: Value + 'static>(
    table: &mut WriteTable<'_, (&'static str, u64), V>,
    counts: &mut RowCounts,
    server: &str,
    upto: u64,
) -> RedbResult {
    /// Maximum number of rows removed at once: a lower limit in the settings is reached over several commits.
    const ROWS_MAX: usize = 256;
    if upto == 0 {
        return Ok(());
    }
    let mut behind = None;
    for row in table.range((server, 0)..=(server, upto))?.take(ROWS_MAX) {
        behind = tables::number_of(row?.0.value()).checked_add(1);
        counts.trim_reads += 1;
        counts.rows_trimmed += 1;
    }
    behind.map_or(Ok(()), |behind| table.remove_range((server, 0), (server, behind)))
}
