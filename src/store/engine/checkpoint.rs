//! Writes a generation into the file, in one transaction with the number of its last group.

use redb::{Database, Durability, Key, Table, TableDefinition, Value, WriteTransaction};

use crate::store::engine::log::log_position::LogPosition;
use crate::store::engine::memtable::{Generation, MemTable};
use crate::store::engine::row_tree::RowState;
use crate::store::schema::tables;
use crate::store::schema::tables::{RowKey, RowValue, TableVisitor};

/// Writes a generation and the position of the log into the file. When it returns, both are on disk.
pub(crate) fn write_durably(
    database: &Database,
    generation: &Generation,
    position: LogPosition,
    quick_repair: bool,
) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    // These values are close to redb's defaults. They are set explicitly because the log forgets what the file is said to
    // hold, and the second only helps if the last commit before a crash had it.
    transaction.set_durability(Durability::Immediate).map_err(|error| redb::Error::Corrupted(error.to_string()))?;
    transaction.set_quick_repair(quick_repair);
    write_rows(&transaction, generation)?;
    position.write(&transaction)?;
    Ok(transaction.commit()?)
}

/// Writes the rows of a generation, table by table and in the order of their keys.
pub(crate) fn write_rows(transaction: &WriteTransaction, generation: &Generation) -> Result<(), redb::Error> {
    tables::each(&mut GenerationCopy { transaction, tables: generation.tables.iter() })
}

struct GenerationCopy<'t> {
    transaction: &'t WriteTransaction,
    tables: std::slice::Iter<'t, MemTable>,
}

impl TableVisitor for GenerationCopy<'_> {
    type Error = redb::Error;

    fn visit<K: RowKey, V: RowValue>(&mut self, definition: TableDefinition<'static, K, V>) -> Result<(), redb::Error> {
        match self.tables.next() {
            Some(rows) if !rows.is_empty() => write_table(rows, &mut self.transaction.open_table(definition)?),
            _ => Ok(()),
        }
    }
}

fn write_table<K: Key + 'static, V: Value + 'static>(
    rows: &MemTable,
    table: &mut Table<'_, K, V>,
) -> Result<(), redb::Error> {
    for range in rows.ranges() {
        table
            .retain_in::<K::SelfType<'_>, _>(K::from_bytes(range.key())..K::from_bytes(range.value()), |_, _| false)?;
    }
    for row in rows.all() {
        let key = K::from_bytes(row.key());
        match row.state {
            RowState::Removed => drop(table.remove(key)?),
            RowState::New | RowState::Written => drop(table.insert(key, V::from_bytes(row.value()))?),
        }
    }
    Ok(())
}
