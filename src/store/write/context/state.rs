//! The state of contexts: candidates of a key, the current state of a key, and missing `prev_state` links.

use actors::model::{ContextId, MissingPrevState, PduRef, StateEntry, StateKey};

use crate::store::engine::group_write::GroupWrite;
use crate::store::error::RedbResult;
use crate::store::schema::codec::columns::{HolderValue, PieceValue};
use crate::store::schema::tables::{ContextPduKey, StateEntryKey};
use crate::store::schema::{codec, tables};
use crate::store::write::lazy_table::LazyTable;
use crate::store::write::writer_context::WriterContext;

/// The state of all contexts.
pub(crate) struct StateTables<'t> {
    current: LazyTable<'t, ContextPduKey, HolderValue<'static>>,
    candidates: LazyTable<'t, StateEntryKey, PieceValue<'static>>,
    links: LazyTable<'t, (&'static str, u8, &'static str, &'static str), &'static [u8]>,
}

impl<'t> StateTables<'t> {
    pub(crate) fn new(transaction: &'t GroupWrite<'t>) -> Self {
        Self {
            current: LazyTable::new(transaction, tables::STATE),
            candidates: LazyTable::new(transaction, tables::STATE_PDUS),
            links: LazyTable::new(transaction, tables::STATE_LINKS),
        }
    }

    /// Adds a candidate of a key, or replaces it.
    pub(crate) fn store_candidate(
        &mut self,
        cx: &mut WriterContext<'_>,
        context: &ContextId,
        (kind, key): &StateKey,
        piece: &StateEntry,
    ) -> RedbResult {
        let (origin, id) = (piece.reference.origin.as_str(), piece.reference.id.as_str());
        let place = (context.as_str(), &**kind, key.as_str(), origin, id);
        self.candidates.open()?.insert(place, codec::piece_to_row(piece))?;
        cx.counts.rows_written += 1;
        Ok(())
    }

    /// Replaces the current state of a key, or removes it.
    pub(crate) fn set_current(
        &mut self,
        cx: &mut WriterContext<'_>,
        context: &ContextId,
        (kind, key): &StateKey,
        current: Option<&StateEntry>,
    ) -> RedbResult {
        let place = (context.as_str(), &**kind, key.as_str());
        match current {
            Some(current) => {
                self.current.open()?.insert(place, codec::holder_to_row(current))?;
                cx.counts.rows_written += 1;
            }
            None => {
                let gone = self.current.open()?.take(place)?;
                cx.counts.rows_trimmed += u64::from(gone.is_some());
            }
        }
        Ok(())
    }

    /// Overwrites the row of a link, because a change names all keys each time. A link that is given up moves to
    /// another key.
    pub(crate) fn open_link(
        &mut self,
        cx: &mut WriterContext<'_>,
        context: &ContextId,
        link: &MissingPrevState,
    ) -> RedbResult {
        if link.given_up {
            self.remove_link(cx, context, 0, &link.missing)?;
        }
        let (origin, id) = (link.missing.origin.as_str(), link.missing.id.as_str());
        let place = (context.as_str(), u8::from(link.given_up), origin, id);
        self.links.open()?.insert(place, &codec::keys_to_row(link)[..])?;
        cx.counts.rows_written += 1;
        Ok(())
    }

    /// Removes the rows of a link.
    pub(crate) fn close_link(
        &mut self,
        cx: &mut WriterContext<'_>,
        context: &ContextId,
        missing: &PduRef,
    ) -> RedbResult {
        self.remove_link(cx, context, 0, missing)?;
        self.remove_link(cx, context, 1, missing)
    }

    fn remove_link(
        &mut self,
        cx: &mut WriterContext<'_>,
        context: &ContextId,
        given_up: u8,
        missing: &PduRef,
    ) -> RedbResult {
        let place = (context.as_str(), given_up, missing.origin.as_str(), missing.id.as_str());
        let gone = self.links.open()?.take(place)?;
        cx.counts.rows_trimmed += u64::from(gone.is_some());
        Ok(())
    }
}
