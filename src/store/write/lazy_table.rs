//! A table that is opened at its first use.

use redb::{Key, Table, TableDefinition, Value, WriteTransaction};

/// A table that is opened at its first use, so that a group pays nothing for tables that it does not touch.
pub(crate) struct LazyTable<'t, K: Key + 'static, V: Value + 'static> {
    transaction: &'t WriteTransaction,
    definition: TableDefinition<'static, K, V>,
    table: Option<Table<'t, K, V>>,
}

impl<'t, K: Key + 'static, V: Value + 'static> LazyTable<'t, K, V> {
    pub(crate) fn new(transaction: &'t WriteTransaction, definition: TableDefinition<'static, K, V>) -> Self {
        Self { transaction, definition, table: None }
    }

    pub(crate) fn open(&mut self) -> Result<&mut Table<'t, K, V>, redb::Error> {
        match &mut self.table {
            Some(table) => Ok(table),
            closed => Ok(closed.insert(self.transaction.open_table(self.definition)?)),
        }
    }
}
