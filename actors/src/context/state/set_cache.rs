//! Reads of state: the reader that a step is given, and the cache of the sets that the step has read.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::pin::Pin;

use crate::model::{PduRef, PduStatus, ServedPdu, ServerName, StateEntry, StateKey};

/// A read of a step.
pub(crate) type StateRead<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// The reads that a step may make; like time, they are an argument. They see everything that was submitted before the
/// step. A read that fails returns nothing, and the caller then discards the result of the step.
pub trait StateReader {
    /// Returns the current state PDU of a key.
    fn current<'a>(&'a self, key: &'a StateKey) -> StateRead<'a, Option<StateEntry>>;
    /// Returns all delivered state PDUs of a key.
    fn set<'a>(&'a self, key: &'a StateKey) -> StateRead<'a, Vec<StateEntry>>;
    /// Returns the status of a PDU.
    fn known<'a>(&'a self, reference: &'a PduRef) -> StateRead<'a, Option<PduStatus>>;
    /// Returns whether the PDU is in quarantine, as sent by this server, because its origin is not a participant.
    fn is_kept<'a>(&'a self, reference: &'a PduRef, from: &'a ServerName) -> StateRead<'a, bool>;
    /// Returns a stored PDU; what was submitted is on disk first.
    fn stored<'a>(&'a self, reference: &'a PduRef) -> StateRead<'a, Option<ServedPdu>>;
    /// Returns the reason for which an item of this size cannot be queued for a server; `None`: it can.
    fn shut(&self, server: &ServerName, bytes: usize) -> Option<&'static str>;
}

/// The state PDUs of the keys that a step uses: as stored, with the changes of the step.
#[derive(Default)]
pub(crate) struct StateSetCache {
    pub(crate) read: HashMap<StateKey, BTreeMap<PduRef, StateEntry>>,
    /// State PDUs of this step, for keys that have not been read.
    pub(crate) kept: HashMap<StateKey, Vec<StateEntry>>,
}

impl StateSetCache {
    pub(crate) async fn of(&mut self, reads: &dyn StateReader, key: &StateKey) -> &mut BTreeMap<PduRef, StateEntry> {
        match self.read.entry(key.clone()) {
            Entry::Occupied(read) => read.into_mut(),
            Entry::Vacant(unread) => {
                let kept = self.kept.remove(key).unwrap_or_default();
                let set = reads.set(key).await.into_iter().chain(kept);
                unread.insert(set.map(|piece| (piece.reference.clone(), piece)).collect())
            }
        }
    }

    pub(crate) fn keep(&mut self, key: &StateKey, piece: StateEntry) {
        match self.read.get_mut(key) {
            Some(set) => drop(set.insert(piece.reference.clone(), piece)),
            None => self.kept.entry(key.clone()).or_default().push(piece),
        }
    }
}
