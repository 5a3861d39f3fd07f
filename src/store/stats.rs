//! Size of the store, table by table.

use std::path::PathBuf;
use std::sync::Arc;

use actors::ports::ArchiveError;
use redb::{TableDefinition, TableHandle};

use crate::store::counters::RowCounts;
use crate::store::engine::read_snapshot::ReadSnapshot;
use crate::store::schema::tables;
use crate::store::schema::tables::{RowKey, RowValue, TableVisitor};
use crate::store::schema::version::SCHEMA;
use crate::store::shared::StoreShared;

/// The size of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableStats {
    /// Name of the table, as in `tables`.
    pub name: String,
    /// Number of rows in the table.
    pub rows: u64,
    /// Bytes of the table's pages in the file, including unused space in them.
    pub bytes: u64,
}

/// The size of the store and the counters of its work.
#[derive(Debug, Clone, PartialEq)]
pub struct StoreStats {
    /// Schema version of tables and rows.
    pub schema: u32,
    /// Epoch of this opening.
    pub epoch: u64,
    /// Size of every table.
    pub tables: Vec<TableStats>,
    /// Bytes of pages that hold rows.
    pub live_bytes: u64,
    /// Bytes of the file; `None` for a store that is not a file.
    pub file_bytes: Option<u64>,
    /// Work done since the store was opened.
    pub counts: RowCounts,
}

impl StoreStats {
    /// Returns the bytes of the file that hold no row. They are reused before the file grows; only compaction returns
    /// them to the system.
    pub fn dead_bytes(&self) -> Option<u64> {
        self.file_bytes.map(|file| file.saturating_sub(self.live_bytes))
    }

    /// Returns the number of pruned PDUs: every other PDU has a row in a timeline or is held.
    pub fn forgotten(&self) -> u64 {
        let rows = |name| self.tables.iter().find(|table| table.name == name).map_or(0, |table| table.rows);
        rows("pdus").saturating_sub(rows("timeline") + rows("held"))
    }
}

/// Measures the store on a blocking thread.
pub(crate) async fn measure_aside(shared: Arc<StoreShared>) -> Result<StoreStats, ArchiveError> {
    let measured = tokio::task::spawn_blocking(move || measure(&shared)).await;
    let failed = |error: &dyn ToString| ArchiveError(error.to_string());
    measured.map_err(|error| failed(&error))?.map_err(|error| failed(&error))
}

fn measure(shared: &StoreShared) -> Result<StoreStats, redb::Error> {
    let tables = measured(&shared.engine.snapshot())?;
    Ok(StoreStats {
        schema: SCHEMA,
        epoch: shared.fence.epoch,
        live_bytes: tables.iter().map(|table| table.bytes).sum(),
        tables,
        file_bytes: shared
            .file
            .as_ref()
            .map(|path: &PathBuf| Ok(std::fs::metadata(path)?.len()))
            .transpose()
            .map_err(redb::Error::Io)?,
        counts: shared.counters.now(),
    })
}

/// Returns the number of rows and bytes of every table.
pub(crate) fn measured(read: &ReadSnapshot) -> Result<Vec<TableStats>, redb::Error> {
    let mut measuring = StatsScan { read, tables: Vec::new() };
    tables::each(&mut measuring)?;
    Ok(measuring.tables)
}

struct StatsScan<'t> {
    read: &'t ReadSnapshot,
    tables: Vec<TableStats>,
}

impl TableVisitor for StatsScan<'_> {
    type Error = redb::Error;

    fn visit<K: RowKey, V: RowValue>(&mut self, table: TableDefinition<'static, K, V>) -> Result<(), redb::Error> {
        let opened = self.read.open_table(table)?;
        let bytes = opened.file().bytes()?;
        self.tables.push(TableStats { name: table.name().to_owned(), rows: opened.len()?, bytes });
        Ok(())
    }
}
