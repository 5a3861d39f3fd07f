//! The messenger's API: docs/messenger.md lists each call, and has an example of each kind of event, of which the API's type writes the same
//! values.

use std::collections::BTreeSet;

use fernpost::api::feed::{EphemeralEventShape, EventShape, ResetEventShape};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::pages::{assert_complete, page, quoted};

/// Page that describes the events.
const EVENTS: &str = "docs/messenger.md";

/// Kinds that only streams and pushes have.
const UNNUMBERED: [&str; 2] = ["ephemeral", "reset"];

/// Returns the kinds of the feed's events, from the description of the API.
fn kinds() -> BTreeSet<String> {
    let document = fernpost::messenger::document();
    let choices = document["components"]["schemas"]["EventShape"].as_object().expect("a schema");
    let choices = choices.get("oneOf").or(choices.get("anyOf")).and_then(Value::as_array).expect("a choice");
    let kinds = choices.iter().map(|choice| constant(choice).unwrap_or_else(|| panic!("no kind: {choice}")));
    kinds.chain(UNNUMBERED.map(str::to_owned)).collect()
}

/// Returns the constant of the member `kind`, wherever a schema has it.
fn constant(schema: &Value) -> Option<String> {
    let own = schema.pointer("/properties/kind/const").and_then(Value::as_str);
    let parts = || schema.get("allOf").and_then(Value::as_array)?.iter().find_map(constant);
    own.map(str::to_owned).or_else(parts)
}

/// Returns why a value is no `T`, or loses a member as one.
fn mismatch<T: Serialize + DeserializeOwned>(value: &Value) -> Option<String> {
    match serde_json::from_value::<T>(value.clone()) {
        Err(error) => Some(error.to_string()),
        Ok(read) => {
            let written = serde_json::to_value(&read).expect("plain");
            (written != *value).then(|| format!("it is read as {written}"))
        }
    }
}

#[test]
fn every_event_kind_has_example() {
    let page = page(EVENTS);
    let mut shown = BTreeSet::new();
    let mut complaints = Vec::new();
    for example in page.examples().into_iter().filter(|example| example.language == "json event") {
        for line in example.text.lines() {
            let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{}: {error}", example.place));
            let kind = value["kind"].as_str().unwrap_or_default().to_owned();
            let wrong = match kind.as_str() {
                "ephemeral" => mismatch::<EphemeralEventShape>(&value),
                "reset" => mismatch::<ResetEventShape>(&value),
                _ => mismatch::<EventShape>(&value),
            };
            complaints.extend(wrong.map(|why| format!("{}: the event {kind}: {why}", example.place)));
            shown.insert(kind);
        }
    }
    let cells = page.first_cells();
    for kind in kinds() {
        if !shown.contains(&kind) {
            complaints.push(format!("{EVENTS}: no example (json event) of the kind {kind}"));
        }
        if !UNNUMBERED.contains(&&*kind) && !cells.iter().any(|cell| *cell == format!("`{kind}`")) {
            complaints.push(format!("{EVENTS}: the table of events has no row of the kind {kind}"));
        }
    }
    assert_complete(&complaints);
}

#[test]
fn every_messenger_call_is_listed() {
    let page = page(EVENTS);
    let cells = page.first_cells();
    let listed: BTreeSet<&str> = cells.iter().flat_map(|cell| quoted(cell)).collect();
    let document = fernpost::messenger::document();
    let mut complaints = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for method in item.as_object().expect("an item").keys() {
            let call = format!("{} {path}", method.to_uppercase());
            if !listed.contains(call.as_str()) {
                complaints.push(format!("{EVENTS}: no table of calls has `{call}`"));
            }
        }
    }
    assert_complete(&complaints);
}
