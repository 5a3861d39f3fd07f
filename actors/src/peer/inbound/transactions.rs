//! Inbound transactions: each is accepted once, by its id; those that `prev_ids` name and that never arrived are
//! pulled.

use crate::change::{Change, CommitPriority};
use crate::errors::BatchError;
use crate::model::{InboundTransaction, PduVerdict, SeenTransaction};
use crate::peer::effect::{BatchReply, EffectCollector, PeerEffect, TransactionReply};
use crate::peer::inbound::batch_queue::BatchInProgress;
use crate::peer::inbound::dispatch::UnknownContexts;
use crate::peer::inbound::transactions::seen_transactions::SEEN_MAX;
use crate::reply_token::ReplyToken;

use super::{Inbound, InboundBatch, NewItems};

impl Inbound {
    pub(super) fn take_transaction(
        &mut self,
        transaction: InboundTransaction,
        token: ReplyToken<TransactionReply>,
        strange: UnknownContexts,
        out: &mut EffectCollector,
    ) {
        let reply = |reply| PeerEffect::Answer(BatchReply::Transaction(token, reply));
        let count = transaction.pdus.len();
        if count > self.limits.intake_items as usize {
            return out.effect(reply(Err(BatchError::PushTooLong { count, max: self.limits.intake_items })));
        }
        if let Some(verdicts) = self.transactions.verdicts(&transaction) {
            out.changes.extend(transaction.nonce.clone().map(Change::NonceUsed));
            return out.effect(reply(Ok(verdicts.to_vec())));
        }
        let fresh = NewItems { places: (0..count).collect(), pushes: false, strange };
        self.dispatch_batch(InboundBatch::Transaction(transaction, token), fresh, out);
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
            let (verdict, _) = busy.verdict(place);
            verdicts.push(match (pdu, verdict) {
                (Err(bad), _) => PduVerdict::Refused { code: bad.code, reason: bad.reason.clone() },
                (Ok(_), Some(verdict)) => verdict.clone(),
                (Ok(_), None) => unreachable!("a batch that is done has a verdict for each PDU"),
            });
        }
        let seen =
            SeenTransaction { id: transaction.id.clone(), digest: transaction.digest, verdicts: verdicts.clone() };
        self.transactions.remember(seen.clone());
        let keep = u32::try_from(SEEN_MAX).unwrap_or(u32::MAX);
        out.change(Change::TransactionSeen { from: self.server.clone(), seen, keep });
        if self.questions.are_after_a_restore() {
            // Persist `catch_up.after` in the same commit: derived from `seen` after a restart it would already lie
            // past this transaction.
            out.moved(CommitPriority::Now);
        }
        verdicts
    }
}

pub(super) mod seen_transactions;
