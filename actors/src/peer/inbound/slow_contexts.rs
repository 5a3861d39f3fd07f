//! Contexts that were too busy for a batch of this peer.

use std::collections::BTreeSet;

use crate::model::{ContextId, PduVerdict};
use crate::peer::inbound::dispatch::DispatchError;

/// Maximum number of slow contexts that are remembered. A further one is waited for once more.
pub(crate) const SLOW_MAX: usize = 1024;

/// Contexts whose stage may hold PDUs of this peer. Boxed while there are any, because most peers have none, and a waiting peer
/// takes little memory.
#[expect(clippy::box_collection, reason = "empty it is a pointer, and not three words")]
#[derive(Debug, Clone, Default)]
pub(crate) struct SlowContexts(Option<Box<BTreeSet<ContextId>>>);

impl SlowContexts {
    pub(crate) fn contains(&self, context: &ContextId) -> bool {
        self.0.as_ref().is_some_and(|slow| slow.contains(context))
    }

    /// Records the outcome of a dispatch to the context.
    pub(crate) fn note(&mut self, context: &ContextId, outcome: &Result<Vec<PduVerdict>, DispatchError>) {
        match outcome {
            Ok(_) => self.forget(context),
            Err(DispatchError::Slow(_)) => self.remember(context.clone()),
            Err(_) => {}
        }
    }

    fn remember(&mut self, context: ContextId) {
        let slow = self.0.get_or_insert_default();
        slow.insert(context);
        if slow.len() > SLOW_MAX {
            slow.pop_first();
        }
    }

    fn forget(&mut self, context: &ContextId) {
        if let Some(slow) = &mut self.0 {
            slow.remove(context);
        }
        self.0.take_if(|slow| slow.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_contexts_are_bounded() {
        let context = |n: usize| format!("c{n:05}").parse::<ContextId>().expect("valid");
        let mut slow = SlowContexts::default();
        for n in 0..SLOW_MAX {
            slow.remember(context(n));
        }
        slow.remember(context(SLOW_MAX - 1));
        assert!(slow.contains(&context(0)), "as many as may be remembered");
        slow.remember(context(SLOW_MAX));
        assert!(!slow.contains(&context(0)) && slow.contains(&context(SLOW_MAX)), "one more");
        slow.note(&context(SLOW_MAX), &Ok(vec![]));
        assert!(!slow.contains(&context(SLOW_MAX)));
    }
}
