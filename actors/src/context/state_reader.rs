//! The store reader that a context's state machine gets for one step.

use std::cell::RefCell;

use crate::context::state::set_cache::StateReader;
use crate::model::{ContextId, PduRef, PduStatus, ServerName, StateEntry, StateKey};
use crate::ports::{ArchiveError, StoreReaders};

/// The reads of one step. If one of them fails, the result of the step is discarded.
pub(crate) struct StoreStateReader<'a> {
    archive: &'a StoreReaders,
    context: &'a ContextId,
    failed: RefCell<Option<ArchiveError>>,
}

impl<'a> StoreStateReader<'a> {
    pub(crate) fn new(archive: &'a StoreReaders, context: &'a ContextId) -> Self {
        Self { archive, context, failed: RefCell::new(None) }
    }

    /// Returns the error of the last failed read.
    pub(crate) fn failed(self) -> Option<ArchiveError> {
        self.failed.into_inner()
    }

    fn read<T: Default>(&self, read: Result<T, ArchiveError>) -> T {
        read.unwrap_or_else(|error| {
            self.failed.replace(Some(error));
            T::default()
        })
    }
}

impl StateReader for StoreStateReader<'_> {
    fn current(&self, key: &StateKey) -> Option<StateEntry> {
        self.read(self.archive.contexts.state_holder(self.context, key))
    }

    fn set(&self, key: &StateKey) -> Vec<StateEntry> {
        self.read(self.archive.contexts.state_set(self.context, key))
    }

    fn known(&self, reference: &PduRef) -> Option<PduStatus> {
        self.read(self.archive.contexts.look_up(self.context, &[], std::slice::from_ref(reference))).remove(reference)
    }

    fn is_kept(&self, reference: &PduRef, from: &ServerName) -> bool {
        self.read(self.archive.peers.is_quarantined(self.context, reference, from))
    }
}
