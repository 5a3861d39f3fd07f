//! PDUs that busy conversations could not take in time: stored with their batch, behind those that are staged already.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::{BatchInProgress, Inbound};
use crate::change::Change;
use crate::model::{ContextId, PduRef, PduVerdict};
use crate::peer::effect::{EffectCollector, PeerEffect};
use crate::peer::inbound::dispatch::DispatchError;

/// Slow conversations that are remembered. A further one is waited for once more.
const SLOW_MAX: usize = 1024;

/// Conversations whose stage may hold PDUs of this peer.
#[derive(Debug, Clone, Default)]
pub(super) struct SlowContexts(BTreeSet<ContextId>);

impl SlowContexts {
    pub(super) fn contains(&self, context: &ContextId) -> bool {
        self.0.contains(context)
    }

    /// What came of giving PDUs to it.
    pub(super) fn note(&mut self, context: &ContextId, outcome: &Result<Vec<PduVerdict>, DispatchError>) {
        match outcome {
            Ok(_) => drop(self.0.remove(context)),
            Err(DispatchError::Slow(_)) => {
                self.0.insert(context.clone());
                if self.0.len() > SLOW_MAX {
                    self.0.pop_first();
                }
            }
            Err(_) => {}
        }
    }
}

impl Inbound {
    pub(super) fn stage(&self, busy: &BatchInProgress, out: &mut EffectCollector) {
        let mut staged: BTreeMap<&ContextId, Vec<(PduRef, Bytes)>> = BTreeMap::new();
        for pdu in busy.dispatch.staged().iter().filter_map(|&place| busy.frame.pdu(place)) {
            staged.entry(&pdu.context).or_default().push((pdu.reference.clone(), pdu.bytes.clone()));
        }
        for (context, pdus) in staged {
            let (context, from, verified) = (context.clone(), self.server.clone(), busy.frame.verified());
            out.effect(PeerEffect::TellStaged(context.clone()));
            out.change(Change::Staged { context, from, verified, pdus });
        }
    }
}
