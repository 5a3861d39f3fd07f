//! State changes and quarantined PDUs that are submitted and not committed yet: reads consult them beside the rows.
//!
//! As with claims, a commit is visible to readers before its changes are removed here, and a read holds the lock. So
//! what is neither here nor in the rows does not exist. The size is bounded by the requests that contexts have in
//! progress.

use std::collections::HashMap;

use actors::change::Change;
use actors::model::{ContextId, PduRef, ServerName, StateEntry, StateKey};
use parking_lot::{Mutex, MutexGuard};

use crate::store::write::peer::non_participants::stranger;

/// The subject of a change.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum SubmissionPlace {
    /// A state key of a context.
    Key(ContextId, StateKey),
    /// A PDU of a non-participant, as this server sent it.
    Stranger(ContextId, PduRef, ServerName),
}

/// A change of the subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum UncommittedChange {
    /// A candidate of the key was recorded.
    Kept(StateEntry),
    /// The current state of the key has changed.
    Holder(Option<StateEntry>),
    /// The PDU was quarantined.
    Parked,
}

type Moves = HashMap<SubmissionPlace, Vec<UncommittedChange>>;

/// The changes that are not in the rows yet, oldest first for each subject.
#[derive(Debug, Default)]
pub(crate) struct UncommittedState(Mutex<Moves>);

impl UncommittedState {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Moves> {
        // A poisoned lock is safe to use: each change is one call on the map, so a panic elsewhere cannot have left it
        // half done.
        self.0.lock()
    }

    /// Records the changes of a batch. It must be called before the batch can be committed.
    pub(crate) fn handed_over(&self, changes: &[Change]) {
        let mut moves = moves(changes).peekable();
        if moves.peek().is_some() {
            let mut under_way = self.lock();
            moves.for_each(|(place, one)| under_way.entry(place).or_default().push(one));
        }
    }

    /// Removes changes that can be read from the rows now, or that will never be committed.
    pub(crate) fn settled(&self, settled: Vec<(SubmissionPlace, UncommittedChange)>) {
        if settled.is_empty() {
            return;
        }
        let mut under_way = self.lock();
        for (place, one) in settled {
            let Some(moves) = under_way.get_mut(&place) else { continue };
            if let Some(first) = moves.iter().position(|other| *other == one) {
                moves.remove(first);
            }
            if moves.is_empty() {
                under_way.remove(&place);
            }
        }
    }
}

/// Returns the changes of state and quarantine in a batch.
pub(crate) fn moves(changes: &[Change]) -> impl Iterator<Item = (SubmissionPlace, UncommittedChange)> {
    let key = |context: &ContextId, key: &StateKey| SubmissionPlace::Key(context.clone(), key.clone());
    changes.iter().filter_map(move |change| match change {
        Change::StateEventStored { context, key: of, piece } => {
            Some((key(context, of), UncommittedChange::Kept(piece.clone())))
        }
        Change::CurrentStateChanged { context, key: of, current } => {
            Some((key(context, of), UncommittedChange::Holder(current.clone())))
        }
        Change::Quarantined { parked, .. } => {
            let place = |(context, reference)| SubmissionPlace::Stranger(context, reference, parked.from.clone());
            stranger(parked).map(|kept| (place(kept), UncommittedChange::Parked))
        }
        _ => None,
    })
}
