//! The receipts that a peer is still to get. They go with the next request to it or with the answer to its next one, and count as
//! told when that has arrived for certain.

use std::collections::VecDeque;

use crate::model::{PduRef, PeerReceipts, ReceiptItem, RejectedItem, Seq};
use crate::peer::receipts::settled_items::SettledItems;

/// Maximum number of PDUs, and of rejected items, that wait. Further ones are told after the next start, when the feed is read again.
const WAITING_MAX: usize = 10_000;

/// Maximum number of ranges, of PDUs and of rejected items in one request.
const REQUEST_MAX: usize = 1_000;

/// The same for an answer, of which the peer reads less.
const ANSWER_MAX: usize = 100;

/// The receipts for one peer. Most peers have none, so these cost a word.
#[derive(Debug, Clone, Default)]
pub(crate) struct ReceiptQueue(Option<Box<QueuedReceipts>>);

impl ReceiptQueue {
    /// Adds receipts.
    pub(crate) fn add(&mut self, receipts: PeerReceipts) {
        if !receipts.is_empty() {
            self.0.get_or_insert_default().add(receipts);
        }
    }

    /// Returns whether none waits and none is in flight.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|queue| !queue.is_waiting() && queue.in_flight.is_empty())
    }

    /// Returns whether any waits.
    pub(crate) fn is_waiting(&self) -> bool {
        self.0.as_ref().is_some_and(|queue| queue.is_waiting())
    }

    /// Returns the receipts for a request, which is in flight from now on.
    pub(crate) fn send(&mut self) -> PeerReceipts {
        self.0.as_mut().map_or(PeerReceipts::NONE, |queue| queue.send())
    }

    /// Handles the end of the request; returns the number of receipts that have arrived with it.
    pub(crate) fn ended(&mut self, has_arrived: bool) -> u64 {
        self.0.as_mut().map_or(0, |queue| queue.ended(has_arrived))
    }

    /// Returns the receipts for the answer to a new push up to this number. The peer has read the answers to those before. No PDU is
    /// named in it, because an answer in Protobuf has no field for that; PDUs go with requests.
    pub(crate) fn answer(&mut self, number: Seq) -> PeerReceipts {
        self.0.as_mut().map_or(PeerReceipts::NONE, |queue| queue.answer(number))
    }

    /// Returns the receipts for the answer to a new transaction. The peer has read the answer to a transaction that this one names as
    /// one before it; after any other, it may have lost that answer.
    pub(crate) fn answer_transaction(&mut self, id: &str, prev_ids: &[String]) -> PeerReceipts {
        self.0.as_mut().map_or(PeerReceipts::NONE, |queue| queue.answer_transaction(id, prev_ids))
    }

    /// Takes back the receipts of the answer to this transaction, because the peer has sent it again; returns whether there were any.
    pub(crate) fn put_back_transaction(&mut self, id: &str) -> bool {
        self.0.as_mut().is_some_and(|queue| queue.put_back_transaction(id))
    }

    /// Takes back the receipts of an answer to a push up to this number or a later one, because the peer has sent an update with
    /// this number again; returns whether there were any.
    pub(crate) fn put_back(&mut self, number: Seq) -> bool {
        self.0.as_mut().is_some_and(|queue| queue.put_back(number))
    }
}

/// The receipts that wait, and those under way.
#[derive(Debug, Clone, Default)]
struct QueuedReceipts {
    numbers: SettledItems,
    pdus: VecDeque<PduRef>,
    rejected: VecDeque<RejectedItem>,
    /// Receipts in the request in flight.
    in_flight: PeerReceipts,
    /// Batch that was answered last with receipts, and these. The peer has not got them if it sends that batch again.
    answered: Option<(AnsweredBatch, PeerReceipts)>,
}

/// A batch whose answer carried receipts.
#[derive(Debug, Clone, PartialEq, Eq)]
enum AnsweredBatch {
    /// A push up to this number.
    Push(Seq),
    /// The transaction with this id.
    Transaction(Box<str>),
}

impl QueuedReceipts {
    fn add(&mut self, receipts: PeerReceipts) {
        let PeerReceipts { numbers, pdus, rejected } = receipts;
        for (first, last) in numbers {
            self.numbers.insert(first.0, last.0);
        }
        let room = WAITING_MAX.saturating_sub(self.pdus.len());
        self.pdus.extend(pdus.into_iter().take(room));
        let room = WAITING_MAX.saturating_sub(self.rejected.len());
        self.rejected.extend(rejected.into_iter().take(room));
    }

    fn is_waiting(&self) -> bool {
        !self.numbers.is_empty() || !self.pdus.is_empty() || !self.rejected.is_empty()
    }

    fn send(&mut self) -> PeerReceipts {
        self.ended(false);
        self.in_flight = PeerReceipts {
            numbers: self.take_numbers(REQUEST_MAX),
            pdus: self.pdus.drain(..REQUEST_MAX.min(self.pdus.len())).collect(),
            rejected: self.take_rejected(REQUEST_MAX, |_| true),
        };
        self.in_flight.clone()
    }

    fn ended(&mut self, has_arrived: bool) -> u64 {
        let sent = std::mem::take(&mut self.in_flight);
        if has_arrived {
            return count(&sent);
        }
        self.add(sent);
        0
    }

    fn answer(&mut self, number: Seq) -> PeerReceipts {
        // A sender that was restored from a backup uses numbers again.
        self.put_back(number);
        let receipts = PeerReceipts {
            numbers: self.take_numbers(ANSWER_MAX),
            pdus: Vec::new(),
            rejected: self.take_rejected(ANSWER_MAX, |rejected| matches!(rejected.item, ReceiptItem::Number(_))),
        };
        self.answered = (!receipts.is_empty()).then(|| (AnsweredBatch::Push(number), receipts.clone()));
        receipts
    }

    fn answer_transaction(&mut self, id: &str, prev_ids: &[String]) -> PeerReceipts {
        self.take_back(|answered| match answered {
            AnsweredBatch::Push(_) => true,
            AnsweredBatch::Transaction(before) => prev_ids.iter().all(|prev| **prev != **before),
        });
        let receipts = PeerReceipts {
            numbers: self.take_numbers(ANSWER_MAX),
            pdus: self.pdus.drain(..ANSWER_MAX.min(self.pdus.len())).collect(),
            rejected: self.take_rejected(ANSWER_MAX, |_| true),
        };
        self.answered = (!receipts.is_empty()).then(|| (AnsweredBatch::Transaction(id.into()), receipts.clone()));
        receipts
    }

    fn put_back(&mut self, number: Seq) -> bool {
        self.take_back(|answered| match answered {
            AnsweredBatch::Push(answered) => number <= *answered,
            AnsweredBatch::Transaction(_) => true,
        })
    }

    fn put_back_transaction(&mut self, id: &str) -> bool {
        self.take_back(|answered| *answered == AnsweredBatch::Transaction(id.into()))
    }

    /// Lets the receipts of the last answer wait again, if its batch is one of these; returns whether it is.
    fn take_back(&mut self, is_lost: impl Fn(&AnsweredBatch) -> bool) -> bool {
        let lost = self.answered.take_if(|(answered, _)| is_lost(answered));
        lost.map(|(_, receipts)| self.add(receipts)).is_some()
    }

    fn take_numbers(&mut self, max: usize) -> Vec<(Seq, Seq)> {
        self.numbers.take(max).into_iter().map(|(first, last)| (Seq(first), Seq(last))).collect()
    }

    /// Removes and returns the first rejected items of this kind.
    fn take_rejected(&mut self, max: usize, is_kind: fn(&RejectedItem) -> bool) -> Vec<RejectedItem> {
        let mut taken = Vec::new();
        self.rejected.retain(|rejected| {
            let stays = taken.len() == max || !is_kind(rejected);
            if !stays {
                taken.push(rejected.clone());
            }
            stays
        });
        taken
    }
}

/// Returns the number of items in receipts.
fn count(PeerReceipts { numbers, pdus, rejected }: &PeerReceipts) -> u64 {
    let numbers: u64 = numbers.iter().map(|(first, last)| last.0.saturating_sub(first.0) + 1).sum();
    numbers + pdus.len() as u64 + rejected.len() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(ranges: &[(u64, u64)]) -> PeerReceipts {
        let numbers = ranges.iter().map(|(first, last)| (Seq(*first), Seq(*last))).collect();
        PeerReceipts { numbers, ..PeerReceipts::NONE }
    }

    #[test]
    fn lost_request_puts_receipts_back() {
        let mut queue = ReceiptQueue::default();
        queue.add(numbers(&[(1, 2), (4, 4)]));
        assert_eq!(queue.send(), numbers(&[(1, 2), (4, 4)]));
        queue.add(numbers(&[(3, 3)]));
        assert!(!queue.is_empty() && queue.ended(false) == 0);
        assert_eq!(queue.send(), numbers(&[(1, 4)]));
        assert_eq!((queue.ended(true), queue.is_empty()), (4, true));
    }

    #[test]
    fn answer_names_no_pdu() {
        let pdu = PduRef { origin: "red".parse().expect("valid"), id: "1".parse().expect("valid") };
        let rejected = |item| RejectedItem { item, reason: "no".into() };
        let numbered = rejected(ReceiptItem::Number(Seq(4)));
        let named = rejected(ReceiptItem::Pdu(pdu.clone()));
        let mut queue = ReceiptQueue::default();
        let all = PeerReceipts {
            pdus: vec![pdu.clone()],
            rejected: vec![named.clone(), numbered.clone()],
            ..numbers(&[(1, 3)])
        };
        queue.add(all);
        let answered = queue.answer(Seq(9));
        assert_eq!(answered, PeerReceipts { rejected: vec![numbered], ..numbers(&[(1, 3)]) });
        assert!(!answered.names_pdus() && queue.is_waiting());
        assert_eq!(queue.send(), PeerReceipts { numbers: vec![], pdus: vec![pdu], rejected: vec![named] });
    }

    #[test]
    fn unread_transaction_answer_is_repeated() {
        let pdu = |id: &str| PduRef { origin: "red".parse().expect("valid"), id: id.parse().expect("valid") };
        let named = |ids: &[&str]| PeerReceipts { pdus: ids.iter().map(|id| pdu(id)).collect(), ..PeerReceipts::NONE };
        let mut queue = ReceiptQueue::default();
        queue.add(named(&["a"]));
        assert_eq!(queue.answer_transaction("7", &[]), named(&["a"]));
        assert!(!queue.put_back_transaction("6") && queue.put_back_transaction("7"));
        assert_eq!(queue.answer_transaction("8", &[]), named(&["a"]), "it had come again");
        queue.add(named(&["b"]));
        assert_eq!(queue.answer_transaction("9", &["5".to_owned()]), named(&["b", "a"]), "its sender crashed before");
        assert_eq!(queue.answer_transaction("10", &["9".to_owned()]), PeerReceipts::NONE, "it was read");
        queue.add(numbers(&[(1, 1)]));
        assert_eq!(queue.answer_transaction("11", &[]), numbers(&[(1, 1)]));
        assert_eq!(queue.answer(Seq(4)), numbers(&[(1, 1)]), "a push says nothing of it");
    }

    #[test]
    fn repeated_push_puts_receipts_back() {
        let mut queue = ReceiptQueue::default();
        queue.add(numbers(&[(1, 1)]));
        assert_eq!(queue.answer(Seq(5)), numbers(&[(1, 1)]));
        queue.add(numbers(&[(2, 2)]));
        assert!(queue.put_back(Seq(5)) && !queue.put_back(Seq(5)));
        assert_eq!(queue.answer(Seq(6)), numbers(&[(1, 2)]));
        assert_eq!(queue.answer(Seq(7)), PeerReceipts::NONE, "the answer to number 6 was read");
        assert!(!queue.put_back(Seq(6)) && queue.is_empty());
    }
}
