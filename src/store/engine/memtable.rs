//! The rows of a generation: what was written since the generation before it was sealed, table by table.

use std::ops::Bound;
use std::sync::Arc;

use crate::store::engine::row_tree::{KeyOrder, Row, RowCursor, RowState, RowTree};
use crate::store::engine::table_directory::TableDirectory;

/// The rows of one table in a generation, and the ranges of keys that the generation removed below it.
#[derive(Debug, Clone)]
pub(crate) struct MemTable {
    pub(crate) rows: RowTree,
    /// First key of a removed range -> key after the range. Ranges do not overlap. They hide older rows only: a row of this
    /// table within a range was written after it.
    pub(crate) removed: RowTree,
}

/// The answer of a generation about a key.
#[derive(Debug)]
pub(crate) enum MemoryLookup {
    /// The generation has the row.
    Found(Row),
    /// The generation removed the row.
    Removed,
    /// The generation knows nothing of the row.
    Unknown,
}

impl MemTable {
    pub(crate) fn new(order: KeyOrder) -> Self {
        Self { rows: RowTree::new(order), removed: RowTree::new(order) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.removed.is_empty()
    }

    pub(crate) fn get(&self, key: &[u8]) -> MemoryLookup {
        match self.rows.get(key) {
            Some(row) if row.state == RowState::Removed => MemoryLookup::Removed,
            Some(row) => MemoryLookup::Found(row.clone()),
            None if self.removed_range(key).is_some() => MemoryLookup::Removed,
            None => MemoryLookup::Unknown,
        }
    }

    /// Returns the removed range around a key: a row with the first key of the range and, as its value, the key after it.
    pub(crate) fn removed_range(&self, key: &[u8]) -> Option<Row> {
        self.removed.at_or_before(key).filter(|range| self.rows.order()(key, range.value()).is_lt())
    }

    /// Writes a row. `is_new`: the caller knows that no row with this key can be seen. Returns by how many bytes the table
    /// grew.
    pub(crate) fn put(&mut self, key: &[u8], value: &[u8], is_new: bool) -> isize {
        let row = Row::new(key, value, if is_new { RowState::New } else { RowState::Written });
        let size = row.size() as isize;
        let Some(before) = self.rows.insert(row) else { return size };
        if (before.state == RowState::New) != is_new {
            // Only the first row with a key knows what lies below.
            let state = if before.state == RowState::New { RowState::New } else { RowState::Written };
            self.rows.insert(Row::new(key, value, state));
        }
        size - before.size() as isize
    }

    /// Removes a row. Returns by how many bytes the table grew.
    pub(crate) fn remove(&mut self, key: &[u8]) -> isize {
        let is_alone = match self.rows.get(key) {
            Some(row) => row.state == RowState::New || self.removed_range(key).is_some(),
            None => self.removed_range(key).is_some(),
        };
        if is_alone {
            return self.rows.remove(key).map_or(0, |row| -(row.size() as isize));
        }
        let gone = Row::new(key, &[], RowState::Removed);
        let size = gone.size() as isize;
        size - self.rows.insert(gone).map_or(0, |row| row.size() as isize)
    }

    /// Removes all rows from `from` to before `to`. Returns by how many bytes the table grew.
    pub(crate) fn remove_range(&mut self, from: &[u8], to: &[u8]) -> isize {
        let order = self.rows.order();
        if order(from, to).is_ge() {
            return 0;
        }
        let mut grown = -(self.rows.remove_range(from, to) as isize);
        // Ranges that touch are joined, so that a queue which is trimmed again and again has one.
        let (mut first, mut end) = (from.to_vec(), to.to_vec());
        while let Some(other) = self.removed.at_or_before(&end) {
            if order(other.value(), &first).is_lt() {
                break;
            }
            if order(other.key(), &first).is_lt() {
                first = other.key().to_vec();
            }
            if order(other.value(), &end).is_gt() {
                end = other.value().to_vec();
            }
            self.removed.remove(other.key());
            grown -= other.size() as isize;
        }
        let range = Row::new(&first, &end, RowState::Written);
        grown += range.size() as isize;
        self.removed.insert(range);
        grown
    }

    /// Returns all rows, those that are marked as removed among them.
    pub(crate) fn all(&self) -> RowCursor {
        RowCursor::forward(&self.rows, Bound::Unbounded)
    }

    /// Returns the removed ranges.
    pub(crate) fn ranges(&self) -> RowCursor {
        RowCursor::forward(&self.removed, Bound::Unbounded)
    }
}

/// The rows of all tables that were written since the generation before. A clone is a snapshot.
#[derive(Debug, Clone)]
pub(crate) struct Generation {
    pub(crate) tables: Arc<[MemTable]>,
    /// Number of the last group in it.
    pub(crate) last: u64,
}

impl Generation {
    /// Returns a generation without rows.
    pub(crate) fn empty(last: u64) -> Self {
        Self { tables: Self::no_rows().into(), last }
    }

    /// Returns the tables of a generation without rows.
    pub(crate) fn no_rows() -> Vec<MemTable> {
        TableDirectory::get().comparisons().map(MemTable::new).collect()
    }
}
