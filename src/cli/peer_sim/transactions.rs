//! Receiving transactions as a simple and honest server would: each PDU once, by its id.

use serde_json::{Value, json};

use super::script::Lie;
use super::updates::name_of;

/// Where transactions are put, before their id.
pub(super) const SEND: &str = "/matrix/federation/v1/send/";

/// The names of a transaction's PDUs; `None`: it is no transaction.
pub(super) fn read(body: &[u8]) -> Option<Vec<String>> {
    let transaction: Value = serde_json::from_slice(body).ok()?;
    transaction.get("origin")?.as_str()?;
    let none = vec![];
    Some(transaction.get("pdus").map_or(Some(&none), Value::as_array)?.iter().map(name_of).collect())
}

/// A verdict for each, in order.
pub(super) fn verdicts(items: &[String], is_new: impl Fn(&String) -> bool) -> String {
    let entry = |item: &String| {
        let (origin, id) = item.split_once('/').unwrap_or(("", item));
        json!({"origin": origin, "pdu_id": id, "status": if is_new(item) { "accepted" } else { "duplicate" }})
    };
    json!({"pdus": items.iter().map(entry).collect::<Vec<_>>()}).to_string()
}

/// The dialect's sender looks at the status alone: each of these has taken the transaction, whatever it says.
pub(super) fn lie(lie: Lie, items: &[String]) -> String {
    match lie {
        Lie::Seq => json!({"pdus": [], "transaction_id": "0"}).to_string(),
        Lie::Receive => "null".to_owned(),
        Lie::Json => "<html>all is well</html>".to_owned(),
        Lie::Hole => "[]".to_owned(),
        Lie::Verdicts => {
            let others: Vec<Value> = items
                .iter()
                .map(|item| json!({"origin": "nobody.example", "pdu_id": item, "error": "never sent", "code": "LIE"}))
                .collect();
            json!({"pdus": others}).to_string()
        }
    }
}
