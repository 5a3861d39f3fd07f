//! Inbound transactions: each is accepted once, by its id; those that `prev_ids` name and that never arrived are
//! pulled.

use std::sync::Arc;

use crate::change::Change;
use crate::errors::BatchError;
use crate::limits::PeerLimits;
use crate::model::{
    ForwardRoute, InboundTransaction, PduVerdict, PeerReceipts, SeenTransaction, ServerName, TransactionReceipt,
};
use crate::peer::effect::{EffectCollector, PeerEffect, RelayRole, TransactionReply};
use crate::peer::inbound::batch_queue::{BatchInProgress, NewItems};
use crate::peer::inbound::forwards;
use crate::peer::inbound::parked::PeerQuarantine;
use crate::peer::inbound::transactions::seen_transactions::{SEEN_MAX, SeenTransactions};

/// The transactions of one peer.
#[derive(Debug, Clone)]
pub(super) struct InboundTransactions {
    limits: Arc<PeerLimits>,
    seen: SeenTransactions,
}

impl InboundTransactions {
    /// Returns the transactions that were loaded from the store.
    pub(super) fn new(limits: Arc<PeerLimits>, seen: Vec<SeenTransaction>) -> Self {
        Self { limits, seen: SeenTransactions::new(seen) }
    }

    /// Works with these limits from now on.
    pub(super) fn change_limits(&mut self, limits: &Arc<PeerLimits>) {
        self.limits = limits.clone();
    }

    /// Returns the PDUs to dispatch; `Err`: the reply, because nothing of the transaction is new.
    pub(super) fn receive(
        &self,
        transaction: &InboundTransaction,
        out: &mut EffectCollector,
    ) -> Result<NewItems, Box<TransactionReply>> {
        let (count, max) = (transaction.pdus.len(), self.limits.intake_items);
        if count > max as usize {
            return Err(Box::new(Err(BatchError::TooManyItems { count, max })));
        }
        if let Some(verdicts) = self.seen.verdicts(transaction) {
            out.changes.extend(transaction.nonce.clone().map(Change::NonceUsed));
            let (verdicts, id) = (verdicts.to_vec(), transaction.id.as_str().into());
            let receipts = PeerReceipts::NONE;
            return Err(Box::new(Ok(TransactionReceipt { verdicts, receipts, id, new_after: None })));
        }
        Ok(NewItems { places: (0..count).collect(), pushes: false })
    }

    /// Returns the transaction id after which to pull, if this transaction names some that never arrived and the peer can be
    /// asked.
    pub(super) fn missed(&mut self, transaction: &InboundTransaction) -> Option<u64> {
        self.limits.fetches.then(|| self.seen.missed(transaction)).flatten()
    }

    /// Records a transaction with the verdicts of its PDUs.
    pub(super) fn close(
        &mut self,
        transaction: &InboundTransaction,
        busy: &BatchInProgress,
        quarantine: &PeerQuarantine,
        out: &mut EffectCollector,
    ) -> Vec<PduVerdict> {
        quarantine.park_undeliverable(&transaction.pdus, busy, out);
        let mut verdicts = vec![];
        for (place, pdu) in transaction.pdus.iter().enumerate() {
            let (verdict, _) = busy.verdict(place);
            verdicts.push(match (pdu, verdict) {
                (Err(bad), _) => PduVerdict::Refused { code: bad.code, reason: bad.reason.clone() },
                (Ok(_), Some(verdict)) => verdict.clone(),
                (Ok(_), None) => unreachable!("a batch that is done has a verdict for each PDU"),
            });
        }
        self.pass_on(transaction, &verdicts, quarantine.peer(), out);
        let seen =
            SeenTransaction { id: transaction.id.clone(), digest: transaction.digest, verdicts: verdicts.clone() };
        self.seen.remember(seen.clone());
        let keep = u32::try_from(SEEN_MAX).unwrap_or(u32::MAX);
        out.change(Change::TransactionSeen { from: quarantine.peer().clone(), seen, keep });
        verdicts
    }

    /// Queues the sender's own PDUs for the servers to which it asks us to pass them on.
    fn pass_on(
        &self,
        transaction: &InboundTransaction,
        verdicts: &[PduVerdict],
        sender: &ServerName,
        out: &mut EffectCollector,
    ) {
        let is_here =
            |verdict: &PduVerdict| matches!(verdict, PduVerdict::Accepted | PduVerdict::Held | PduVerdict::Duplicate);
        let pdus = transaction.pdus.iter().zip(verdicts).filter(|(_, verdict)| is_here(verdict));
        for pdu in pdus.filter_map(|(pdu, _)| pdu.as_ref().ok()).filter(|pdu| pdu.reference.origin == *sender) {
            for destination in &transaction.relay_to {
                let route = ForwardRoute { origin: sender.clone(), destination: destination.clone() };
                let id = format!("pdu/{destination}/{}", pdu.reference.id).into();
                let (text, memory) = (pdu.bytes.clone(), forwards::memory(&self.limits, out.now));
                out.change(Change::ForwardPassedOn { route, id, sent: out.now, text, memory });
                out.effect(PeerEffect::CountForward(RelayRole::Relay, "queued"));
            }
        }
    }
}

mod seen_transactions;
