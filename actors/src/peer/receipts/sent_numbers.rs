//! The numbers under which a peer sent PDUs as strong updates: its receipts name them by these.

use std::collections::{HashMap, VecDeque};

use crate::model::{PduRef, PeerReceipts, ReceiptItem, RejectedItem, Seq};

/// Maximum number of PDUs whose numbers are known. A receipt names an older one by its identity.
const NUMBERS_MAX: usize = 4_096;

/// The numbers of the newest PDUs without a receipt. Most peers have none, so these cost a word.
#[derive(Debug, Clone, Default)]
pub(crate) struct SentNumbers(Option<Box<KnownNumbers>>);

#[derive(Debug, Clone, Default)]
struct KnownNumbers {
    numbers: HashMap<PduRef, Seq>,
    /// PDUs in the order in which they came; some have their receipt by now.
    order: VecDeque<PduRef>,
}

impl SentNumbers {
    /// Records the number of a PDU.
    pub(crate) fn note(&mut self, pdu: PduRef, number: Seq) {
        let KnownNumbers { numbers, order } = &mut **self.0.get_or_insert_default();
        if numbers.insert(pdu.clone(), number).is_none() {
            order.push_back(pdu);
        }
        while order.len() > NUMBERS_MAX {
            if let Some(oldest) = order.pop_front() {
                numbers.remove(&oldest);
            }
        }
    }

    /// Replaces identities by numbers, as far as they are known.
    pub(crate) fn number(&mut self, receipts: &mut PeerReceipts) {
        let Some(known) = &mut self.0 else { return };
        let PeerReceipts { numbers, pdus, rejected } = receipts;
        pdus.retain(|pdu| match known.numbers.remove(pdu) {
            Some(number) => {
                numbers.push((number, number));
                false
            }
            None => true,
        });
        for RejectedItem { item, .. } in rejected {
            if let ReceiptItem::Pdu(pdu) = item
                && let Some(number) = known.numbers.remove(pdu)
            {
                *item = ReceiptItem::Number(number);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pdu(id: u64) -> PduRef {
        PduRef { origin: "red".parse().expect("valid"), id: id.to_string().parse().expect("valid") }
    }

    #[test]
    fn known_pdus_get_their_numbers() {
        let mut sent = SentNumbers::default();
        sent.note(pdu(1), Seq(7));
        sent.note(pdu(2), Seq(8));
        let rejected = |item| vec![RejectedItem { item, reason: "no".into() }];
        let mut receipts = PeerReceipts {
            numbers: vec![(Seq(3), Seq(3))],
            pdus: vec![pdu(1), pdu(9)],
            rejected: rejected(ReceiptItem::Pdu(pdu(2))),
        };
        sent.number(&mut receipts);
        let numbers = vec![(Seq(3), Seq(3)), (Seq(7), Seq(7))];
        let rejected = rejected(ReceiptItem::Number(Seq(8)));
        assert_eq!(receipts, PeerReceipts { numbers, pdus: vec![pdu(9)], rejected });
    }

    #[test]
    fn known_numbers_are_bounded() {
        let mut sent = SentNumbers::default();
        for n in 1..=NUMBERS_MAX as u64 + 1 {
            sent.note(pdu(n), Seq(n));
        }
        let known = sent.0.expect("there are some");
        assert_eq!((known.numbers.len(), known.numbers.get(&pdu(1))), (NUMBERS_MAX, None));
    }
}
