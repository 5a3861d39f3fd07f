//! Receives transactions like a simple, correct server: each PDU once, by its id.

use serde_json::{Value, json};

use super::script::FalseAnswer;
use super::updates::name_of;

/// Path of transactions, without the id.
pub(super) const SEND: &str = "/matrix/federation/v1/send/";

/// Returns the names of a transaction's PDUs; `None` if it is not a transaction.
pub(super) fn read(body: &[u8]) -> Option<Vec<String>> {
    let transaction: Value = serde_json::from_slice(body).ok()?;
    transaction.get("origin")?.as_str()?;
    let none = vec![];
    Some(transaction.get("pdus").map_or(Some(&none), Value::as_array)?.iter().map(name_of).collect())
}

/// Returns a response with one verdict per PDU, in order.
pub(super) fn verdicts(items: &[String], is_new: impl Fn(&String) -> bool) -> String {
    let entry = |item: &String| {
        let (origin, id) = item.split_once('/').unwrap_or(("", item));
        json!({"origin": origin, "pdu_id": id, "status": if is_new(item) { "accepted" } else { "duplicate" }})
    };
    json!({"pdus": items.iter().map(entry).collect::<Vec<_>>()}).to_string()
}

/// Returns a false response. The sender only looks at the status, so the transaction counts as accepted in each case.
pub(super) fn lie(lie: FalseAnswer, items: &[String]) -> String {
    match lie {
        FalseAnswer::Seq => json!({"pdus": [], "transaction_id": "0"}).to_string(),
        FalseAnswer::Receive => "null".to_owned(),
        FalseAnswer::Json => "<html>all is well</html>".to_owned(),
        FalseAnswer::Hole => "[]".to_owned(),
        FalseAnswer::Verdicts => {
            let others: Vec<Value> = items
                .iter()
                .map(|item| json!({"origin": "nobody.example", "pdu_id": item, "error": "never sent", "code": "LIE"}))
                .collect();
            json!({"pdus": others}).to_string()
        }
    }
}
