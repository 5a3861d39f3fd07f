//! The store reader that a context's state machine gets for one step.

use std::cell::RefCell;

use crate::context::keys::Reads;
use crate::model::{ContextId, Known, PduRef, ServerName, StateKey, StatePiece};
use crate::ports::{Archive, ArchiveError};

/// The reads of one step. If one of them fails, the result of the step is discarded.
pub(super) struct Disk<'a> {
    archive: &'a dyn Archive,
    context: &'a ContextId,
    failed: RefCell<Option<ArchiveError>>,
}

impl<'a> Disk<'a> {
    pub(super) fn new(archive: &'a dyn Archive, context: &'a ContextId) -> Self {
        Self { archive, context, failed: RefCell::new(None) }
    }

    /// Returns the error of the last failed read.
    pub(super) fn failed(self) -> Option<ArchiveError> {
        self.failed.into_inner()
    }

    fn read<T: Default>(&self, read: Result<T, ArchiveError>) -> T {
        read.unwrap_or_else(|error| {
            self.failed.replace(Some(error));
            T::default()
        })
    }
}

impl Reads for Disk<'_> {
    fn holder(&self, key: &StateKey) -> Option<StatePiece> {
        self.read(self.archive.state_holder(self.context, key))
    }

    fn set(&self, key: &StateKey) -> Vec<StatePiece> {
        self.read(self.archive.state_set(self.context, key))
    }

    fn known(&self, reference: &PduRef) -> Option<Known> {
        self.read(self.archive.look_up(self.context, &[], std::slice::from_ref(reference))).remove(reference)
    }

    fn is_kept(&self, reference: &PduRef, from: &ServerName) -> bool {
        self.read(self.archive.is_kept(self.context, reference, from))
    }
}
