//! State that was handed over and is not on disk yet: reads of a key see it beside the rows.
//!
//! As with claims, a commit is visible to readers before its state leaves here, and a read holds the lock: so what is neither
//! here nor in the rows is not there. Bounded by what conversations have in hand.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use actors::change::Change;
use actors::model::{ContextId, StateKey, StatePiece};

/// One change of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Move {
    /// What counts of one of its PDUs.
    Kept(StatePiece),
    /// Who holds it.
    Holder(Option<StatePiece>),
}

type Moves = HashMap<(ContextId, StateKey), Vec<Move>>;

/// The changes of keys that stand in no row yet, oldest first.
#[derive(Debug, Default)]
pub(super) struct UnderWay(Mutex<Moves>);

impl UnderWay {
    pub(super) fn lock(&self) -> MutexGuard<'_, Moves> {
        // Each change is one call on the map: a panic elsewhere cannot have left it half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be called before the batch can be committed.
    pub(super) fn handed_over(&self, changes: &[Change]) {
        let mut moves = moves(changes).peekable();
        if moves.peek().is_some() {
            let mut under_way = self.lock();
            moves.for_each(|(place, one)| under_way.entry(place).or_default().push(one));
        }
    }

    /// These are on disk and can be read, or never will be.
    pub(super) fn settled(&self, settled: Vec<((ContextId, StateKey), Move)>) {
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

/// The changes of keys in a batch.
pub(super) fn moves(changes: &[Change]) -> impl Iterator<Item = ((ContextId, StateKey), Move)> {
    changes.iter().filter_map(|change| match change {
        Change::StateKept { context, key, piece } => Some(((context.clone(), key.clone()), Move::Kept(piece.clone()))),
        Change::StateMoved { context, key, current } => {
            Some(((context.clone(), key.clone()), Move::Holder(current.clone())))
        }
        _ => None,
    })
}
