//! The participants of a context follow each change of its current state.

use crate::change::Change;
use crate::context::machine::ContextMachine;
use crate::context::state::context_state::{HolderChange, ResolvedEntry};
use crate::context::step::ContextStep;
use crate::model::{MissingPrevState, PduRef, PrevStateLink, StateKey};

impl ContextMachine {
    /// Records a delivered state PDU, and updates the participants with the current state.
    pub(crate) async fn apply_resolution(&mut self, step: &mut ContextStep<'_>, counted: ResolvedEntry) {
        let change = self.state.apply(step, counted).await;
        self.holder_changed(step, change);
    }

    /// Handles the delivery of a PDU that was missing as `prev_state`. State PDUs of other keys that name it are
    /// excluded.
    pub(crate) async fn link_came(
        &mut self,
        step: &mut ContextStep<'_>,
        link: MissingPrevState,
        own: Option<&StateKey>,
    ) {
        let MissingPrevState { missing, keys, .. } = link;
        let context = self.record.context.clone();
        step.changes.push(Change::MissingPrevStateResolved { context, missing: missing.clone() });
        for key in keys.into_iter().filter(|key| Some(key) != own) {
            let change = self.state.reclassify_links(step, key, &missing, PrevStateLink::Foreign).await;
            self.holder_changed(step, change);
        }
    }

    /// Gives up a missing `prev_state`: the state PDUs that name it count as roots.
    pub(crate) async fn link_given_up(&mut self, step: &mut ContextStep<'_>, missing: &PduRef) {
        for key in self.state.links.give_up(missing) {
            let change = self.state.reclassify_links(step, key, missing, PrevStateLink::GivenUp).await;
            self.holder_changed(step, change);
        }
    }

    fn holder_changed(&mut self, step: &mut ContextStep<'_>, change: Option<HolderChange>) {
        if let Some(HolderChange { before, now }) = change {
            self.member_moved(step, before.as_ref(), now.as_ref());
        }
    }
}

#[cfg(test)]
mod tests;
