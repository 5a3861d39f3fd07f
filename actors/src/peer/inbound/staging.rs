//! PDUs that busy contexts could not process in time: stored with their batch, after those that are staged already.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::change::Change;
use crate::model::{ContextId, PduRef, ServerName};
use crate::peer::effect::{EffectCollector, PeerEffect};
use crate::peer::inbound::batch_queue::BatchInProgress;

/// PDUs that are staged under one word for their proof.
type ProofRun = (&'static str, Vec<(PduRef, Bytes)>);

/// Stages the PDUs of a batch that `from` sent.
pub(super) fn stage(from: &ServerName, busy: &BatchInProgress, out: &mut EffectCollector) {
    // Runs of PDUs with one proof, because the context takes those together, in the order of the batch.
    let mut staged: BTreeMap<&ContextId, Vec<ProofRun>> = BTreeMap::new();
    for pdu in busy.staged() {
        let (runs, verified) = (staged.entry(&pdu.context).or_default(), pdu.proof.word(busy.batch().verified()));
        let row = (pdu.reference.clone(), pdu.bytes.clone());
        match runs.last_mut().filter(|(other, _)| *other == verified) {
            Some((_, run)) => run.push(row),
            None => runs.push((verified, vec![row])),
        }
    }
    for (context, runs) in staged {
        out.effect(PeerEffect::TellStaged(context.clone()));
        for (verified, pdus) in runs {
            let (context, from) = (context.clone(), from.clone());
            out.change(Change::Staged { context, from, verified, pdus });
        }
    }
}
