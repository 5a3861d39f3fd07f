//! PDUs that busy contexts could not process in time: stored with their batch, after those that are staged already.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::change::Change;
use crate::model::{ContextId, PduRef, ServerName};
use crate::peer::effect::{EffectCollector, PeerEffect};
use crate::peer::inbound::batch_queue::BatchInProgress;

/// Stages the PDUs of a batch that `from` sent.
pub(super) fn stage(from: &ServerName, busy: &BatchInProgress, out: &mut EffectCollector) {
    let mut staged: BTreeMap<&ContextId, Vec<(PduRef, Bytes)>> = BTreeMap::new();
    for pdu in busy.staged() {
        staged.entry(&pdu.context).or_default().push((pdu.reference.clone(), pdu.bytes.clone()));
    }
    for (context, pdus) in staged {
        let (context, from, verified) = (context.clone(), from.clone(), busy.batch().verified());
        out.effect(PeerEffect::TellStaged(context.clone()));
        out.change(Change::Staged { context, from, verified, pdus });
    }
}
