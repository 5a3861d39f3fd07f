//! Writes the changes of state: candidates of a key, the current state of a key, and missing `prev_state` links.

use actors::model::{ContextId, FeedFlags, MissingPrevState, PduRef, StateEntry, StateKey};

use crate::store::error::RedbResult;
use crate::store::schema::codec;
use crate::store::write::apply::WriteBatch;

impl WriteBatch<'_> {
    pub(crate) fn state_kept(&mut self, context: &ContextId, (kind, key): &StateKey, piece: &StateEntry) -> RedbResult {
        let (origin, id) = (piece.reference.origin.as_str(), piece.reference.id.as_str());
        let place = (context.as_str(), &**kind, key.as_str(), origin, id);
        self.state_pdus.open()?.insert(place, codec::piece_to_row(piece))?;
        self.counts.rows_written += 1;
        Ok(())
    }

    pub(crate) fn state_moved(
        &mut self,
        context: &ContextId,
        (kind, key): &StateKey,
        current: Option<&StateEntry>,
    ) -> RedbResult {
        let place = (context.as_str(), &**kind, key.as_str());
        match current {
            Some(current) => {
                self.state.open()?.insert(place, codec::holder_to_row(current))?;
                self.counts.rows_written += 1;
            }
            None => {
                let gone = self.state.open()?.remove(place)?;
                self.counts.rows_trimmed += u64::from(gone.is_some());
            }
        }
        Ok(())
    }

    pub(crate) fn state_again(&mut self, reference: &PduRef) -> RedbResult {
        let shown = FeedFlags { current: true, again: true, ..FeedFlags::default() };
        self.append_feed(&codec::shown_to_row(reference, &shown))
    }

    /// Overwrites the row of a link, because a change names all keys each time. A link that is given up moves to
    /// another key.
    pub(crate) fn link_opened(&mut self, context: &ContextId, link: &MissingPrevState) -> RedbResult {
        if link.given_up {
            self.remove_link(context, 0, &link.missing)?;
        }
        let (origin, id) = (link.missing.origin.as_str(), link.missing.id.as_str());
        let place = (context.as_str(), u8::from(link.given_up), origin, id);
        self.state_links.open()?.insert(place, &codec::keys_to_row(link)[..])?;
        self.counts.rows_written += 1;
        Ok(())
    }

    pub(crate) fn link_closed(&mut self, context: &ContextId, missing: &PduRef) -> RedbResult {
        self.remove_link(context, 0, missing)?;
        self.remove_link(context, 1, missing)
    }

    fn remove_link(&mut self, context: &ContextId, given_up: u8, missing: &PduRef) -> RedbResult {
        let place = (context.as_str(), given_up, missing.origin.as_str(), missing.id.as_str());
        let gone = self.state_links.open()?.remove(place)?;
        self.counts.rows_trimmed += u64::from(gone.is_some());
        Ok(())
    }
}
