//! Repairs: PDUs that a comparison of histories found missing here. They are fetched as missing parents are, with the same budgets
//! and checks, although no PDU waits for them.

use crate::context::event::{ContextEffect, ContextReply};
use crate::context::ordering::context_graph::ContextGraph;
use crate::context::step::{ContextStep, PduOutcome};
use crate::model::{ParkedCode, PduRef, PduVerdict, RepairOutcome, ServerName};
use crate::reply_token::ReplyToken;

/// The repairs of one context that are under way. The limit on requests of the context bounds their number.
#[derive(Default)]
pub(crate) struct RepairFetch {
    open: Vec<OpenRepair>,
}

/// A repair whose PDUs are being fetched.
struct OpenRepair {
    token: ReplyToken<RepairOutcome>,
    references: Vec<PduRef>,
    /// PDUs that came, and PDUs that were here before.
    arrived: Vec<PduRef>,
    /// PDUs that were refused, each with the code of the last refusal: another server may have a copy that is accepted.
    refused: Vec<(PduRef, &'static str)>,
}

impl RepairFetch {
    /// Returns whether a repair is under way.
    pub(crate) const fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Starts a repair. PDUs whose origin takes no part are not fetched, because they would be quarantined.
    pub(crate) fn begin(
        &mut self,
        step: &ContextStep<'_>,
        graph: &mut ContextGraph,
        token: ReplyToken<RepairOutcome>,
        via: &ServerName,
        references: Vec<PduRef>,
    ) {
        let (mut arrived, mut refused) = (vec![], vec![]);
        for reference in &references {
            if graph.has_in_memory(reference) {
                arrived.push(reference.clone());
            } else if graph.participants.takes_part(&reference.origin) {
                graph.pending.wanted.want_for_repair(step.now, reference, via);
            } else {
                refused.push((reference.clone(), ParkedCode::NotAParticipant.as_str()));
            }
        }
        self.open.push(OpenRepair { token, references, arrived, refused });
    }

    /// Records the outcomes of PDUs that were fetched or that arrived by themselves, one for each.
    pub(crate) fn note(&mut self, pdus: &[PduRef], outcomes: &[PduOutcome]) {
        for repair in &mut self.open {
            for (reference, outcome) in pdus.iter().zip(outcomes) {
                if repair.references.contains(reference) {
                    repair.note(reference.clone(), outcome);
                }
            }
        }
    }

    /// Answers the repairs none of whose PDUs is being fetched any more; it is called at the end of each step.
    pub(crate) fn settle(&mut self, step: &mut ContextStep<'_>, graph: &ContextGraph) {
        let is_fetched = |reference: &PduRef| graph.pending.wanted.contains(reference);
        for repair in self.open.extract_if(.., |repair| !repair.references.iter().any(is_fetched)) {
            let token = repair.token;
            step.effects.push(ContextEffect::Answer(ContextReply::Repaired(token, repair.outcome(graph))));
        }
    }
}

impl OpenRepair {
    fn note(&mut self, reference: PduRef, outcome: &PduOutcome) {
        self.refused.retain(|(other, _)| *other != reference);
        match outcome {
            PduOutcome::Taken(_)
            | PduOutcome::Told(PduVerdict::Accepted | PduVerdict::Held | PduVerdict::Duplicate) => {
                self.arrived.push(reference);
            }
            PduOutcome::Told(PduVerdict::Parked { code } | PduVerdict::Refused { code, .. }) => {
                self.refused.push((reference, code));
            }
        }
    }

    fn outcome(self, graph: &ContextGraph) -> RepairOutcome {
        let Self { references, arrived, mut refused, .. } = self;
        let is_here = |reference: &PduRef| arrived.contains(reference) || graph.has_in_memory(reference);
        refused.retain(|(reference, _)| !is_here(reference));
        let is_refused = |reference: &PduRef| refused.iter().any(|(other, _)| other == reference);
        let (arrived, rest): (Vec<_>, Vec<_>) = references.into_iter().partition(is_here);
        let absent = rest.into_iter().filter(|reference| !is_refused(reference)).collect();
        RepairOutcome { arrived, refused, absent }
    }
}

#[cfg(test)]
mod tests;
