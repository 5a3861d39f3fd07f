//! Receipts as JSON, in both dialects: the names differ, because each dialect names first what it carries.

use std::borrow::Cow;

use crate::json::reader;
use crate::json::reader::put;
use crate::json::scanner::ScannedValue;
use actors::model::{PduRef, PeerReceipts, ReceiptItem, RejectedItem, Seq};

/// Maximum number of entries that are read of each list.
const ENTRIES_MAX: usize = 1_000;

/// Maximum characters of a reason that are kept.
const REASON_MAX: usize = 200;

/// The names of the lists.
#[derive(Debug, Clone, Copy)]
pub struct ReceiptKeys {
    /// Ranges of numbers: `[[first, last], ..]`.
    pub(crate) numbers: &'static str,
    /// PDUs: `[[origin, pdu_id], ..]`.
    pub(crate) pdus: &'static str,
    /// Rejected numbers: `[[number, reason], ..]`.
    pub(crate) rejected_numbers: &'static str,
    /// Rejected PDUs: `[[origin, pdu_id, reason], ..]`.
    pub(crate) rejected_pdus: &'static str,
}

/// The names in the updates dialect.
pub const OF_UPDATES: ReceiptKeys = ReceiptKeys {
    numbers: "delivered",
    pdus: "delivered_pdus",
    rejected_numbers: "rejected",
    rejected_pdus: "rejected_pdus",
};

/// The names in the transactions dialect.
pub const OF_TRANSACTIONS: ReceiptKeys = ReceiptKeys {
    numbers: "delivered_numbers",
    pdus: "delivered",
    rejected_numbers: "rejected_numbers",
    rejected_pdus: "rejected",
};

impl ReceiptKeys {
    /// Returns whether a list has this name.
    pub(crate) fn has(self, name: &str) -> bool {
        [self.numbers, self.pdus, self.rejected_numbers, self.rejected_pdus].contains(&name)
    }

    /// Writes the lists that are not empty as further members of an object, each after a comma.
    pub fn write(self, out: &mut Vec<u8>, receipts: &PeerReceipts) {
        let numbers: Vec<(u64, u64)> = receipts.numbers.iter().map(|(first, last)| (first.0, last.0)).collect();
        let pdus: Vec<(&str, &str)> = receipts.pdus.iter().map(|pdu| (pdu.origin.as_str(), pdu.id.as_str())).collect();
        let (mut rejected_numbers, mut rejected_pdus) = (Vec::new(), Vec::new());
        for RejectedItem { item, reason } in &receipts.rejected {
            match item {
                ReceiptItem::Number(number) => rejected_numbers.push((number.0, reason.as_str())),
                ReceiptItem::Pdu(pdu) => rejected_pdus.push((pdu.origin.as_str(), pdu.id.as_str(), reason.as_str())),
            }
        }
        member(out, self.numbers, &numbers);
        member(out, self.pdus, &pdus);
        member(out, self.rejected_numbers, &rejected_numbers);
        member(out, self.rejected_pdus, &rejected_pdus);
    }

    /// Reads the lists of an object. They are hints: a list or an entry of another form is left out.
    pub(crate) fn read<'a>(self, get: impl Fn(&str) -> Option<ScannedValue<'a>>) -> PeerReceipts {
        let numbers = entries(get(self.numbers), |parts| match parts {
            [first, last] => Some((number(first)?, number(last)?)).filter(|(first, last)| first <= last),
            _ => None,
        });
        let pdus = entries(get(self.pdus), |parts| match parts {
            [origin, id] => pdu(origin, id),
            _ => None,
        });
        let mut rejected = entries(get(self.rejected_numbers), |parts| match parts {
            [seq, reason] => Some(RejectedItem { item: ReceiptItem::Number(number(seq)?), reason: words(reason)? }),
            _ => None,
        });
        rejected.extend(entries(get(self.rejected_pdus), |parts| match parts {
            [origin, id, reason] => {
                Some(RejectedItem { item: ReceiptItem::Pdu(pdu(origin, id)?), reason: words(reason)? })
            }
            _ => None,
        }));
        PeerReceipts { numbers, pdus, rejected }
    }
}

fn member<T: serde::Serialize>(out: &mut Vec<u8>, key: &str, list: &[T]) {
    if !list.is_empty() {
        out.push(b',');
        put(out, key);
        out.push(b':');
        put(out, list);
    }
}

fn entries<'a, T>(list: Option<ScannedValue<'a>>, read: impl Fn(&[ScannedValue<'a>]) -> Option<T>) -> Vec<T> {
    let Some((listed, _)) = list.and_then(|list| reader::items(list, ENTRIES_MAX)) else { return Vec::new() };
    let parts = |entry: ScannedValue<'a>| reader::items(entry, 4).map(|(parts, _)| parts);
    listed.into_iter().filter_map(|entry| read(&parts(entry)?)).collect()
}

fn number(value: &ScannedValue<'_>) -> Option<Seq> {
    value.get().parse().ok().map(Seq)
}

fn pdu(origin: &ScannedValue<'_>, id: &ScannedValue<'_>) -> Option<PduRef> {
    Some(PduRef { origin: reader::text(origin.text)?.parse().ok()?, id: reader::text(id.text)?.parse().ok()? })
}

/// Returns a reason of the peer's messenger, short enough for a trace and without control characters for the log.
pub(crate) fn shortened(reason: &str) -> String {
    reason.chars().take(REASON_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn words(value: &ScannedValue<'_>) -> Option<String> {
    reader::text(value.text).map(|reason: Cow<'_, str>| shortened(&reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipts() -> PeerReceipts {
        let pdu = |id: &str| PduRef { origin: "red.example".parse().expect("valid"), id: id.parse().expect("valid") };
        let rejected = [ReceiptItem::Number(Seq(7)), ReceiptItem::Pdu(pdu("c"))];
        let rejected = rejected.map(|item| RejectedItem { item, reason: "who?".to_owned() });
        PeerReceipts { numbers: vec![(Seq(1), Seq(5))], pdus: vec![pdu("a"), pdu("b")], rejected: rejected.into() }
    }

    fn read(keys: ReceiptKeys, text: &str) -> PeerReceipts {
        let members = reader::members(text).expect("an object");
        keys.read(|key| reader::get(&members, key))
    }

    #[test]
    fn receipts_survive_both_forms() {
        for (keys, expected) in [
            (
                OF_UPDATES,
                concat!(
                    r#"{"x":1,"delivered":[[1,5]],"delivered_pdus":[["red.example","a"],["red.example","b"]],"#,
                    r#""rejected":[[7,"who?"]],"rejected_pdus":[["red.example","c","who?"]]}"#
                ),
            ),
            (
                OF_TRANSACTIONS,
                concat!(
                    r#"{"x":1,"delivered_numbers":[[1,5]],"delivered":[["red.example","a"],["red.example","b"]],"#,
                    r#""rejected_numbers":[[7,"who?"]],"rejected":[["red.example","c","who?"]]}"#
                ),
            ),
        ] {
            let mut out = b"{\"x\":1".to_vec();
            keys.write(&mut out, &receipts());
            out.push(b'}');
            let text = String::from_utf8(out).expect("text");
            assert_eq!(text, expected);
            assert_eq!(read(keys, &text), receipts());
        }
    }

    #[test]
    fn odd_entries_are_left_out() {
        let text = r#"{"delivered":[[2,1],[1],["1",2],[1,2,3],7,[3,4],[-1,2]],"rejected":[[5],[6,"a\nb"],[1.5,"x"]],"delivered_pdus":{}}"#;
        let rejected = vec![RejectedItem { item: ReceiptItem::Number(Seq(6)), reason: "a b".to_owned() }];
        let expected = PeerReceipts { numbers: vec![(Seq(3), Seq(4))], pdus: vec![], rejected };
        assert_eq!(read(OF_UPDATES, text), expected);
        assert!(read(OF_UPDATES, "{}").is_empty());
    }
}
