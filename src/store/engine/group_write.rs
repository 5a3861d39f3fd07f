//! The tables as a group writes them: what it has written so far, over the generations and the file.

use std::borrow::Borrow;
use std::cell::{Cell, RefCell};
use std::ops::RangeBounds;
use std::sync::Arc;

use redb::{Key, TableDefinition, TableHandle, Value};

use crate::store::engine::file::file_table::FileTable;
use crate::store::engine::log::log_record::{RecordBuilder, RowOperation};
use crate::store::engine::memtable::{Generation, MemTable};
use crate::store::engine::merged_range::{MergedRange, MergedRow};
use crate::store::engine::read_snapshot::{MergedTable, ReadSnapshot, encoded, number};
use crate::store::engine::row_guard::RowGuard;
use crate::store::schema::tables::{RowKey, RowValue};

/// The generation that is written: that of the readers, and in addition what the group in progress has written.
#[derive(Debug)]
pub(crate) struct WorkingGeneration {
    tables: Vec<RefCell<MemTable>>,
    bytes: Cell<isize>,
    record: RefCell<RecordBuilder>,
}

impl WorkingGeneration {
    pub(crate) fn new() -> Self {
        let tables = Generation::no_rows().into_iter().map(RefCell::new).collect();
        Self { tables, bytes: Cell::new(0), record: RefCell::new(RecordBuilder::new()) }
    }

    /// Returns the operations of the group in progress.
    pub(crate) fn record(&mut self) -> &mut RecordBuilder {
        self.record.get_mut()
    }

    /// Returns a snapshot.
    pub(crate) fn snapshot(&self, last: u64) -> Generation {
        Generation { tables: self.tables.iter().map(|table| table.borrow().clone()).collect(), last }
    }

    /// Returns the bytes that its rows occupy.
    pub(crate) fn bytes(&self) -> u64 {
        u64::try_from(self.bytes.get()).unwrap_or(0)
    }

    /// Begins a generation without rows, and gives back what a large group needed.
    pub(crate) fn clear(&mut self) {
        self.tables = Generation::no_rows().into_iter().map(RefCell::new).collect();
        self.bytes.set(0);
        self.record.get_mut().shrink();
    }

    fn change(&self, table: usize, operation: RowOperation<'_>, change: impl FnOnce(&mut MemTable) -> isize) {
        self.record.borrow_mut().add(table, operation);
        let grown = change(&mut self.tables[table].borrow_mut());
        self.bytes.set(self.bytes.get() + grown);
    }
}

/// A group that is being written.
pub(crate) struct GroupWrite<'w> {
    working: &'w WorkingGeneration,
    below: Arc<ReadSnapshot>,
}

impl<'w> GroupWrite<'w> {
    pub(crate) fn new(working: &'w WorkingGeneration, below: Arc<ReadSnapshot>) -> Self {
        Self { working, below }
    }

    /// Opens a table.
    pub(crate) fn open_table<K: RowKey, V: RowValue>(
        &self,
        definition: TableDefinition<'static, K, V>,
    ) -> Result<WriteTable<'_, K, V>, redb::Error> {
        let number = number(definition.name());
        let sealed = self.below.sealed.as_ref().map(|sealed| &sealed.tables[number]);
        Ok(WriteTable { working: self.working, number, sealed, file: self.below.file.table(number, definition)? })
    }
}

/// A table that a group writes.
pub(crate) struct WriteTable<'t, K: Key + 'static, V: Value + 'static> {
    working: &'t WorkingGeneration,
    number: usize,
    sealed: Option<&'t MemTable>,
    file: &'t FileTable<K, V>,
}

impl<'t, K: Key + 'static, V: Value + 'static> WriteTable<'t, K, V> {
    fn merged<T>(&self, read: impl FnOnce(MergedTable<'_, K, V>) -> T) -> T {
        let written = self.working.tables[self.number].borrow();
        read(MergedTable::new([Some(&*written), self.sealed], self.file))
    }

    /// Returns the value of a key.
    pub(crate) fn get<'k>(&self, key: impl Borrow<K::SelfType<'k>>) -> Result<Option<RowGuard<V>>, redb::Error> {
        self.merged(|table| table.get(key))
    }

    /// Returns the rows of a range of keys, as they are now.
    pub(crate) fn range<'k, KR: Borrow<K::SelfType<'k>> + 'k>(
        &self,
        range: impl RangeBounds<KR> + 'k,
    ) -> Result<MergedRange<'t, K, V>, redb::Error> {
        let written = self.working.tables[self.number].borrow().clone();
        let (from, to) = (encoded::<K, KR>(range.start_bound()), encoded::<K, KR>(range.end_bound()));
        Ok(MergedRange::new([Some(written), self.sealed.cloned()], self.file, from, to))
    }

    /// Returns the first row.
    pub(crate) fn first(&self) -> Result<Option<MergedRow<K, V>>, redb::Error> {
        self.range::<K::SelfType<'_>>(..)?.next().transpose()
    }

    /// Returns the last row.
    pub(crate) fn last(&self) -> Result<Option<MergedRow<K, V>>, redb::Error> {
        self.range::<K::SelfType<'_>>(..)?.newest()
    }

    /// Returns the number of rows. It looks up each row in memory.
    pub(crate) fn len(&self) -> Result<u64, redb::Error> {
        self.merged(|table| table.len())
    }

    fn put(&mut self, key: &[u8], value: &V::SelfType<'_>, is_new: bool) {
        let value = V::as_bytes(value);
        let value = value.as_ref();
        let operation = RowOperation::Put { key, value, is_new };
        self.working.change(self.number, operation, |table| table.put(key, value, is_new));
    }

    /// Writes a row.
    pub(crate) fn insert<'k, 'v>(
        &mut self,
        key: impl Borrow<K::SelfType<'k>>,
        value: impl Borrow<V::SelfType<'v>>,
    ) -> Result<(), redb::Error> {
        self.put(K::as_bytes(key.borrow()).as_ref(), value.borrow(), false);
        Ok(())
    }

    /// Writes a row whose key no row has. If it is removed before the next checkpoint, it leaves no trace.
    pub(crate) fn append<'k, 'v>(
        &mut self,
        key: impl Borrow<K::SelfType<'k>>,
        value: impl Borrow<V::SelfType<'v>>,
    ) -> Result<(), redb::Error> {
        self.put(K::as_bytes(key.borrow()).as_ref(), value.borrow(), true);
        Ok(())
    }

    /// Writes a row, and returns the value that the key had.
    pub(crate) fn replace<'k, 'v>(
        &mut self,
        key: impl Borrow<K::SelfType<'k>>,
        value: impl Borrow<V::SelfType<'v>>,
    ) -> Result<Option<RowGuard<V>>, redb::Error> {
        let bytes = K::as_bytes(key.borrow());
        let before = self.merged(|table| table.get_encoded(bytes.as_ref(), key.borrow()))?;
        self.put(bytes.as_ref(), value.borrow(), before.is_none());
        Ok(before)
    }

    fn delete(&mut self, key: &[u8]) {
        self.working.change(self.number, RowOperation::Remove { key }, |table| table.remove(key));
    }

    /// Removes the row of a key, whether or not there is one.
    pub(crate) fn remove<'k>(&mut self, key: impl Borrow<K::SelfType<'k>>) -> Result<(), redb::Error> {
        self.delete(K::as_bytes(key.borrow()).as_ref());
        Ok(())
    }

    /// Removes the row of a key, and returns its value.
    pub(crate) fn take<'k>(&mut self, key: impl Borrow<K::SelfType<'k>>) -> Result<Option<RowGuard<V>>, redb::Error> {
        let bytes = K::as_bytes(key.borrow());
        let before = self.merged(|table| table.get_encoded(bytes.as_ref(), key.borrow()))?;
        if before.is_some() {
            self.delete(bytes.as_ref());
        }
        Ok(before)
    }

    /// Removes the rows from a key to before another, however many there are.
    pub(crate) fn remove_range<'k>(
        &mut self,
        from: impl Borrow<K::SelfType<'k>>,
        to: impl Borrow<K::SelfType<'k>>,
    ) -> Result<(), redb::Error> {
        let (from, to) = (K::as_bytes(from.borrow()), K::as_bytes(to.borrow()));
        let (from, to) = (from.as_ref(), to.as_ref());
        let operation = RowOperation::RemoveRange { from, to };
        self.working.change(self.number, operation, |table| table.remove_range(from, to));
        Ok(())
    }

    /// Removes the first row.
    pub(crate) fn pop_first(&mut self) -> Result<Option<MergedRow<K, V>>, redb::Error> {
        let first = self.first()?;
        if let Some((key, _)) = &first {
            self.delete(K::as_bytes(&key.value()).as_ref());
        }
        Ok(first)
    }
}
