//! Writes a generation into the file, in one transaction with the number of its last group.

use std::ops::Bound;

use redb::{
    Database, Durability, Key, ReadableTableMetadata, Table, TableDefinition, TableHandle, Value, WriteTransaction,
};

use crate::store::engine::file::block_writer::BlockWriter;
use crate::store::engine::file::run_search::RunSearch;
use crate::store::engine::log::log_position::LogPosition;
use crate::store::engine::memtable::{Generation, MemTable};
use crate::store::engine::row_tree::{Row, RowCursor, RowState};
use crate::store::schema::tables;
use crate::store::schema::tables::{BlockUse, RowKey, RowValue, TableVisitor};

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
        let Some(rows) = self.tables.next().filter(|rows| !rows.is_empty()) else { return Ok(()) };
        let mut table = self.transaction.open_table(definition)?;
        let Some((name, kept)) = tables::blocks_of(definition.name()) else { return write_table(rows, &mut table) };
        remove_unblocked(rows, &mut table)?;
        let mut blocks = BlockWriter::<K>::open(self.transaction, definition.name(), name)?;
        match kept {
            BlockUse::Everything => blocks.write(rows)?,
            BlockUse::Runs => blocks.write_runs(rows, &mut table)?,
        }
        blocks.close(self.transaction, definition.name())
    }
}

/// Removes the rows that a generation removes or writes anew from those that are in no block.
fn remove_unblocked<K: Key + 'static, V: Value + 'static>(
    rows: &MemTable,
    table: &mut Table<'_, K, V>,
) -> Result<(), redb::Error> {
    if table.is_empty()? {
        return Ok(());
    }
    remove_ranges(rows, table)?;
    for row in rows.all().filter(|row| row.state != RowState::New) {
        table.remove(K::from_bytes(row.key()))?;
    }
    Ok(())
}

fn remove_ranges<K: Key + 'static, V: Value + 'static>(
    rows: &MemTable,
    table: &mut Table<'_, K, V>,
) -> Result<(), redb::Error> {
    for range in rows.ranges() {
        table
            .retain_in::<K::SelfType<'_>, _>(K::from_bytes(range.key())..K::from_bytes(range.value()), |_, _| false)?;
    }
    Ok(())
}

fn write_table<K: Key + 'static, V: Value + 'static>(
    rows: &MemTable,
    table: &mut Table<'_, K, V>,
) -> Result<(), redb::Error> {
    remove_ranges(rows, table)?;
    let (mut rest, mut search) = (rows.all(), RunSearch::default());
    while let Some(row) = rest.next() {
        if search.is_due() && search.note(write_run(&row, &mut rest, table)?) {
            continue;
        }
        let key = K::from_bytes(row.key());
        match row.state {
            RowState::Removed => drop(table.remove(key)?),
            RowState::New | RowState::Written => drop(table.insert(key, V::from_bytes(row.value()))?),
        }
    }
    Ok(())
}

/// Minimum number of rows of a run. A shorter one costs more than its rows one by one.
const RUN_MIN: usize = 4;

/// Writes a row and those after it for as long as the file has no row between them, which packs full pages. Returns false,
/// and writes nothing, if these are too few.
fn write_run<K: Key + 'static, V: Value + 'static>(
    first: &Row,
    rest: &mut RowCursor,
    table: &mut Table<'_, K, V>,
) -> Result<bool, redb::Error> {
    let Some(last) = rest.clone().nth(RUN_MIN - 2) else { return Ok(false) };
    let mut gap = table.lower_bound_mut(Bound::Included(K::from_bytes(first.key())))?;
    let end = gap.peek_next()?.map(|(key, _)| K::as_bytes(&key.value()).as_ref().to_vec());
    let is_within = |row: &Row| end.as_ref().is_none_or(|end| K::compare(row.key(), end).is_lt());
    if !is_within(&last) {
        return Ok(false);
    }
    let mut put = |row: &Row| match row.state {
        // The file has no row here that could be removed.
        RowState::Removed => Ok(()),
        RowState::New | RowState::Written => gap.insert_before(K::from_bytes(row.key()), V::from_bytes(row.value())),
    };
    put(first)?;
    while let Some(row) = rest.peek().filter(|row| is_within(row)) {
        put(row)?;
        rest.advance();
    }
    gap.close()?;
    Ok(true)
}
