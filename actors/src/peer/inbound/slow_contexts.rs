//! Contexts that were too busy for a batch of this peer.

use std::collections::BTreeSet;

use crate::model::{ContextId, PduVerdict};
use crate::peer::inbound::dispatch::DispatchError;

/// Slow conversations that are remembered. A further one is waited for once more.
pub(crate) const SLOW_MAX: usize = 1024;

/// Conversations whose stage may hold PDUs of this peer.
#[derive(Debug, Clone, Default)]
pub(crate) struct SlowContexts(pub(crate) BTreeSet<ContextId>);

impl SlowContexts {
    pub(crate) fn contains(&self, context: &ContextId) -> bool {
        self.0.contains(context)
    }

    /// Records the outcome of a dispatch to the context.
    pub(crate) fn note(&mut self, context: &ContextId, outcome: &Result<Vec<PduVerdict>, DispatchError>) {
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
