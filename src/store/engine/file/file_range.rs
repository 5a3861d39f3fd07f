//! The rows of a range of a table in the file, in one direction, from its rows and its blocks.

use std::ops::{Bound, Range};
use std::sync::Arc;

use redb::{AccessGuard, Key, ReadOnlyTable, Value};

use crate::store::engine::file::row_block::RowBlock;
use crate::store::engine::file::row_place::{BlockGuard, BlockTable, RowPlace};
use crate::store::engine::row_guard::RowGuard;

/// A bound of a range, encoded.
pub(crate) type KeyBound = Bound<Vec<u8>>;

/// A row of the file.
pub(crate) type FileRow<K, V> = (RowGuard<K>, RowGuard<V>);

/// The rows of a range, in ascending order or in descending order.
pub(crate) struct FileRange<K: Key + 'static, V: Value + 'static> {
    rows: Option<redb::Range<'static, K, V>>,
    next: Option<(AccessGuard<'static, K>, AccessGuard<'static, V>)>,
    blocks: Option<BlockRange<K>>,
    is_backward: bool,
}

impl<K: Key + 'static, V: Value + 'static> FileRange<K, V> {
    pub(super) fn new(
        (rows, blocks): (&ReadOnlyTable<K, V>, Option<&BlockTable<K>>),
        from: &KeyBound,
        to: &KeyBound,
        is_backward: bool,
    ) -> Result<Self, redb::Error> {
        let rows = rows.range::<K::SelfType<'_>>((decoded::<K>(from), decoded::<K>(to)))?;
        let blocks = blocks.map(|blocks| BlockRange::new(blocks, from, to, is_backward)).transpose()?;
        Ok(Self { rows: Some(rows), next: None, blocks, is_backward })
    }

    /// Returns the next row.
    pub(crate) fn next(&mut self) -> Result<Option<FileRow<K, V>>, redb::Error> {
        if self.next.is_none()
            && let Some(rows) = &mut self.rows
        {
            self.next = if self.is_backward { rows.next_back() } else { rows.next() }.transpose()?;
            if self.next.is_none() {
                self.rows = None;
            }
        }
        let Some(blocks) = &mut self.blocks else { return Ok(self.next.take().map(from_file)) };
        let in_block = blocks.peek()?;
        let is_row_nearer = match (&self.next, in_block) {
            (Some((key, _)), Some(other)) => {
                let order = K::compare(K::as_bytes(&key.value()).as_ref(), other);
                if self.is_backward { order.is_gt() } else { order.is_lt() }
            }
            (row, _) => row.is_some(),
        };
        Ok(if is_row_nearer { self.next.take().map(from_file) } else { blocks.take() })
    }
}

fn from_file<K: Key + 'static, V: Value + 'static>(
    (key, value): (AccessGuard<'static, K>, AccessGuard<'static, V>),
) -> FileRow<K, V> {
    (RowGuard::File(key), RowGuard::File(value))
}

/// The rows of a range that are in blocks.
struct BlockRange<K: Key + 'static> {
    /// Backward: the block around the end of the range, which comes first.
    edge: Option<BlockGuard>,
    blocks: Option<redb::Range<'static, K, &'static [u8]>>,
    /// A block, and its rows that are left.
    current: Option<(Arc<BlockGuard>, Range<usize>)>,
    from: KeyBound,
    to: KeyBound,
    is_backward: bool,
}

impl<K: Key + 'static> BlockRange<K> {
    fn new(table: &BlockTable<K>, from: &KeyBound, to: &KeyBound, is_backward: bool) -> Result<Self, redb::Error> {
        // A block is under the key of its last row, so the one around the first key of the range is the first at or above it.
        let (mut edge, mut upper) = (None, Bound::Unbounded);
        if let (true, Bound::Included(end) | Bound::Excluded(end)) = (is_backward, to) {
            let above = table.range::<K::SelfType<'_>>((Bound::Included(K::from_bytes(end)), Bound::Unbounded));
            edge = above?.next().transpose()?.map(|(_, block)| block);
            upper = Bound::Excluded(end.clone());
        }
        let blocks = if is_empty::<K>(from, &upper) {
            None
        } else {
            Some(table.range::<K::SelfType<'_>>((decoded::<K>(from), decoded::<K>(&upper)))?)
        };
        Ok(Self { edge, blocks, current: None, from: from.clone(), to: to.clone(), is_backward })
    }

    /// Returns the key of the next row.
    fn peek(&mut self) -> Result<Option<&[u8]>, redb::Error> {
        while self.current.is_none() {
            let next = match (self.edge.take(), &mut self.blocks) {
                (Some(edge), _) => Some(edge),
                (None, None) => None,
                (None, Some(blocks)) => {
                    let next = if self.is_backward { blocks.next_back() } else { blocks.next() };
                    next.transpose()?.map(|(_, block)| block)
                }
            };
            let Some(block) = next else { return Ok(None) };
            let rows = self.within(&RowBlock::new(block.value()));
            match rows.is_empty() {
                false => self.current = Some((Arc::new(block), rows)),
                // The range ends before this block.
                true if !self.is_backward => self.blocks = None,
                true => {}
            }
        }
        let is_backward = self.is_backward;
        let current = self.current.as_ref();
        Ok(current
            .map(|(block, rows)| RowBlock::new(block.value()).key(if is_backward { rows.end - 1 } else { rows.start })))
    }

    /// Returns the rows of a block that are in the range.
    fn within(&self, block: &RowBlock<'_>) -> Range<usize> {
        let from = match &self.from {
            Bound::Unbounded => 0,
            Bound::Included(from) => block.partition_point(|key| K::compare(key, from).is_lt()),
            Bound::Excluded(from) => block.partition_point(|key| K::compare(key, from).is_le()),
        };
        let to = match &self.to {
            Bound::Unbounded => block.len(),
            Bound::Included(to) => block.partition_point(|key| K::compare(key, to).is_le()),
            Bound::Excluded(to) => block.partition_point(|key| K::compare(key, to).is_lt()),
        };
        from..to
    }

    /// Takes the row whose key was peeked.
    fn take<V: Value + 'static>(&mut self) -> Option<FileRow<K, V>> {
        let (block, rows) = self.current.as_mut()?;
        let row = if self.is_backward { rows.next_back() } else { rows.next() }?;
        let (key, value) = (RowPlace::key(block.clone(), row), RowPlace::value(block.clone(), row));
        if rows.start == rows.end {
            self.current = None;
        }
        Some((RowGuard::Block(key), RowGuard::Block(value)))
    }
}

/// Decodes a bound.
pub(super) fn decoded<K: Key>(bound: &KeyBound) -> Bound<K::SelfType<'_>> {
    bound.as_ref().map(|bytes| K::from_bytes(bytes))
}

/// Returns whether no key can lie between two bounds.
pub(crate) fn is_empty<K: Key>(from: &KeyBound, to: &KeyBound) -> bool {
    match (from, to) {
        (Bound::Included(from), Bound::Included(to)) => K::compare(from, to).is_gt(),
        (Bound::Included(from) | Bound::Excluded(from), Bound::Included(to) | Bound::Excluded(to)) => {
            K::compare(from, to).is_ge()
        }
        _ => false,
    }
}
