//! The rows of a range in one direction, merged from the generations in memory and the file.

use std::cmp::Ordering;
use std::ops::Bound;

use redb::{Key, Value};

use crate::store::engine::file::file_range::{FileRange, FileRow, KeyBound, is_empty};
use crate::store::engine::file::file_table::FileTable;
use crate::store::engine::memtable::MemTable;
use crate::store::engine::row_guard::RowGuard;
use crate::store::engine::row_tree::{Row, RowCursor, RowState};

/// Maximum number of generations: the one that is written, and the one that a checkpoint writes into the file.
pub(crate) const GENERATIONS: usize = 2;

/// A row of a table.
pub(crate) type MergedRow<K, V> = (RowGuard<K>, RowGuard<V>);

/// The rows of a range, in ascending order unless reversed.
pub(crate) struct MergedRange<'v, K: Key + 'static, V: Value + 'static> {
    /// The generations, newest first.
    memory: [Option<MemoryLayer>; GENERATIONS],
    table: &'v FileTable<K, V>,
    file: FileLayer<K, V>,
    from: KeyBound,
    to: KeyBound,
    is_backward: bool,
    has_begun: bool,
}

/// The rows of one generation.
struct MemoryLayer {
    table: MemTable,
    cursor: Option<RowCursor>,
    next: Option<Row>,
}

/// The rows of the file.
struct FileLayer<K: Key + 'static, V: Value + 'static> {
    rows: Option<FileRange<K, V>>,
    next: Option<ReadRow<K, V>>,
}

struct ReadRow<K: Key + 'static, V: Value + 'static> {
    /// The encoded key; empty if no generation has rows in the range.
    bytes: Vec<u8>,
    row: FileRow<K, V>,
}

impl<'v, K: Key + 'static, V: Value + 'static> MergedRange<'v, K, V> {
    pub(crate) fn new(
        generations: [Option<MemTable>; GENERATIONS],
        table: &'v FileTable<K, V>,
        from: KeyBound,
        to: KeyBound,
    ) -> Self {
        let memory = generations.map(|table| {
            let table = table.filter(|table| !table.is_empty())?;
            Some(MemoryLayer { table, cursor: None, next: None })
        });
        let file = FileLayer { rows: None, next: None };
        Self { memory, table, file, from, to, is_backward: false, has_begun: false }
    }

    /// Returns the rows in descending order. It must be called before the first row is taken.
    pub(crate) fn rev(mut self) -> Self {
        debug_assert!(!self.has_begun, "a range has one direction");
        self.is_backward = true;
        self
    }

    /// Returns the last row of the range.
    pub(crate) fn newest(self) -> Result<Option<MergedRow<K, V>>, redb::Error> {
        self.rev().next().transpose()
    }

    fn begin(&mut self) -> Result<(), redb::Error> {
        self.has_begun = true;
        if is_empty::<K>(&self.from, &self.to) {
            self.memory = [None, None];
            return Ok(());
        }
        for layer in self.memory.iter_mut().flatten() {
            layer.cursor = Some(if self.is_backward {
                RowCursor::backward(&layer.table.rows, as_slice(&self.to))
            } else {
                RowCursor::forward(&layer.table.rows, as_slice(&self.from))
            });
        }
        self.file.rows = Some(self.table.range(&self.from, &self.to, self.is_backward)?);
        Ok(())
    }

    /// Reads the next row of each layer that has none at hand.
    fn fill(&mut self) -> Result<(), redb::Error> {
        let (is_backward, end) = (self.is_backward, if self.is_backward { &self.from } else { &self.to });
        let mut has_memory = false;
        for layer in self.memory.iter_mut().flatten() {
            if layer.next.is_none() {
                layer.next = layer.cursor.as_mut().and_then(Iterator::next);
                if layer.next.as_ref().is_some_and(|row| is_beyond::<K>(row.key(), end, is_backward)) {
                    (layer.next, layer.cursor) = (None, None);
                }
            }
            has_memory |= layer.next.is_some() || !layer.table.removed.is_empty();
        }
        let FileLayer { rows, next } = &mut self.file;
        if next.is_none()
            && let Some(range) = rows
        {
            *next = range.next()?.map(|row| ReadRow { bytes: Vec::new(), row });
            if next.is_none() {
                *rows = None;
            }
        }
        if has_memory
            && let Some(row) = next
            && row.bytes.is_empty()
        {
            row.bytes = K::as_bytes(&row.row.0.value()).as_ref().to_vec();
        }
        Ok(())
    }

    /// Returns the layer of the next row; the number of generations stands for the file.
    fn nearest(&self) -> Option<usize> {
        let mut nearest: Option<(usize, &[u8])> = None;
        let memory = self.memory.iter().map(|layer| layer.as_ref()?.next.as_ref().map(Row::key));
        let file = self.file.next.as_ref().map(|row| &*row.bytes);
        for (layer, key) in memory.chain([file]).enumerate() {
            let Some(key) = key else { continue };
            let is_nearer = nearest.is_none_or(|(_, best)| {
                let order = K::compare(key, best);
                if self.is_backward { order.is_gt() } else { order.is_lt() }
            });
            if is_nearer {
                nearest = Some((layer, key));
            }
        }
        nearest.map(|(layer, _)| layer)
    }

    /// Drops the rows of older layers with this key.
    fn pass(&mut self, layer: usize, key: &[u8]) {
        for older in self.memory[(layer + 1).min(GENERATIONS)..].iter_mut().flatten() {
            older.next.take_if(|row| K::compare(row.key(), key).is_eq());
        }
        self.file.next.take_if(|row| K::compare(&row.bytes, key).is_eq());
    }

    /// Returns the range that a newer generation has removed around the next row of this layer, and that generation.
    fn hidden(&self, layer: usize) -> Option<(usize, Row)> {
        let key = match self.memory.get(layer) {
            Some(memory) => memory.as_ref()?.next.as_ref()?.key(),
            None => &self.file.next.as_ref()?.bytes,
        };
        self.memory[..layer].iter().enumerate().find_map(|(newer, memory)| {
            let memory = memory.as_ref().filter(|memory| !memory.table.removed.is_empty())?;
            memory.table.removed_range(key).map(|range| (newer, range))
        })
    }

    /// Moves all layers that are older than `newer` behind a range.
    fn skip(&mut self, newer: usize, range: &Row) -> Result<(), redb::Error> {
        let behind = if self.is_backward { Bound::Excluded(range.key()) } else { Bound::Included(range.value()) };
        let is_within =
            |row: &Row| K::compare(range.key(), row.key()).is_le() && K::compare(row.key(), range.value()).is_lt();
        for older in self.memory[newer + 1..].iter_mut().flatten() {
            if older.next.take_if(|row| is_within(row)).is_some()
                && let Some(cursor) = &mut older.cursor
            {
                cursor.seek(behind);
            }
        }
        let is_within =
            |bytes: &[u8]| K::compare(range.key(), bytes).is_le() && K::compare(bytes, range.value()).is_lt();
        if self.file.next.take_if(|row| is_within(&row.bytes)).is_some() {
            let behind = behind.map(<[u8]>::to_vec);
            let (from, to) = if self.is_backward { (&self.from, &behind) } else { (&behind, &self.to) };
            let rest = !is_empty::<K>(from, to);
            self.file.rows = if rest { Some(self.table.range(from, to, self.is_backward)?) } else { None };
        }
        Ok(())
    }

    fn step(&mut self) -> Result<Option<MergedRow<K, V>>, redb::Error> {
        if !self.has_begun {
            self.begin()?;
        }
        loop {
            self.fill()?;
            let Some(layer) = self.nearest() else { return Ok(None) };
            if let Some((newer, range)) = self.hidden(layer) {
                self.skip(newer, &range)?;
                continue;
            }
            let Some(memory) = self.memory.get_mut(layer) else {
                let row = self.file.next.take();
                return Ok(row.map(|row| row.row));
            };
            let Some(row) = memory.as_mut().and_then(|memory| memory.next.take()) else { return Ok(None) };
            self.pass(layer, row.key());
            if row.state != RowState::Removed {
                return Ok(Some((RowGuard::Key(row.clone()), RowGuard::Value(row))));
            }
        }
    }
}

impl<K: Key + 'static, V: Value + 'static> Iterator for MergedRange<'_, K, V> {
    type Item = Result<MergedRow<K, V>, redb::Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}

fn as_slice(bound: &KeyBound) -> Bound<&[u8]> {
    bound.as_ref().map(Vec::as_slice)
}

fn is_beyond<K: Key>(key: &[u8], end: &KeyBound, is_backward: bool) -> bool {
    let beyond = if is_backward { Ordering::Less } else { Ordering::Greater };
    match end {
        Bound::Included(end) => K::compare(key, end) == beyond,
        Bound::Excluded(end) => matches!(K::compare(key, end), order if order == beyond || order.is_eq()),
        Bound::Unbounded => false,
    }
}
