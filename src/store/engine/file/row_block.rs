//! The encoding of rows that the file stores together: one value of the file holds many rows in the order of their keys.
//!
//! ```text
//! number of rows  4    for each row: end of its key  4, end of its value  4    keys and values ...
//! ```
//! Numbers are little-endian; the ends count from the first key.

use std::ops::Range;

use crate::store::engine::row_tree::KeyOrder;

/// Bytes of the number of rows.
const COUNT: usize = 4;

/// Bytes of the two ends of a row.
const ENDS: usize = 8;

/// The bytes that a full block has at most, unless one row is larger. A page of the engine has a power of two of bytes and holds
/// the key of the block as well. The model test has few rows, so its blocks are small.
pub(crate) const BLOCK_BYTES: usize = if cfg!(test) { 256 } else { (32 << 10) - 512 };

/// The rows of a block. It trusts the bytes, whose checksum is that of their page.
#[derive(Clone, Copy)]
pub(crate) struct RowBlock<'a>(&'a [u8]);

impl<'a> RowBlock<'a> {
    /// Reads a block.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn number(&self, at: usize) -> usize {
        let bytes = self.0[at..at + 4].try_into().expect("four bytes");
        u32::from_le_bytes(bytes) as usize
    }

    /// Returns the number of rows, which is at least one.
    pub(crate) fn len(&self) -> usize {
        self.number(0)
    }

    /// Returns the places of the key and the value of a row in the bytes of the block.
    pub(crate) fn places(&self, row: usize) -> (Range<usize>, Range<usize>) {
        let base = COUNT + ENDS * self.len();
        let ends = |row: usize| (self.number(COUNT + ENDS * row), self.number(COUNT + ENDS * row + 4));
        let start = row.checked_sub(1).map_or(0, |before| ends(before).1);
        let (key, value) = ends(row);
        (base + start..base + key, base + key..base + value)
    }

    /// Returns the encoded key of a row.
    pub(crate) fn key(&self, row: usize) -> &'a [u8] {
        &self.0[self.places(row).0]
    }

    /// Returns the encoded value of a row.
    pub(crate) fn value(&self, row: usize) -> &'a [u8] {
        &self.0[self.places(row).1]
    }

    /// Returns the key of the first row.
    pub(crate) fn first(&self) -> &'a [u8] {
        self.key(0)
    }

    /// Returns the key of the last row.
    pub(crate) fn last(&self) -> &'a [u8] {
        self.key(self.len() - 1)
    }

    /// Returns the number of rows at the beginning for whose keys `is_before` holds.
    pub(crate) fn partition_point(&self, is_before: impl Fn(&[u8]) -> bool) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if is_before(self.key(middle)) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// Returns the row with this key.
    pub(crate) fn find(&self, key: &[u8], order: KeyOrder) -> Option<usize> {
        let row = self.partition_point(|other| order(other, key).is_lt());
        (row < self.len() && order(self.key(row), key).is_eq()).then_some(row)
    }
}

/// A block that is being built from rows in the order of their keys.
#[derive(Debug, Default)]
pub(crate) struct BlockBuilder {
    ends: Vec<u8>,
    rows: Vec<u8>,
    /// Place of the last key among the rows.
    last: Range<usize>,
    block: Vec<u8>,
}

impl BlockBuilder {
    /// Returns whether the block would be too large with a row of these parts.
    pub(crate) fn is_full(&self, key: &[u8], value: &[u8]) -> bool {
        let size = COUNT + self.ends.len() + ENDS + self.rows.len() + key.len() + value.len();
        !self.ends.is_empty() && size > BLOCK_BYTES
    }

    /// Adds a row behind the others.
    pub(crate) fn add(&mut self, key: &[u8], value: &[u8]) {
        let from = self.rows.len();
        self.rows.extend_from_slice(key);
        self.last = from..self.rows.len();
        self.note_end();
        self.rows.extend_from_slice(value);
        self.note_end();
    }

    fn note_end(&mut self) {
        let end = u32::try_from(self.rows.len()).expect("a block has less than 4 GiB");
        self.ends.extend_from_slice(&end.to_le_bytes());
    }

    /// Returns the key of the last row and the block; nothing if it has no row.
    pub(crate) fn finished(&mut self) -> Option<(&[u8], &[u8])> {
        if self.ends.is_empty() {
            return None;
        }
        let count = u32::try_from(self.ends.len() / ENDS).expect("a block has less than 4 Gi rows");
        self.block.clear();
        self.block.extend_from_slice(&count.to_le_bytes());
        self.block.extend_from_slice(&self.ends);
        self.block.extend_from_slice(&self.rows);
        Some((&self.rows[self.last.clone()], &self.block))
    }

    /// Begins the next block.
    pub(crate) fn clear(&mut self) {
        self.ends.clear();
        self.rows.clear();
    }
}
