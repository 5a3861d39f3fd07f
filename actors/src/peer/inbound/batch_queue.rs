//! The batches of a peer: one is in progress, the others wait for it.

use std::collections::VecDeque;

use crate::errors::UnavailableError;
use crate::model::{ContextId, ParkedCode, Pdu, PduVerdict};
use crate::peer::inbound::batch::InboundBatch;
use crate::peer::inbound::dispatch::{
    ContextGroup, Dispatch, DispatchError, DispatchItem, PoisonCandidates, UnknownContexts,
};
use crate::peer::inbound::groups::mapped_messages::{MappedMessage, MappedMessages};
use crate::peer::inbound::new_contexts::ContextAllowance;

/// The new entries of a batch.
pub(super) struct NewItems {
    pub(super) places: Vec<usize>,
    /// True if `seq` is the number of the push and not that of its last update.
    pub(super) pushes: bool,
}

/// A batch whose PDUs are being processed by their contexts.
#[derive(Debug, Clone)]
pub(super) struct BatchInProgress {
    batch: InboundBatch,
    /// Positions of the new entries in the batch.
    fresh: Vec<usize>,
    /// True if `seq` is the number of the push and not that of its last update.
    numbers_pushes: bool,
    dispatch: Dispatch,
    /// Unknown contexts that the PDUs of the batch would create.
    creates: Vec<ContextId>,
    /// Messages of groups that are contexts here.
    mapped: MappedMessages,
}

impl BatchInProgress {
    /// Returns a batch of which the entries at these positions are new and the contexts in `allowance` unknown, and the
    /// groups to dispatch first. PDUs of contexts beyond the limit are refused with `refusal`.
    pub(super) fn begin(
        batch: InboundBatch,
        fresh: NewItems,
        mapped: MappedMessages,
        allowance: ContextAllowance,
        refusal: impl Fn(&ContextId) -> PduVerdict,
        suspects: &PoisonCandidates,
    ) -> (Self, Vec<ContextGroup>) {
        let NewItems { places: fresh, pushes: numbers_pushes } = fresh;
        let item = |&place: &usize| match (batch.pdu(place), mapped.get(place)) {
            (Some(pdu), _) => {
                let (reference, context) = (&pdu.reference, &pdu.context);
                Some(DispatchItem { place, reference, context, is_bridged: false })
            }
            (None, Some(MappedMessage { reference, context, .. })) => {
                Some(DispatchItem { place, reference, context, is_bridged: true })
            }
            (None, None) => None,
        };
        let is_beyond = |item: &DispatchItem<'_>| !item.is_bridged && allowance.beyond.contains(item.context);
        let (beyond, items): (Vec<_>, Vec<_>) = fresh.iter().filter_map(item).partition(is_beyond);
        let mut dispatch = Dispatch::new(batch.len(), items.into_iter(), suspects);
        for DispatchItem { place, context, .. } in beyond {
            dispatch.settle(place, refusal(context));
        }
        let groups = dispatch.begin();
        (Self { batch, fresh, numbers_pushes, dispatch, creates: allowance.within, mapped }, groups)
    }

    /// Returns the messages of groups.
    pub(super) const fn mapped(&self) -> &MappedMessages {
        &self.mapped
    }

    pub(super) const fn batch(&self) -> &InboundBatch {
        &self.batch
    }

    pub(super) fn fresh(&self) -> &[usize] {
        &self.fresh
    }

    pub(super) const fn numbers_pushes(&self) -> bool {
        self.numbers_pushes
    }

    /// Returns the reason for which the whole batch is rejected, if it is.
    pub(super) const fn rejection(&self) -> Option<&UnavailableError> {
        self.dispatch.rejection()
    }

    /// Returns the verdict of an entry, and the code under which the peer's actor quarantines it, if it does.
    pub(super) fn verdict(&self, place: usize) -> (Option<&PduVerdict>, Option<ParkedCode>) {
        self.dispatch.verdict(place)
    }

    /// Returns the PDUs that are staged.
    pub(super) fn staged(&self) -> impl Iterator<Item = &Pdu> {
        self.dispatch.staged().iter().filter_map(|&place| self.batch.pdu(place))
    }

    /// Returns whether this outcome creates the context, which an earlier one of the batch did not.
    pub(super) fn creates(&mut self, context: &ContextId, outcome: &Result<Vec<PduVerdict>, DispatchError>) -> bool {
        let is_taken = |verdict: &PduVerdict| matches!(verdict, PduVerdict::Accepted | PduVerdict::Held);
        let begins = match outcome {
            Ok(verdicts) => verdicts.iter().any(is_taken),
            Err(undone) => matches!(undone, DispatchError::Slow(_)),
        };
        let place = self.creates.iter().position(|other| other == context).filter(|_| begins);
        place.map(|place| self.creates.remove(place)).is_some()
    }

    /// Handles the outcome of a group; returns the group to dispatch next.
    pub(super) fn back(
        &mut self,
        group: &ContextGroup,
        outcome: Result<Vec<PduVerdict>, DispatchError>,
        suspects: &mut PoisonCandidates,
    ) -> Option<ContextGroup> {
        let (batch, mapped) = (&self.batch, &self.mapped);
        let reference = |place| {
            let message = || mapped.get(place).map(|message| &message.reference);
            let pdu = batch.pdu(place).map(|pdu| &pdu.reference);
            pdu.or_else(message).expect("only PDUs and messages of groups are dispatched")
        };
        self.dispatch.back(group, outcome, reference, suspects)
    }
}

/// A batch that waits, with the contexts that had no record when it came.
pub(super) type WaitingBatch = (InboundBatch, UnknownContexts);

/// The batch in progress and those that wait for it.
#[derive(Debug, Clone, Default)]
pub(super) struct BatchQueue {
    /// Boxed, because most peers have none most of the time.
    in_progress: Option<Box<BatchInProgress>>,
    /// Batches that wait until it is finished. They hold their permits, which bound their number. Boxed while there are any, for
    /// the same reason.
    #[expect(clippy::box_collection, reason = "empty it is a pointer, and not four words")]
    waiting: Option<Box<VecDeque<WaitingBatch>>>,
}

impl BatchQueue {
    /// Returns whether a batch is in progress; then another one has to wait.
    pub(super) const fn is_busy(&self) -> bool {
        self.in_progress.is_some()
    }

    /// Returns whether no batch is in progress and none waits.
    pub(super) const fn is_empty(&self) -> bool {
        self.in_progress.is_none() && self.waiting.is_none()
    }

    /// Queues a batch.
    pub(super) fn wait(&mut self, batch: WaitingBatch) {
        self.waiting.get_or_insert_default().push_back(batch);
    }

    /// Records that a batch was dispatched to its contexts.
    pub(super) fn begin(&mut self, batch: BatchInProgress) {
        debug_assert!(!self.is_busy(), "one batch is in progress at a time");
        self.in_progress = Some(Box::new(batch));
    }

    /// Returns the batch in progress.
    pub(super) fn current(&mut self) -> Option<&mut BatchInProgress> {
        self.in_progress.as_deref_mut()
    }

    /// Queues a batch before all others that wait.
    pub(super) fn wait_first(&mut self, batch: WaitingBatch) {
        self.waiting.get_or_insert_default().push_front(batch);
    }

    /// Removes the batch in progress, if all contexts have answered for it.
    pub(super) fn take_done(&mut self) -> Option<Box<BatchInProgress>> {
        self.in_progress.take_if(|batch| batch.dispatch.is_done())
    }

    /// Returns the next batch, unless one is in progress.
    pub(super) fn next(&mut self) -> Option<WaitingBatch> {
        if self.is_busy() {
            return None;
        }
        let next = self.waiting.as_mut()?.pop_front();
        self.waiting.take_if(|waiting| waiting.is_empty());
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::effect::Pull;
    use crate::peer::inbound::tests::red_pdu;

    /// A batch with one PDU in a context that it would create.
    fn batch(id: &str) -> (BatchInProgress, Vec<ContextGroup>) {
        let pdu = red_pdu(id);
        let allowance = ContextAllowance { within: vec![pdu.context.clone()], beyond: vec![] };
        let pulled = InboundBatch::Pulled(vec![Ok(pdu)], Pull { after: 1, page: 1, catch_up: false }, None);
        let refusal = |_: &ContextId| PduVerdict::Duplicate;
        BatchInProgress::begin(
            pulled,
            NewItems { places: vec![0], pushes: false },
            MappedMessages::default(),
            allowance,
            refusal,
            &PoisonCandidates::default(),
        )
    }

    #[test]
    fn waiting_batch_follows_finished_one() {
        let mut queue = BatchQueue::default();
        let (in_progress, groups) = batch("a");
        let suspects = &mut PoisonCandidates::default();
        queue.begin(in_progress);
        for id in ["b", "c"] {
            queue.wait((batch(id).0.batch, UnknownContexts::default()));
        }
        assert!(queue.is_busy() && queue.take_done().is_none() && queue.next().is_none());
        let current = queue.current().expect("one is in progress");
        assert_eq!(current.back(&groups[0], Ok(vec![PduVerdict::Accepted]), suspects), None);
        assert!(queue.take_done().is_some() && !queue.is_busy());
        let ids: Vec<String> = std::iter::from_fn(|| queue.next())
            .map(|(batch, _)| batch.pdu(0).expect("a PDU").reference.id.to_string())
            .collect();
        assert_eq!((ids, queue.is_empty()), (vec!["b".to_owned(), "c".to_owned()], true));
    }

    #[test]
    fn batch_creates_context_once() {
        let (mut batch, groups) = batch("a");
        let context = &groups[0].context;
        assert!(!batch.creates(context, &Ok(vec![PduVerdict::Duplicate])), "nothing of it was taken");
        assert!(!batch.creates(context, &Err(DispatchError::Late)));
        assert!(batch.creates(context, &Ok(vec![PduVerdict::Accepted])));
        assert!(!batch.creates(context, &Ok(vec![PduVerdict::Accepted])));
    }

    #[test]
    fn context_beyond_limit_is_refused() {
        let (allowed, _) = batch("a");
        let allowance = ContextAllowance { within: vec![], beyond: allowed.creates };
        let refusal = |context: &ContextId| PduVerdict::Refused { code: "ADOPT_MAX", reason: context.to_string() };
        let (batch, groups) = BatchInProgress::begin(
            allowed.batch,
            NewItems { places: vec![0], pushes: false },
            MappedMessages::default(),
            allowance,
            refusal,
            &PoisonCandidates::default(),
        );
        assert_eq!((groups.len(), batch.dispatch.is_done()), (0, true));
        let reason = "#room".to_owned();
        assert_eq!(batch.verdict(0), (Some(&PduVerdict::Refused { code: "ADOPT_MAX", reason }), None));
    }
}
