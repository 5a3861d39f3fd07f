//! A table that is opened at its first use.

use redb::TableDefinition;

use crate::store::engine::group_write::{GroupWrite, WriteTable};
use crate::store::schema::tables::{RowKey, RowValue};

/// A table that is opened at its first use, so that a group pays nothing for tables that it does not touch.
pub(crate) struct LazyTable<'t, K: RowKey, V: RowValue> {
    write: &'t GroupWrite<'t>,
    definition: TableDefinition<'static, K, V>,
    table: Option<WriteTable<'t, K, V>>,
}

impl<'t, K: RowKey, V: RowValue> LazyTable<'t, K, V> {
    pub(crate) fn new(write: &'t GroupWrite<'t>, definition: TableDefinition<'static, K, V>) -> Self {
        Self { write, definition, table: None }
    }

    pub(crate) fn open(&mut self) -> Result<&mut WriteTable<'t, K, V>, redb::Error> {
        match &mut self.table {
            Some(table) => Ok(table),
            closed => Ok(closed.insert(self.write.open_table(self.definition)?)),
        }
    }
}
