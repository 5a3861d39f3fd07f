//! The steps from the schema version before to this one. Each may be repeated, and leaves nothing half done.

use redb::{TableDefinition, WriteTransaction};

use crate::store::engine::file::opening_table::OpeningTable;
use crate::store::schema::tables;
use crate::store::schema::tables::{RowKey, RowValue, TableVisitor};
use crate::store::write::peer::non_participants;

/// A step: one commit.
pub(super) struct MigrationStep {
    /// Words for the log.
    pub(super) name: &'static str,
    pub(super) run: fn(&WriteTransaction) -> Result<(), redb::Error>,
}

/// The steps, in their order. The log needs none: the opening begins it. Rows of versions 5 and 6 stay where they are, and the rows of
/// new checkpoints are in blocks; the opening chooses the key of digests.
pub(super) const STEPS: &[MigrationStep] = &[
    MigrationStep { name: "new tables", run: create_tables },
    MigrationStep { name: "index of the quarantine", run: non_participants::take_over },
];

/// Opens each table, which creates it.
fn create_tables(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    tables::each(&mut CreatedTables(transaction))?;
    transaction.open_table(tables::BLOCK_ROWS)?;
    Ok(())
}

struct CreatedTables<'t>(&'t WriteTransaction);

impl TableVisitor for CreatedTables<'_> {
    type Error = redb::Error;

    fn visit<K: RowKey, V: RowValue>(&mut self, table: TableDefinition<'static, K, V>) -> Result<(), redb::Error> {
        OpeningTable::open(self.0, table)?;
        Ok(())
    }
}
