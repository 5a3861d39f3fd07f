//! The transactions of a peer that are remembered, so that a repeat gets the same answer and has no effect.

use std::collections::VecDeque;

use crate::model::{InboundTransaction, PduVerdict, SeenTransaction};
use crate::peer::inbound::newest::RecentSet;

/// Number of transactions that are remembered.
pub(crate) const SEEN_MAX: usize = 64;

/// The remembered transactions.
#[derive(Debug, Clone)]
pub(crate) struct SeenTransactions {
    /// The newest ones, oldest first.
    seen: VecDeque<SeenTransaction>,
    /// Ids of transactions that were pulled; each is pulled once, whatever the result.
    asked: RecentSet<String>,
}

impl SeenTransactions {
    /// Returns those that were loaded from the store.
    pub(crate) fn new(seen: Vec<SeenTransaction>) -> Self {
        Self { seen: seen.into(), asked: RecentSet::default() }
    }

    /// Returns the verdicts of an earlier copy of the transaction.
    pub(crate) fn verdicts(&self, transaction: &InboundTransaction) -> Option<&[PduVerdict]> {
        let is_same = |seen: &&SeenTransaction| seen.id == transaction.id && seen.digest == transaction.digest;
        self.seen.iter().find(is_same).map(|seen| &*seen.verdicts)
    }

    /// Remembers a transaction.
    pub(crate) fn remember(&mut self, seen: SeenTransaction) {
        self.seen.push_back(seen);
        if self.seen.len() > SEEN_MAX {
            self.seen.pop_front();
        }
    }

    /// Returns the transaction id after which to pull, if this transaction names some that never arrived; each is pulled
    /// once. An id older than all remembered ones counts as forgotten, not as missed; without any remembered id there is no
    /// starting point.
    pub(crate) fn missed(&mut self, transaction: &InboundTransaction) -> Option<u64> {
        let held: Vec<u64> = self.seen.iter().filter_map(|seen| decimal(&seen.id)).collect();
        let mut missed = None;
        for id in &transaction.prev_ids {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Digest;

    fn transaction(id: &str, prev_ids: &[&str]) -> InboundTransaction {
        InboundTransaction {
            id: id.to_owned(),
            digest: Digest([7; 16]),
            prev_ids: prev_ids.iter().map(|id| (*id).to_owned()).collect(),
            pdus: vec![],
            edus: vec![],
            relay_to: vec![],
            verified: "network",
            receipts: crate::model::PeerReceipts::NONE,
            nonce: None,
        }
    }

    fn seen(ids: &[&str]) -> SeenTransactions {
        let seen = |id: &&str| SeenTransaction { id: (*id).to_owned(), digest: Digest([7; 16]), verdicts: vec![] };
        SeenTransactions::new(ids.iter().map(seen).collect())
    }

    #[test]
    fn repeat_is_known_by_digest() {
        let transactions = seen(&["5"]);
        assert!(transactions.verdicts(&transaction("5", &[])).is_some());
        assert!(transactions.verdicts(&transaction("6", &[])).is_none());
        let other = InboundTransaction { digest: Digest([8; 16]), ..transaction("5", &[]) };
        assert!(transactions.verdicts(&other).is_none(), "the id was used for something else");
    }

    #[test]
    fn missed_transaction_is_asked_once() {
        for (held, prev_ids, after) in [
            (&["5", "8"][..], &["5"][..], None),
            (&["5", "8"], &["7"], Some(5)),
            (&["5", "8"], &["9", "7"], Some(5)),
            (&["5", "8"], &["4"], None),
            (&["5", "8"], &["a"], Some(8)),
            (&[], &["7"], None),
        ] {
            let mut transactions = seen(held);
            assert_eq!(transactions.missed(&transaction("10", prev_ids)), after, "{held:?} {prev_ids:?}");
            assert_eq!(transactions.missed(&transaction("11", prev_ids)), None, "each is asked for once");
        }
    }

    #[test]
    fn remembered_transactions_are_bounded() {
        let mut transactions = seen(&["0"]);
        for id in 1..=SEEN_MAX {
            transactions.remember(SeenTransaction { id: id.to_string(), digest: Digest([7; 16]), verdicts: vec![] });
        }
        assert!(transactions.verdicts(&transaction("0", &[])).is_none());
        assert!(transactions.verdicts(&transaction("1", &[])).is_some());
    }
}
