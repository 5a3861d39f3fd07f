//! Codes: each one that the operations of an API state stands in a table of codes of the API's page.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::pages::{assert_complete, page, quoted};

/// Adds the codes of a description, each with the operations that state it.
fn add_codes(document: &Value, codes: &mut BTreeMap<String, BTreeSet<String>>) {
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("an item") {
            let mut open = vec![operation];
            while let Some(value) = open.pop() {
                let listed = value.pointer("/code/enum").and_then(Value::as_array).into_iter().flatten();
                for code in listed.filter_map(Value::as_str) {
                    let name = format!("{} {path}", method.to_uppercase());
                    codes.entry(code.to_owned()).or_default().insert(name);
                }
                match value {
                    Value::Array(items) => open.extend(items),
                    Value::Object(members) => open.extend(members.values()),
                    _ => {}
                }
            }
        }
    }
}

/// Returns what stands in backticks in the first column of the tables whose first heading is `code`.
fn documented(path: &str) -> BTreeSet<String> {
    let page = page(path);
    let mut codes = BTreeSet::new();
    let mut is_in_table = false;
    for line in page.text.lines() {
        let Some(row) = line.strip_prefix("| ") else {
            is_in_table &= line.starts_with('|');
            continue;
        };
        let first = row.split(" |").next().unwrap_or_default();
        is_in_table |= first == "code" || first.starts_with("code of ");
        if is_in_table {
            codes.extend(quoted(first).map(str::to_owned));
        }
    }
    codes
}

#[test]
fn every_operation_code_stands_in_manual() {
    let mut complaints = Vec::new();
    let mut count = 0;
    for (document, paths) in [
        (fernpost::messenger::document(), &["docs/messenger.md", "docs/protocol.md"][..]),
        (fernpost::admin::document(), &["docs/operating.md", "docs/messenger.md", "docs/protocol.md"]),
    ] {
        let mut codes = BTreeMap::new();
        add_codes(&document, &mut codes);
        count += codes.len();
        let documented: BTreeSet<String> = paths.iter().flat_map(|path| documented(path)).collect();
        for (code, operations) in codes.iter().filter(|(code, _)| !documented.contains(*code)) {
            let operation = operations.first().expect("one at least");
            complaints.push(format!("{}: no table of codes has {code}, which {operation} answers", paths[0]));
        }
    }
    assert!(count > 80, "{count} codes");
    assert_complete(&complaints);
}

/// Codes that a request to the example gateways does not bring about: they need a limit, a fault, a configuration or a state.
const UNPROVOKED: &[&str] = &[
    "BAD_BODY",
    "BAD_REQUEST",
    "BODY_TIMEOUT",
    "BUSY",
    "DENIED",
    "DISK_LOW",
    "FAULTY",
    "GONE",
    "HEAD_TIMEOUT",
    "HEAD_TOO_LARGE",
    "INTERNAL",
    "NOT_OURS",
    "OUTBOX_FULL",
    "OUTCOME_UNKNOWN",
    "PUSH_ON",
    "STOPPING",
    "STORE_UNREADABLE",
    "STRANGERS_ROWS",
    "TOO_MANY_PARTICIPANTS",
    "TOO_MANY_READS",
    "TOO_MANY_SUBMISSIONS",
    "TO_NOT_HONOURED",
    "UNAUTHENTICATED",
    "bad_body",
    "busy",
    "dialect",
    "refused",
    "suspended",
    "timeout",
    "unreachable",
];

/// An example that is run shows a refusal as `"code":"CODE"` below the request; of others the whole answer stands in a JSON example.
#[test]
fn every_messenger_code_has_example() {
    let mut codes = BTreeMap::new();
    add_codes(&fernpost::messenger::document(), &mut codes);
    let page = page("docs/messenger.md");
    let examples = page.examples();
    let has = |language: &str, code: &str| {
        let wanted = format!("\"code\":\"{code}\"");
        examples.iter().any(|example| example.language == language && example.text.contains(&wanted))
    };
    let mut complaints = Vec::new();
    for code in codes.keys() {
        let is_unprovoked = UNPROVOKED.contains(&code.as_str());
        if is_unprovoked && !has("json", code) {
            complaints.push(format!("{}: no JSON example has the code {code}", page.path));
        }
        if !is_unprovoked && !has("sh run", code) {
            complaints.push(format!("{}: no example that is run (sh run) has the code {code}", page.path));
        }
    }
    let gone = UNPROVOKED.iter().filter(|code| !codes.contains_key(**code));
    complaints.extend(gone.map(|code| format!("tests/manual/codes.rs: no operation has {code}; take it off the list")));
    assert_complete(&complaints);
}
