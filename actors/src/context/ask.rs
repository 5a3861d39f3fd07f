//! Missing PDUs put together into questions: by name where they are few, else by `backfill`.

use crate::model::{ContextId, PduRef, ServerName, Want};

/// PDUs one question names, and bytes of their names: old servers read no longer lines.
const NAMED_MAX: usize = 20;
const NAMED_BYTES_MAX: usize = 4_000;

/// So many are asked for one by one.
const ONE_BY_ONE_MAX: usize = 2;

/// How many PDUs before the missing ones a first question by `backfill` asks for; each further one asks for four times more.
const STRETCH: u32 = 10;

/// What to ask whom now.
pub(super) struct Ask {
    /// Who is asked.
    pub(super) of: ServerName,
    /// Who handed us what names it.
    pub(super) cause: ServerName,
    /// What is missing; at least one.
    pub(super) references: Vec<PduRef>,
    /// How many questions in a row led there.
    pub(super) generation: u32,
    /// What lies before these is not asked for with them: state rests on them, or they lie at the edge. Each goes by itself.
    pub(super) alone: bool,
}

impl Ask {
    pub(super) fn is_one_by_one(&self) -> bool {
        self.alone || self.generation <= 1 && self.references.len() <= ONE_BY_ONE_MAX
    }

    pub(super) fn takes(&self, reference: &PduRef) -> bool {
        let bytes = |reference: &PduRef| reference.origin.as_str().len() + reference.id.as_str().len();
        let named: usize = self.references.iter().map(bytes).sum();
        self.references.len() < NAMED_MAX && named + bytes(reference) <= NAMED_BYTES_MAX
    }

    /// The questions it becomes.
    pub(super) fn wants(self, context: &ContextId, limit_max: u32) -> impl Iterator<Item = Want> + use<> {
        let one_by_one = self.is_one_by_one();
        let stretch = STRETCH << (2 * self.generation.saturating_sub(1)).min(16);
        let named = u32::try_from(self.references.len()).unwrap_or(u32::MAX);
        let limit = named.saturating_add(stretch).min(limit_max.max(1));
        let (singles, together) = if one_by_one { (self.references, vec![]) } else { (vec![], self.references) };
        let together =
            (!together.is_empty()).then(|| Want::Backfill { context: context.clone(), from: together, limit });
        singles.into_iter().map(Want::Pdu).chain(together)
    }
}
