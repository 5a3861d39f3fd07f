//! The keys of a table in the transaction that opens the store, before there are readers.

use std::ops::Bound;

use redb::{Key, ReadableTable, Table, TableDefinition, TableHandle, Value, WriteTransaction};

use crate::store::engine::file::file_range::{KeyBound, decoded};
use crate::store::engine::file::row_block::RowBlock;
use crate::store::schema::tables;

/// A table of which an opening reads keys.
pub(crate) struct OpeningTable<'t, K: Key + 'static, V: Value + 'static> {
    rows: Table<'t, K, V>,
    blocks: Option<Table<'t, K, &'static [u8]>>,
}

impl<'t, K: Key + 'static, V: Value + 'static> OpeningTable<'t, K, V> {
    /// Opens a table, and creates it if it is new.
    pub(crate) fn open(
        transaction: &'t WriteTransaction,
        definition: TableDefinition<'static, K, V>,
    ) -> Result<Self, redb::Error> {
        let name = tables::blocks_of(definition.name());
        let blocks = name.map(|(name, _)| transaction.open_table(TableDefinition::new(name))).transpose()?;
        Ok(Self { rows: transaction.open_table(definition)?, blocks })
    }

    /// Returns the first key from a bound on, encoded.
    pub(crate) fn first(&self, from: &KeyBound) -> Result<Option<Vec<u8>>, redb::Error> {
        let row = self.rows.range::<K::SelfType<'_>>((decoded::<K>(from), Bound::Unbounded))?.next().transpose()?;
        let row = row.map(|(key, _)| K::as_bytes(&key.value()).as_ref().to_vec());
        let Some(blocks) = &self.blocks else { return Ok(row) };
        let block = blocks.range::<K::SelfType<'_>>((decoded::<K>(from), Bound::Unbounded))?.next().transpose()?;
        let in_block = block.map(|(_, block)| {
            let block = RowBlock::new(block.value());
            let at = match from {
                Bound::Unbounded => 0,
                Bound::Included(from) => block.partition_point(|key| K::compare(key, from).is_lt()),
                Bound::Excluded(from) => block.partition_point(|key| K::compare(key, from).is_le()),
            };
            block.key(at).to_vec()
        });
        Ok([row, in_block].into_iter().flatten().min_by(|one, other| K::compare(one, other)))
    }

    /// Returns the last key that is at most this one, encoded; of all keys without one.
    pub(crate) fn last(&self, most: Option<&[u8]>) -> Result<Option<Vec<u8>>, redb::Error> {
        let to = most.map_or(Bound::Unbounded, |most| Bound::Included(K::from_bytes(most)));
        let row = self.rows.range::<K::SelfType<'_>>((Bound::Unbounded, to))?.next_back().transpose()?;
        let row = row.map(|(key, _)| K::as_bytes(&key.value()).as_ref().to_vec());
        let in_block = self.blocks.as_ref().map(|blocks| last_in_blocks(blocks, most)).transpose()?.flatten();
        Ok([row, in_block].into_iter().flatten().max_by(|one, other| K::compare(one, other)))
    }
}

fn last_in_blocks<K: Key + 'static>(
    blocks: &Table<'_, K, &'static [u8]>,
    most: Option<&[u8]>,
) -> Result<Option<Vec<u8>>, redb::Error> {
    let mut to = Bound::Unbounded;
    if let Some(most) = most {
        let around = (Bound::Included(K::from_bytes(most)), Bound::Unbounded);
        if let Some((_, block)) = blocks.range::<K::SelfType<'_>>(around)?.next().transpose()? {
            let block = RowBlock::new(block.value());
            if let Some(at) = block.partition_point(|key| K::compare(key, most).is_le()).checked_sub(1) {
                return Ok(Some(block.key(at).to_vec()));
            }
        }
        to = Bound::Excluded(K::from_bytes(most));
    }
    let before = blocks.range::<K::SelfType<'_>>((Bound::Unbounded, to))?.next_back().transpose()?;
    Ok(before.map(|(_, block)| RowBlock::new(block.value()).last().to_vec()))
}
