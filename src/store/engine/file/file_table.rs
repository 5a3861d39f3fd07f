//! A table in the file as a reader sees it: its rows, and the blocks of rows.

use std::ops::Bound;

use redb::{
    Key, ReadOnlyTable, ReadTransaction, ReadableTableMetadata, TableDefinition, TableError, TableHandle, Value,
};

use crate::store::engine::file::file_range::{FileRange, KeyBound};
use crate::store::engine::file::row_block::RowBlock;
use crate::store::engine::file::row_place::{BlockTable, RowPlace};
use crate::store::engine::row_guard::RowGuard;
use crate::store::schema::tables;

/// A table in the file.
pub(crate) struct FileTable<K: Key + 'static, V: Value + 'static> {
    rows: ReadOnlyTable<K, V>,
    /// `None`: it has no blocks.
    blocks: Option<BlockTable<K>>,
    /// Number of rows in blocks.
    rows_in_blocks: u64,
}

impl<K: Key + 'static, V: Value + 'static> FileTable<K, V> {
    /// Opens a table.
    pub(crate) fn open(
        transaction: &ReadTransaction,
        definition: TableDefinition<'static, K, V>,
    ) -> Result<Self, redb::Error> {
        let rows = transaction.open_table(definition)?;
        let name = tables::blocks_of(definition.name());
        let blocks = name.map(|(name, _)| present(transaction.open_table(TableDefinition::new(name)))).transpose()?;
        let Some(blocks) = blocks.flatten() else { return Ok(Self { rows, blocks: None, rows_in_blocks: 0 }) };
        let counted = transaction.open_table(tables::BLOCK_ROWS)?.get(definition.name())?;
        let rows_in_blocks = counted.map_or(0, |row| row.value());
        // A table without a block is read as if it could have none.
        let blocks = (!blocks.is_empty()?).then_some(blocks);
        Ok(Self { rows, blocks, rows_in_blocks })
    }

    /// Returns the value of a key, which is given encoded as well.
    pub(crate) fn get(&self, key: &K::SelfType<'_>, bytes: &[u8]) -> Result<Option<RowGuard<V>>, redb::Error> {
        if let Some(found) = self.rows.get(key)? {
            return Ok(Some(RowGuard::File(found)));
        }
        let Some(blocks) = &self.blocks else { return Ok(None) };
        let from = Bound::Included(K::from_bytes(bytes));
        let Some((_, block)) = blocks.range::<K::SelfType<'_>>((from, Bound::Unbounded))?.next().transpose()? else {
            return Ok(None);
        };
        let row = RowBlock::new(block.value()).find(bytes, K::compare);
        Ok(row.map(|row| RowGuard::Block(RowPlace::value(block.into(), row))))
    }

    /// Returns the rows of a range of keys that is not empty.
    pub(crate) fn range(
        &self,
        from: &KeyBound,
        to: &KeyBound,
        is_backward: bool,
    ) -> Result<FileRange<K, V>, redb::Error> {
        FileRange::new((&self.rows, self.blocks.as_ref()), from, to, is_backward)
    }

    /// Returns the number of rows.
    pub(crate) fn len(&self) -> Result<u64, redb::Error> {
        Ok(self.rows.len()? + self.rows_in_blocks)
    }

    /// Returns the number of rows that are in blocks.
    #[cfg(test)]
    pub(crate) const fn rows_in_blocks(&self) -> u64 {
        self.rows_in_blocks
    }

    /// Returns the bytes of its pages, including unused space in them.
    pub(crate) fn bytes(&self) -> Result<u64, redb::Error> {
        let size = |stats: redb::TableStats| stats.stored_bytes() + stats.metadata_bytes() + stats.fragmented_bytes();
        let blocks = self.blocks.as_ref().map(|blocks| blocks.stats().map(size)).transpose()?;
        Ok(size(self.rows.stats()?) + blocks.unwrap_or(0))
    }

    /// Examines the blocks, and calls `fault` with each inconsistency.
    pub(crate) fn examine_blocks(&self, mut fault: impl FnMut(String)) -> Result<(), redb::Error> {
        let (mut last, mut rows): (Option<Vec<u8>>, u64) = (None, 0);
        let blocks = self.blocks.as_ref().map(|blocks| blocks.range::<K::SelfType<'_>>(..)).transpose()?;
        for (number, block) in blocks.into_iter().flatten().enumerate() {
            let (key, block) = block?;
            let block = RowBlock::new(block.value());
            for row in 0..block.len() {
                if last.as_ref().is_some_and(|last| K::compare(last, block.key(row)).is_ge()) {
                    fault(format!("row {row} of block {number} has a key that is not greater than the one before"));
                }
                last = Some(block.key(row).to_vec());
            }
            if K::compare(K::as_bytes(&key.value()).as_ref(), block.last()).is_ne() {
                fault(format!("block {number} is not under the key of its last row"));
            }
            rows += block.len() as u64;
        }
        if rows != self.rows_in_blocks {
            fault(format!("its blocks have {rows} rows, and {} are counted", self.rows_in_blocks));
        }
        Ok(())
    }
}

/// Returns nothing for a table that a store of the version before does not have.
fn present<T>(opened: Result<T, TableError>) -> Result<Option<T>, redb::Error> {
    match opened {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
