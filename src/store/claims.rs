//! PDU references that are claimed, or submitted and not committed yet: lookups consult them beside the rows.
//!
//! A commit is visible to readers before its references are removed here, and a lookup holds the lock while it reads.
//! So what is neither here nor in the rows does not exist. The size is bounded by the requests that contexts have in
//! progress, and these by the admission permits.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use actors::change::Change;
use actors::model::{ContextId, Delivery, PduRef, Standing};
use actors::ports::Known;

/// The references that are in no row yet.
#[derive(Debug, Default)]
pub(super) struct Claims(Mutex<HashMap<PduRef, Claim>>);

#[derive(Debug)]
struct Claim {
    known: Known,
    /// Number of submitted changes about the PDU that are not committed. 0: only a claim, which its context may
    /// release.
    under_way: u32,
}

/// Exclusive access to the claims.
pub(super) struct Locked<'a>(MutexGuard<'a, HashMap<PduRef, Claim>>);

impl Claims {
    pub(super) fn lock(&self) -> Locked<'_> {
        // A poisoned lock is safe to use: each change is one call on the map, so a panic elsewhere cannot have left it
        // half done.
        Locked(self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Records the PDUs of a batch. It must be called before the batch can be committed.
    pub(super) fn handed_over(&self, changes: &[Change]) {
        let mut told = changes.iter().filter_map(stands).peekable();
        if told.peek().is_none() {
            return;
        }
        let mut claims = self.lock();
        for (reference, known) in told {
            let claim = claims.0.entry(reference.clone());
            let claim = claim.or_insert_with(|| Claim { known: known.clone(), under_way: 0 });
            claim.known = known;
            claim.under_way += 1;
        }
    }

    /// Counts down one change of each of these PDUs, because it can be read from the rows now or will never be
    /// committed.
    pub(super) fn settled(&self, references: &[PduRef]) {
        if references.is_empty() {
            return;
        }
        let mut claims = self.lock();
        for reference in references {
            let Some(claim) = claims.0.get_mut(reference) else { continue };
            claim.under_way = claim.under_way.saturating_sub(1);
            if claim.under_way == 0 {
                claims.0.remove(reference);
            }
        }
    }

    pub(super) fn release(&self, context: &ContextId, references: &[PduRef]) {
        let mut claims = self.lock();
        for reference in references {
            if claims.0.get(reference).is_some_and(|claim| claim.is_mere(context)) {
                claims.0.remove(reference);
            }
        }
    }

    pub(super) fn release_all(&self, context: &ContextId) {
        self.lock().0.retain(|_, claim| !claim.is_mere(context));
    }
}

impl Claim {
    fn is_mere(&self, context: &ContextId) -> bool {
        self.under_way == 0 && self.known.context() == context
    }
}

impl Locked<'_> {
    pub(super) fn get(&self, reference: &PduRef) -> Option<&Known> {
        self.0.get(reference).map(|claim| &claim.known)
    }

    /// Claims a reference of which nothing is known.
    pub(super) fn claim(&mut self, context: &ContextId, reference: &PduRef) {
        let known = Known::Claimed { context: context.clone() };
        self.0.insert(reference.clone(), Claim { known, under_way: 0 });
    }
}

/// Returns the PDUs that a batch stores or delivers.
pub(super) fn references(changes: &[Change]) -> impl Iterator<Item = PduRef> {
    changes.iter().filter_map(stands).map(|(reference, _)| reference.clone())
}

/// Returns the PDU that a change is about, and its status after the change.
fn stands(change: &Change) -> Option<(&PduRef, Known)> {
    match change {
        Change::PduStored(stored) => {
            let context = stored.pdu.context.clone();
            let known = match &stored.standing {
                Standing::Delivered(delivery) => delivered(context, delivery),
                Standing::Named { depth } => Known::Delivered { context, depth: *depth, history: false },
                Standing::Held(_) => Known::Held { context },
            };
            Some((&stored.pdu.reference, known))
        }
        Change::PduDelivered { reference, context, delivery } => {
            Some((reference, delivered(context.clone(), delivery)))
        }
        _ => None,
    }
}

fn delivered(context: ContextId, delivery: &Delivery) -> Known {
    Known::Delivered { context, depth: delivery.depth, history: delivery.is_history() }
}
