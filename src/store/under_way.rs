//! State and parked PDUs that were handed over and are not on disk yet: reads see them beside the rows.
//!
//! As with claims, a commit is visible to readers before what it holds leaves here, and a read holds the lock: so what is
//! neither here nor in the rows is not there. Bounded by what conversations have in hand.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use actors::change::Change;
use actors::model::{ContextId, PduRef, ServerName, StateKey, StatePiece};

use super::strangers::stranger;

/// What is changed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Place {
    /// A key of a conversation.
    Key(ContextId, StateKey),
    /// A PDU of a server that takes no part, as this server sent it.
    Stranger(ContextId, PduRef, ServerName),
}

/// One change of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Move {
    /// What counts of one of the key's PDUs.
    Kept(StatePiece),
    /// Who holds the key.
    Holder(Option<StatePiece>),
    /// It goes to quarantine.
    Parked,
}

type Moves = HashMap<Place, Vec<Move>>;

/// The changes that stand in no row yet, oldest first.
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
    pub(super) fn settled(&self, settled: Vec<(Place, Move)>) {
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

/// What a batch changes of these.
pub(super) fn moves(changes: &[Change]) -> impl Iterator<Item = (Place, Move)> {
    let key = |context: &ContextId, key: &StateKey| Place::Key(context.clone(), key.clone());
    changes.iter().filter_map(move |change| match change {
        Change::StateKept { context, key: of, piece } => Some((key(context, of), Move::Kept(piece.clone()))),
        Change::StateMoved { context, key: of, current } => Some((key(context, of), Move::Holder(current.clone()))),
        Change::Quarantined { parked, .. } => {
            let place = |(context, reference)| Place::Stranger(context, reference, parked.from.clone());
            stranger(parked).map(|kept| (place(kept), Move::Parked))
        }
        _ => None,
    })
}
