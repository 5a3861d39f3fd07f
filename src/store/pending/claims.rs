//! PDU references that are claimed, or submitted and not committed yet: lookups consult them beside the rows.
//!
//! A commit is visible to readers before its references are removed here, and a lookup holds the lock while it reads.
//! So what is neither here nor in the rows does not exist. The size is bounded by the requests that contexts have in
//! progress, and these by the admission permits.

use std::collections::HashMap;

use actors::change::Change;
use actors::model::{ContextId, Delivery, PduId, PduRef, PduState};
use actors::ports::PduStatus;
use parking_lot::{Mutex, MutexGuard};

use crate::store::write::context::latest_pdu_ids::LatestPduIds;

/// The references that are in no row yet.
#[derive(Debug, Default)]
pub(crate) struct PduClaims(Mutex<ClaimTable>);

#[derive(Debug, Default)]
struct ClaimTable {
    claims: HashMap<PduRef, PduClaim>,
    /// The greatest id of each origin in the rows and here, for the origins that were looked up.
    greatest: LatestPduIds,
}

#[derive(Debug)]
struct PduClaim {
    known: PduStatus,
    /// Number of submitted changes about the PDU that are not committed. 0: only a claim, which its context may
    /// release.
    under_way: u32,
}

/// Exclusive access to the claims.
pub(crate) struct LockedClaims<'a>(MutexGuard<'a, ClaimTable>);

impl PduClaims {
    pub(crate) fn lock(&self) -> LockedClaims<'_> {
        // A poisoned lock is safe to use: each change is one call on the map, so a panic elsewhere cannot have left it
        // half done.
        LockedClaims(self.0.lock())
    }

    /// Records the PDUs of a batch. It must be called before the batch can be committed.
    pub(crate) fn on_submit(&self, changes: &[Change]) {
        let mut told = changes.iter().filter_map(pdu_status_of).peekable();
        if told.peek().is_none() {
            return;
        }
        let mut claims = self.lock();
        for (reference, known) in told {
            claims.0.greatest.rises(reference);
            let claim = claims.0.claims.entry(reference.clone());
            let claim = claim.or_insert_with(|| PduClaim { known: known.clone(), under_way: 0 });
            claim.known = known;
            claim.under_way += 1;
        }
    }

    /// Counts down one change of each of these PDUs, because it can be read from the rows now or will never be
    /// committed.
    pub(crate) fn on_commit(&self, references: &[PduRef]) {
        if references.is_empty() {
            return;
        }
        let mut claims = self.lock();
        for reference in references {
            let Some(claim) = claims.0.claims.get_mut(reference) else { continue };
            claim.under_way = claim.under_way.saturating_sub(1);
            if claim.under_way == 0 {
                claims.0.claims.remove(reference);
            }
        }
    }

    pub(crate) fn release(&self, context: &ContextId, references: &[PduRef]) {
        let mut claims = self.lock();
        for reference in references {
            if claims.0.claims.get(reference).is_some_and(|claim| claim.is_unsubmitted(context)) {
                claims.0.claims.remove(reference);
            }
        }
    }

    pub(crate) fn release_all(&self, context: &ContextId) {
        self.lock().0.claims.retain(|_, claim| !claim.is_unsubmitted(context));
    }
}

impl PduClaim {
    fn is_unsubmitted(&self, context: &ContextId) -> bool {
        self.under_way == 0 && self.known.context() == context
    }
}

impl LockedClaims<'_> {
    pub(crate) fn get(&self, reference: &PduRef) -> Option<&PduStatus> {
        self.0.claims.get(reference).map(|claim| &claim.known)
    }

    /// Returns whether the PDU has a greater id than all others of its origin, so that it is unknown. From then on it counts among them.
    /// `in_rows` reads the greatest id that the rows have, if that is not known.
    pub(crate) fn rises<E>(
        &mut self,
        reference: &PduRef,
        in_rows: impl FnOnce() -> Result<Option<PduId>, E>,
    ) -> Result<bool, E> {
        let ClaimTable { claims, greatest } = &mut *self.0;
        if !greatest.knows(&reference.origin) {
            let claimed = claims.keys().filter(|claimed| claimed.origin == reference.origin).map(|claimed| &claimed.id);
            greatest.fill(&reference.origin, in_rows()?.into_iter().chain(claimed.cloned()).max());
        }
        Ok(greatest.rises(reference))
    }

    /// Claims an unknown reference.
    pub(crate) fn claim(&mut self, context: &ContextId, reference: &PduRef) {
        let known = PduStatus::Claimed { context: context.clone() };
        self.0.claims.insert(reference.clone(), PduClaim { known, under_way: 0 });
    }
}

/// Returns the PDUs that a batch stores or delivers.
pub(crate) fn references(changes: &[Change]) -> impl Iterator<Item = PduRef> {
    changes.iter().filter_map(pdu_status_of).map(|(reference, _)| reference.clone())
}

/// Returns the PDU that a change is about, and its status after the change.
fn pdu_status_of(change: &Change) -> Option<(&PduRef, PduStatus)> {
    match change {
        Change::PduStored(stored) => {
            let context = stored.pdu.context.clone();
            let known = match &stored.standing {
                PduState::Delivered(delivery) => delivered(context, delivery),
                PduState::Named { depth } => PduStatus::Delivered { context, depth: *depth, history: false },
                PduState::Held(_) => PduStatus::Held { context },
            };
            Some((&stored.pdu.reference, known))
        }
        Change::PduDelivered { reference, context, delivery } => {
            Some((reference, delivered(context.clone(), delivery)))
        }
        _ => None,
    }
}

fn delivered(context: ContextId, delivery: &Delivery) -> PduStatus {
    PduStatus::Delivered { context, depth: delivery.depth, history: delivery.is_history() }
}
