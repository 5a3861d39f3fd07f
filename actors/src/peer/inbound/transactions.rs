//! Inbound transactions: each is accepted once, by its id; those that `prev_ids` name and that never arrived are
//! pulled.

use crate::change::{Change, CommitPriority};
use crate::model::{BatchOutcome, InboundTransaction, PduVerdict, Refusal, SeenTransaction};
use crate::peer::effect::{EffectCollector, ReplyToken};
use crate::peer::inbound::dispatch::UnknownContexts;

use super::{BatchInProgress, Inbound, InboundBatch, NewItems};

/// Number of transactions that are remembered, so that a repeat gets the same response and has no effect.
const SEEN_MAX: usize = 64;

impl Inbound {
    pub(super) fn take_transaction(
        &mut self,
        token: Option<ReplyToken>,
        transaction: InboundTransaction,
        strange: UnknownContexts,
        out: &mut EffectCollector,
    ) -> Option<Result<BatchOutcome, Refusal>> {
        let count = transaction.pdus.len();
        if count > self.limits.intake_items as usize {
            return Some(Err(Refusal::PushTooLong { count, max: self.limits.intake_items }));
        }
        let same = |seen: &&SeenTransaction| seen.id == transaction.id && seen.digest == transaction.digest;
        if let Some(seen) = self.seen.iter().find(same) {
            return Some(Ok(BatchOutcome::Transaction(seen.verdicts.clone())));
        }
        let fresh = NewItems { places: (0..count).collect(), pushes: false, strange };
        self.dispatch_batch(token, InboundBatch::Transaction(transaction), fresh, out)
    }

    /// Records a transaction with the verdicts of its PDUs.
    pub(super) fn close(
        &mut self,
        transaction: &InboundTransaction,
        busy: &BatchInProgress,
        out: &mut EffectCollector,
    ) -> Vec<PduVerdict> {
        self.park(&transaction.pdus, busy, out);
        let mut verdicts = vec![];
        for (place, pdu) in transaction.pdus.iter().enumerate() {
            let (verdict, _) = busy.dispatch.verdict(place);
            verdicts.push(match (pdu, verdict) {
                (Err(bad), _) => PduVerdict::Refused { code: bad.code, reason: bad.reason.clone() },
                (Ok(_), Some(verdict)) => verdict.clone(),
                (Ok(_), None) => unreachable!("a batch that is done has a verdict for each PDU"),
            });
        }
        let seen =
            SeenTransaction { id: transaction.id.clone(), digest: transaction.digest, verdicts: verdicts.clone() };
        self.seen.push_back(seen.clone());
        if self.seen.len() > SEEN_MAX {
            self.seen.pop_front();
        }
        let keep = u32::try_from(SEEN_MAX).unwrap_or(u32::MAX);
        out.change(Change::TransactionSeen { from: self.server.clone(), seen, keep });
        if self.questions.are_after_a_restore() {
            // Persist `catch_up.after` in the same commit: derived from `seen` after a restart it would already lie
            // past this transaction.
            out.moved(CommitPriority::Now);
        }
        verdicts
    }

    /// Returns the transaction id after which to pull, if this transaction names some that never arrived; each is asked
    /// for once. An id older than all that we remember counts as forgotten, not as missed; without any remembered id
    /// there is no starting point.
    pub(super) fn missed(&mut self, transaction: &InboundTransaction) -> Option<u64> {
        let held: Vec<u64> = self.seen.iter().filter_map(|seen| decimal(&seen.id)).collect();
        let mut missed = None;
        for id in transaction.prev_ids.iter().filter(|_| self.limits.fetches) {
            if *id == transaction.id || self.seen.iter().any(|seen| seen.id == *id) || self.asked.contains(id) {
                continue;
            }
            let before = |held: &&u64| decimal(id).is_none_or(|number| **held < number);
            let Some(after) = held.iter().filter(before).max() else { continue };
            missed = Some(missed.map_or(*after, |other: u64| other.min(*after)));
            self.asked.push(id.clone(), SEEN_MAX);
        }
        missed
    }
}

/// Returns the id as a number, if it is decimal.
fn decimal(id: &str) -> Option<u64> {
    id.bytes().all(|byte| byte.is_ascii_digit()).then(|| id.parse().ok())?
}
