//! A key or a value that was read, from memory or from the file.

use redb::{AccessGuard, Value};

use crate::store::engine::file::row_place::RowPlace;
use crate::store::engine::row_tree::Row;

/// A key or a value that was read. It does not borrow from the table.
pub(crate) enum RowGuard<T: Value + 'static> {
    /// The key of a row in memory.
    Key(Row),
    /// The value of a row in memory.
    Value(Row),
    /// A key or a value in the file.
    File(AccessGuard<'static, T>),
    /// A key or a value in a block of the file.
    Block(RowPlace),
}

impl<T: Value + 'static> RowGuard<T> {
    /// Decodes it.
    pub(crate) fn value(&self) -> T::SelfType<'_> {
        match self {
            Self::Key(row) => T::from_bytes(row.key()),
            Self::Value(row) => T::from_bytes(row.value()),
            Self::File(guard) => guard.value(),
            Self::Block(place) => T::from_bytes(place.bytes()),
        }
    }
}
