//! Writes the rows of a generation into the blocks of a table.

use std::ops::Bound;

use redb::{Key, ReadableTable, Table, TableDefinition, Value, WriteTransaction};

use crate::store::engine::file::row_block::{BlockBuilder, RowBlock};
use crate::store::engine::file::run_search::{RunSearch, first_column};
use crate::store::engine::memtable::MemTable;
use crate::store::engine::row_tree::{Row, RowCursor, RowState};
use crate::store::schema::tables;

/// Minimum number of rows of a block where rows may be alone. A smaller block costs about as much as its rows.
const RUN_MIN: usize = 8;

/// The blocks of a table in a transaction.
pub(crate) struct BlockWriter<'t, K: Key + 'static> {
    blocks: Table<'t, K, &'static [u8]>,
    builder: BlockBuilder,
    /// Number of rows in blocks.
    rows: u64,
}

/// The keys of a block's first and last rows.
struct BlockEnds {
    first: Vec<u8>,
    last: Vec<u8>,
}

impl<'t, K: Key + 'static> BlockWriter<'t, K> {
    /// Opens the blocks of the table `of`, which are in the table `name`.
    pub(crate) fn open(transaction: &'t WriteTransaction, of: &str, name: &'static str) -> Result<Self, redb::Error> {
        let rows = transaction.open_table(tables::BLOCK_ROWS)?.get(of)?.map_or(0, |row| row.value());
        let blocks = transaction.open_table(TableDefinition::new(name))?;
        Ok(Self { blocks, builder: BlockBuilder::default(), rows })
    }

    /// Writes what a generation changed into blocks. Of the rows that are alone, the caller has removed those that the generation
    /// removes or writes.
    pub(crate) fn write(&mut self, changed: &MemTable) -> Result<(), redb::Error> {
        self.remove_ranges(changed)?;
        let mut rest = changed.all();
        while let Some(row) = rest.next() {
            match self.ends_at(row.key())? {
                Some(block) if K::compare(&block.first, row.key()).is_le() => self.merge(&block, &row, &mut rest)?,
                next => {
                    let end = next.map(|block| block.first);
                    self.add_run(&row, &mut rest, |key| is_before::<K>(key, end.as_deref()))?;
                }
            }
        }
        Ok(())
    }

    /// Writes what a generation changed, as [`write`](Self::write) does, but only runs of rows into blocks, and the others alone.
    pub(crate) fn write_runs<V: Value + 'static>(
        &mut self,
        changed: &MemTable,
        alone: &mut Table<'_, K, V>,
    ) -> Result<(), redb::Error> {
        self.remove_ranges(changed)?;
        let (mut rest, mut search) = (changed.all(), RunSearch::default());
        while let Some(row) = rest.next() {
            // No block has a row that is new.
            let is_new = row.state == RowState::New;
            if is_new && !search.is_due() {
                add_alone(&row, alone)?;
                continue;
            }
            let next = self.ends_at(row.key())?;
            let around = next.as_ref().filter(|block| K::compare(&block.first, row.key()).is_le());
            if let Some(block) = around.filter(|_| !is_new) {
                self.merge(block, &row, &mut rest)?;
                continue;
            }
            let (end, column) = (next.as_ref().map(|block| &*block.first), first_column(row.key()));
            let goes_on = |key: &[u8]| first_column(key) == column && is_before::<K>(key, end);
            let is_run = around.is_none() && rest.clone().nth(RUN_MIN - 2).is_some_and(|last| goes_on(last.key()));
            if is_new {
                search.note(is_run);
            }
            if is_run {
                self.add_run(&row, &mut rest, goes_on)?;
            } else {
                add_alone(&row, alone)?;
            }
        }
        Ok(())
    }

    fn remove_ranges(&mut self, changed: &MemTable) -> Result<(), redb::Error> {
        changed.ranges().try_for_each(|range| self.remove_range(range.key(), range.value()))
    }

    /// Notes how many rows the blocks have.
    pub(crate) fn close(self, transaction: &WriteTransaction, of: &str) -> Result<(), redb::Error> {
        transaction.open_table(tables::BLOCK_ROWS)?.insert(of, self.rows)?;
        Ok(())
    }

    /// Returns the ends of the first block that ends at or above a key.
    fn ends_at(&self, key: &[u8]) -> Result<Option<BlockEnds>, redb::Error> {
        let from = Bound::Included(K::from_bytes(key));
        let block = self.blocks.range::<K::SelfType<'_>>((from, Bound::Unbounded))?.next().transpose()?;
        Ok(block.map(|(_, block)| {
            let block = RowBlock::new(block.value());
            BlockEnds { first: block.first().to_vec(), last: block.last().to_vec() }
        }))
    }

    /// Takes a block out.
    fn take(&mut self, last: &[u8]) -> Result<Vec<u8>, redb::Error> {
        let block = self.blocks.remove(K::from_bytes(last))?;
        let block = block.map(|block| block.value().to_vec());
        let block = block.ok_or_else(|| redb::Error::Corrupted("a block is not under its last key".to_owned()))?;
        self.rows = self.rows.saturating_sub(RowBlock::new(&block).len() as u64);
        Ok(block)
    }

    fn add(&mut self, key: &[u8], value: &[u8]) -> Result<(), redb::Error> {
        if self.builder.is_full(key, value) {
            self.end_block()?;
        }
        self.builder.add(key, value);
        self.rows += 1;
        Ok(())
    }

    fn add_row(&mut self, row: &Row) -> Result<(), redb::Error> {
        match row.state {
            RowState::Removed => Ok(()),
            RowState::New | RowState::Written => self.add(row.key(), row.value()),
        }
    }

    fn end_block(&mut self) -> Result<(), redb::Error> {
        if let Some((last, block)) = self.builder.finished() {
            self.blocks.insert(K::from_bytes(last), block)?;
        }
        self.builder.clear();
        Ok(())
    }

    /// Writes a row, and those after it whose keys go on with the run.
    fn add_run(
        &mut self,
        first: &Row,
        rest: &mut RowCursor,
        goes_on: impl Fn(&[u8]) -> bool,
    ) -> Result<(), redb::Error> {
        self.add_row(first)?;
        while let Some(row) = rest.peek().filter(|row| goes_on(row.key())) {
            self.add_row(row)?;
            rest.advance();
        }
        self.end_block()
    }

    /// Writes a row, and those after it that lie within the same block, together with the rows that the block keeps.
    fn merge(&mut self, ends: &BlockEnds, first: &Row, rest: &mut RowCursor) -> Result<(), redb::Error> {
        let kept = self.take(&ends.last)?;
        let kept = RowBlock::new(&kept);
        let mut at = self.merge_row(&kept, 0, first)?;
        while let Some(row) = rest.peek().filter(|row| K::compare(row.key(), &ends.last).is_le()) {
            at = self.merge_row(&kept, at, row)?;
            rest.advance();
        }
        self.keep(&kept, at, kept.len())?;
        self.end_block()
    }

    /// Writes a row behind the kept ones before it, and returns the number of kept rows that are done.
    fn merge_row(&mut self, kept: &RowBlock<'_>, at: usize, row: &Row) -> Result<usize, redb::Error> {
        let before = kept.partition_point(|key| K::compare(key, row.key()).is_lt());
        self.keep(kept, at, before)?;
        self.add_row(row)?;
        let is_replaced = before < kept.len() && K::compare(kept.key(before), row.key()).is_eq();
        Ok(before + usize::from(is_replaced))
    }

    fn keep(&mut self, kept: &RowBlock<'_>, from: usize, to: usize) -> Result<(), redb::Error> {
        (from..to).try_for_each(|row| self.add(kept.key(row), kept.value(row)))
    }

    /// Removes the rows from a key to before another.
    fn remove_range(&mut self, from: &[u8], to: &[u8]) -> Result<(), redb::Error> {
        // Only the blocks at the two ends of the range can keep rows.
        for end in [from, to] {
            let Some(ends) = self.ends_at(end)? else { continue };
            if K::compare(&ends.first, end).is_lt() {
                let block = self.take(&ends.last)?;
                let block = RowBlock::new(&block);
                let first = block.partition_point(|key| K::compare(key, from).is_lt());
                let behind = block.partition_point(|key| K::compare(key, to).is_lt());
                self.keep(&block, 0, first)?;
                // The rows on both sides are two blocks, so that one lies within the range or outside.
                self.end_block()?;
                self.keep(&block, behind.max(first), block.len())?;
                self.end_block()?;
            }
        }
        let mut removed = 0;
        let (from, to) = (K::from_bytes(from), K::from_bytes(to));
        self.blocks.retain_in::<K::SelfType<'_>, _>(from..to, |_, block| {
            removed += RowBlock::new(block).len() as u64;
            false
        })?;
        self.rows = self.rows.saturating_sub(removed);
        Ok(())
    }
}

/// Returns whether a key lies before the next block.
fn is_before<K: Key>(key: &[u8], next: Option<&[u8]>) -> bool {
    next.is_none_or(|next| K::compare(key, next).is_lt())
}

/// Writes a row that is in no block.
fn add_alone<K: Key + 'static, V: Value + 'static>(row: &Row, table: &mut Table<'_, K, V>) -> Result<(), redb::Error> {
    match row.state {
        RowState::Removed => Ok(()),
        RowState::New | RowState::Written => {
            drop(table.insert(K::from_bytes(row.key()), V::from_bytes(row.value()))?);
            Ok(())
        }
    }
}
