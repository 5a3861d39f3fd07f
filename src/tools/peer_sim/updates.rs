//! Receives pushes like a simple, correct server: each number once, in order.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::script::FalseAnswer;

/// A push that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ReceivedPush {
    pub(super) seq: u64,
    first: u64,
    pub(super) items: Vec<String>,
}

impl ReceivedPush {
    /// Parses a push; `None` if it is not one.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let push: Value = serde_json::from_slice(body).ok()?;
        let none = vec![];
        let strong = push.get("strong").map_or(Some(&none), Value::as_array)?;
        let seq = push.get("seq")?.as_u64()?;
        let first = match push.get("from_seq") {
            Some(first) => first.as_u64()?,
            None => (seq + 1).checked_sub(strong.len() as u64)?,
        };
        Some(Self { seq, first, items: strong.iter().map(name_of).collect() })
    }

    /// Returns the number of its items that were accepted before; `None` if items before it are missing.
    pub(super) fn known(&self, expected: u64) -> Option<usize> {
        let overlap = expected.checked_sub(self.first)?;
        Some(usize::try_from(overlap).unwrap_or(usize::MAX).min(self.items.len()))
    }
}

/// Returns the name of an item in the record: the id of a message, the text or id of an update, or its digest.
pub(super) fn name_of(item: &Value) -> String {
    let pdu = item.get("pdu").unwrap_or(item);
    let text = |key: &str| pdu.get(key).and_then(Value::as_str);
    match (text("origin"), text("pdu_id"), text("text").or(text("id"))) {
        (Some(origin), Some(id), _) => format!("{origin}/{id}"),
        (_, _, Some(text)) => text.chars().take(100).collect(),
        _ => Sha256::digest(item.to_string()).iter().take(8).map(|byte| format!("{byte:02x}")).collect(),
    }
}

fn with_window(mut answer: Value, window: u32) -> String {
    if window > 0 {
        answer["window"] = window.into();
    }
    answer.to_string()
}

pub(super) fn ok(seq: u64, window: u32) -> String {
    with_window(json!({"receive": "ok", "seq": seq}), window)
}

pub(super) fn hole(expected: u64, window: u32) -> String {
    with_window(json!({"receive": "hole_detected", "seq": expected}), window)
}

pub(super) fn wait(seconds: u64) -> String {
    json!({"receive": "wait", "wait": seconds}).to_string()
}

pub(super) fn lie(lie: FalseAnswer, seq: u64, window: u32) -> String {
    match lie {
        FalseAnswer::Seq => ok(seq + 1_000, window),
        FalseAnswer::Receive => json!({"receive": "maybe", "seq": seq}).to_string(),
        FalseAnswer::Json => "<html>all is well</html>".to_owned(),
        FalseAnswer::Hole => hole(1, window),
        FalseAnswer::Verdicts => ok(seq, window),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sim_reads_push_with_optional_range() {
        let plain = ReceivedPush::read(br#"{"strong":[{"text":"a"},{"id":"b"}],"seq":7}"#).expect("a push");
        assert_eq!(plain, ReceivedPush { seq: 7, first: 6, items: vec!["a".to_owned(), "b".to_owned()] });
        assert_eq!([plain.known(5), plain.known(6), plain.known(7), plain.known(9)], [None, Some(0), Some(1), Some(2)]);
        let pdu = br#"{"strong":[{"update":"pdu","pdu":{"origin":"red","pdu_id":"1"}}],"seq":7,"from_seq":7}"#;
        assert_eq!(ReceivedPush::read(pdu).expect("a push").items, ["red/1"]);
        for not in [&b"{}"[..], b"[]", b"x", br#"{"strong":3,"seq":1}"#, br#"{"strong":[{},{}],"seq":0}"#] {
            assert_eq!(ReceivedPush::read(not), None, "{}", String::from_utf8_lossy(not));
        }
    }
}
