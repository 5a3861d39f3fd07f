//! A consistent view of the store: the generations in memory and the file, as one moment left them.

use std::any::Any;
use std::borrow::Borrow;
use std::ops::{Bound, RangeBounds};
use std::sync::{Arc, OnceLock};

use redb::{Key, ReadTransaction, TableDefinition, TableHandle, Value};

use crate::store::engine::file::file_range::KeyBound;
use crate::store::engine::file::file_table::FileTable;
use crate::store::engine::memtable::{Generation, MemTable, MemoryLookup};
use crate::store::engine::merged_range::{GENERATIONS, MergedRange, MergedRow};
use crate::store::engine::row_guard::RowGuard;
use crate::store::engine::row_tree::RowState;
use crate::store::engine::table_directory::TableDirectory;
use crate::store::schema::tables::{RowKey, RowValue};

/// The file as a checkpoint left it. All readers share one read transaction until the next checkpoint, with its tables once
/// they are opened.
pub(crate) struct FileSnapshot {
    transaction: ReadTransaction,
    tables: Vec<OnceLock<Box<dyn Any + Send + Sync>>>,
}

impl FileSnapshot {
    pub(crate) fn new(transaction: ReadTransaction) -> Self {
        Self { transaction, tables: (0..TableDirectory::get().len()).map(|_| OnceLock::new()).collect() }
    }

    pub(crate) fn table<K: RowKey, V: RowValue>(
        &self,
        number: usize,
        definition: TableDefinition<'static, K, V>,
    ) -> Result<&FileTable<K, V>, redb::Error> {
        let slot = &self.tables[number];
        if slot.get().is_none() {
            let opened = FileTable::open(&self.transaction, definition)?;
            // Another reader may have opened it meanwhile.
            let _ = slot.set(Box::new(opened));
        }
        let table = slot.get().and_then(|table| table.downcast_ref());
        Ok(table.expect("a name of a table stands for one type"))
    }
}

/// The store at one moment. A clone is cheap.
#[derive(Clone)]
pub(crate) struct ReadSnapshot {
    /// The rows since the last seal.
    pub(crate) active: Generation,
    /// The rows that a checkpoint is writing into the file.
    pub(crate) sealed: Option<Arc<Generation>>,
    pub(crate) file: Arc<FileSnapshot>,
}

impl ReadSnapshot {
    /// Returns a view of the file alone.
    pub(crate) fn of_file(transaction: ReadTransaction, last: u64) -> Self {
        let file = Arc::new(FileSnapshot::new(transaction));
        Self { active: Generation::empty(last), sealed: None, file }
    }

    /// Returns whether a row with this key is in memory.
    pub(crate) fn is_in_memory<K: RowKey, V: RowValue>(
        &self,
        definition: TableDefinition<'static, K, V>,
        key: &K::SelfType<'_>,
    ) -> bool {
        let (number, bytes) = (number(definition.name()), K::as_bytes(key));
        let generations = [Some(&self.active), self.sealed.as_deref()];
        let found = |generation: &Generation| generation.tables[number].get(bytes.as_ref());
        generations.into_iter().flatten().any(|generation| matches!(found(generation), MemoryLookup::Found(_)))
    }

    /// Opens a table.
    pub(crate) fn open_table<K: RowKey, V: RowValue>(
        &self,
        definition: TableDefinition<'static, K, V>,
    ) -> Result<MergedTable<'_, K, V>, redb::Error> {
        let number = number(definition.name());
        let sealed = self.sealed.as_ref().map(|sealed| &sealed.tables[number]);
        let memory = [Some(&self.active.tables[number]), sealed];
        Ok(MergedTable { memory, file: self.file.table(number, definition)? })
    }
}

/// Returns the number of a table of this program.
pub(crate) fn number(name: &str) -> usize {
    TableDirectory::get().number(name).expect("each table is visited")
}

/// A table of a view.
pub(crate) struct MergedTable<'v, K: Key + 'static, V: Value + 'static> {
    /// The generations, newest first.
    memory: [Option<&'v MemTable>; GENERATIONS],
    file: &'v FileTable<K, V>,
}

impl<'v, K: Key + 'static, V: Value + 'static> MergedTable<'v, K, V> {
    pub(crate) fn new(memory: [Option<&'v MemTable>; GENERATIONS], file: &'v FileTable<K, V>) -> Self {
        Self { memory, file }
    }

    /// Returns the part of the table that is in the file.
    pub(crate) fn file(&self) -> &'v FileTable<K, V> {
        self.file
    }

    /// Returns the value of a key.
    pub(crate) fn get<'k>(&self, key: impl Borrow<K::SelfType<'k>>) -> Result<Option<RowGuard<V>>, redb::Error> {
        let bytes = K::as_bytes(key.borrow());
        self.get_encoded(bytes.as_ref(), key.borrow())
    }

    /// Returns the value of a key that is also given encoded.
    pub(crate) fn get_encoded(&self, bytes: &[u8], key: &K::SelfType<'_>) -> Result<Option<RowGuard<V>>, redb::Error> {
        for generation in self.memory.into_iter().flatten() {
            match generation.get(bytes) {
                MemoryLookup::Found(row) => return Ok(Some(RowGuard::Value(row))),
                MemoryLookup::Removed => return Ok(None),
                MemoryLookup::Unknown => {}
            }
        }
        self.file.get(key, bytes)
    }

    /// Returns the rows of a range of keys.
    pub(crate) fn range<'k, KR: Borrow<K::SelfType<'k>> + 'k>(
        &self,
        range: impl RangeBounds<KR> + 'k,
    ) -> Result<MergedRange<'v, K, V>, redb::Error> {
        Ok(self.range_encoded(encoded::<K, KR>(range.start_bound()), encoded::<K, KR>(range.end_bound())))
    }

    fn range_encoded(&self, from: KeyBound, to: KeyBound) -> MergedRange<'v, K, V> {
        MergedRange::new(self.memory.map(|table| table.cloned()), self.file, from, to)
    }

    /// Returns all rows.
    pub(crate) fn iter(&self) -> Result<MergedRange<'v, K, V>, redb::Error> {
        Ok(self.range_encoded(Bound::Unbounded, Bound::Unbounded))
    }

    /// Returns the first row.
    pub(crate) fn first(&self) -> Result<Option<MergedRow<K, V>>, redb::Error> {
        self.iter()?.next().transpose()
    }

    /// Returns the last row.
    pub(crate) fn last(&self) -> Result<Option<MergedRow<K, V>>, redb::Error> {
        self.iter()?.newest()
    }

    /// Returns the number of rows. It looks up each row in memory, and reads what the generations removed by range.
    pub(crate) fn len(&self) -> Result<u64, redb::Error> {
        let mut rows = self.file.len()?;
        let generations: Vec<&MemTable> = self.memory.into_iter().flatten().collect();
        for (at, generation) in generations.iter().enumerate().rev() {
            let older = generations.get(at + 1).copied();
            let below = Self { memory: [older, None], file: self.file };
            for range in generation.ranges() {
                let (from, to) = (Bound::Included(range.key().to_vec()), Bound::Excluded(range.value().to_vec()));
                for row in below.range_encoded(from, to) {
                    row?;
                    rows -= 1;
                }
            }
            for row in generation.all() {
                let is_hidden = generation.removed_range(row.key()).is_some();
                let lay_below = row.state != RowState::New
                    && !is_hidden
                    && below.get_encoded(row.key(), &K::from_bytes(row.key()))?.is_some();
                match (lay_below, row.state == RowState::Removed) {
                    (true, true) => rows -= 1,
                    (false, false) => rows += 1,
                    _ => {}
                }
            }
        }
        Ok(rows)
    }
}

/// Encodes a bound of a range.
pub(crate) fn encoded<'k, K: Key + 'k, KR: Borrow<K::SelfType<'k>> + 'k>(bound: Bound<&KR>) -> KeyBound {
    bound.map(|key| K::as_bytes(key.borrow()).as_ref().to_vec())
}
