//! The tables by number: a generation keeps its tables in a list, and a record of the log names them.

use std::collections::HashMap;
use std::sync::LazyLock;

use redb::{TableDefinition, TableHandle};

use crate::store::engine::row_tree::KeyOrder;
use crate::store::schema::tables;
use crate::store::schema::tables::{RowKey, RowValue, TableVisitor};

/// The numbers and the comparisons of keys of all tables, in the order of [`tables::each`]. Numbers are valid within a process only.
pub(crate) struct TableDirectory {
    tables: Vec<(String, KeyOrder)>,
    numbers: HashMap<String, usize>,
}

impl TableDirectory {
    /// Returns the one directory of the process.
    pub(crate) fn get() -> &'static Self {
        static DIRECTORY: LazyLock<TableDirectory> = LazyLock::new(|| {
            let mut directory = TableDirectory { tables: Vec::new(), numbers: HashMap::new() };
            let Ok(()) = tables::each(&mut directory);
            directory
        });
        &DIRECTORY
    }

    /// Returns the number of a table; `None` if this program has no such table.
    pub(crate) fn number(&self, name: &str) -> Option<usize> {
        self.numbers.get(name).copied()
    }

    /// Returns the name of a table.
    pub(crate) fn name(&self, number: usize) -> &str {
        &self.tables[number].0
    }

    /// Returns the comparisons of keys of all tables.
    pub(crate) fn comparisons(&self) -> impl Iterator<Item = KeyOrder> {
        self.tables.iter().map(|(_, order)| *order)
    }

    /// Returns the number of tables.
    pub(crate) fn len(&self) -> usize {
        self.tables.len()
    }
}

impl TableVisitor for TableDirectory {
    type Error = std::convert::Infallible;

    fn visit<K: RowKey, V: RowValue>(&mut self, table: TableDefinition<'static, K, V>) -> Result<(), Self::Error> {
        self.numbers.insert(table.name().to_owned(), self.tables.len());
        self.tables.push((table.name().to_owned(), K::compare));
        Ok(())
    }
}
