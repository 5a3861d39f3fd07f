//! A key or a value in a block that was read.

use std::ops::Range;
use std::sync::Arc;

use redb::{AccessGuard, ReadOnlyTable};

use crate::store::engine::file::row_block::RowBlock;

/// The blocks of a table.
pub(super) type BlockTable<K> = ReadOnlyTable<K, &'static [u8]>;

/// A block that was read.
pub(super) type BlockGuard = AccessGuard<'static, &'static [u8]>;

/// A key or a value in a block. It does not borrow from the table.
pub(crate) struct RowPlace {
    block: Arc<BlockGuard>,
    place: Range<usize>,
}

impl RowPlace {
    /// Returns the key of a row.
    pub(super) fn key(block: Arc<BlockGuard>, row: usize) -> Self {
        let place = RowBlock::new(block.value()).places(row).0;
        Self { block, place }
    }

    /// Returns the value of a row.
    pub(super) fn value(block: Arc<BlockGuard>, row: usize) -> Self {
        let place = RowBlock::new(block.value()).places(row).1;
        Self { block, place }
    }

    /// Returns its bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.block.value()[self.place.clone()]
    }
}
