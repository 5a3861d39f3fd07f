//! Groups missing PDUs into requests: by identity if they are few, otherwise by `backfill`.

use crate::model::{ContextId, FetchRequest, PduRef, ServerName};

/// Maximum number of PDUs named in one request, and of bytes of their names, because old servers do not read longer
/// lines.
const NAMED_MAX: usize = 20;
const NAMED_BYTES_MAX: usize = 4_000;

/// Maximum number of parents that are fetched by single requests.
const ONE_BY_ONE_MAX: usize = 2;

/// Number of ancestors that a first `backfill` requests; each further one requests four times more.
const STRETCH: u32 = 10;

/// A planned fetch from one server.
pub(crate) struct PlannedFetch {
    /// Server that will be asked.
    pub(crate) of: ServerName,
    /// Peer that sent the children; its budget is charged.
    pub(crate) cause: ServerName,
    /// Missing PDUs, at least one.
    pub(crate) references: Vec<PduRef>,
    /// Number of fetches in a row that have led to them.
    pub(crate) generation: u32,
    /// If true, each is requested alone, without its ancestors: it is needed for state, or is at the history edge.
    pub(crate) alone: bool,
}

impl PlannedFetch {
    pub(crate) fn is_one_by_one(&self) -> bool {
        self.alone || self.generation <= 1 && self.references.len() <= ONE_BY_ONE_MAX
    }

    pub(crate) fn takes(&self, reference: &PduRef) -> bool {
        let bytes = |reference: &PduRef| reference.origin.as_str().len() + reference.id.as_str().len();
        let named: usize = self.references.iter().map(bytes).sum();
        self.references.len() < NAMED_MAX && named + bytes(reference) <= NAMED_BYTES_MAX
    }

    /// Returns the requests of the fetch.
    pub(crate) fn wants(self, context: &ContextId, limit_max: u32) -> impl Iterator<Item = FetchRequest> + use<> {
        let one_by_one = self.is_one_by_one();
        let stretch = STRETCH << (2 * self.generation.saturating_sub(1)).min(16);
        let named = u32::try_from(self.references.len()).unwrap_or(u32::MAX);
        let limit = named.saturating_add(stretch).min(limit_max.max(1));
        let (singles, together) = if one_by_one { (self.references, vec![]) } else { (vec![], self.references) };
        let together =
            (!together.is_empty()).then(|| FetchRequest::Backfill { context: context.clone(), from: together, limit });
        singles.into_iter().map(FetchRequest::Pdu).chain(together)
    }
}
