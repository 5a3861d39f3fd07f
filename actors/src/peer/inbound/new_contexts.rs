//! The contexts that a peer has created here, and how many more it may create.

use crate::model::ContextId;
use crate::peer::inbound::dispatch::UnknownContexts;
use crate::peer::inbound::newest::RecentSet;

/// Maximum number of recently created contexts that are remembered by name.
const RECENT_MAX: usize = 1024;

/// The contexts created by one peer.
#[derive(Debug, Clone)]
pub(super) struct NewContexts {
    /// Number of contexts that the peer has created here.
    created: u64,
    /// Recently created contexts; batches that arrived before their records were committed still list them as unknown.
    recent: RecentSet<ContextId>,
}

/// The unknown contexts of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ContextAllowance {
    /// Contexts that the batch may create.
    pub(super) within: Vec<ContextId>,
    /// Contexts beyond the limit.
    pub(super) beyond: Vec<ContextId>,
}

impl NewContexts {
    /// Returns the state after a start.
    pub(super) fn new(created: u64) -> Self {
        Self { created, recent: RecentSet::default() }
    }

    /// Returns the number of contexts that the peer has created.
    pub(super) const fn created(&self) -> u64 {
        self.created
    }

    /// Sorts the unknown contexts of a batch. The peer may create contexts up to its limit, including those of this batch;
    /// contexts that it has created it may use.
    pub(super) fn allow(&self, unknown: UnknownContexts) -> ContextAllowance {
        let room = usize::try_from(unknown.most.saturating_sub(self.created)).unwrap_or(usize::MAX);
        let mut within = unknown.contexts;
        within.retain(|context| !self.recent.contains(context));
        let beyond = within.split_off(room.min(within.len()));
        ContextAllowance { within, beyond }
    }

    /// Records that the peer has created this context.
    pub(super) fn create(&mut self, context: ContextId) {
        self.created += 1;
        self.recent.push(context, RECENT_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(names: &[&str]) -> Vec<ContextId> {
        names.iter().map(|name| name.parse().expect("valid")).collect()
    }

    #[test]
    fn peer_creates_up_to_limit() {
        let mut contexts = NewContexts::new(1);
        let unknown = |names| UnknownContexts { contexts: named(names), most: 3 };
        let allowance = contexts.allow(unknown(&["#a", "#b", "#c"]));
        assert_eq!(allowance, ContextAllowance { within: named(&["#a", "#b"]), beyond: named(&["#c"]) });
        contexts.create(allowance.within[0].clone());
        assert_eq!(contexts.created(), 2);
        let allowance = contexts.allow(unknown(&["#a", "#b", "#c"]));
        let (within, beyond) = (named(&["#b"]), named(&["#c"]));
        assert_eq!(allowance, ContextAllowance { within, beyond }, "a context of its own may be used");
    }
}
