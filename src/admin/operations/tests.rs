//! Tests of the description of the operator's API.

use serde_json::{Value, json};

use super::*;

#[test]
fn operator_document_has_all_groups() {
    let document = document();
    let security = |path: &str| document["paths"][path]["get"].get("security").cloned();
    for path in ["/health/live", "/health/ready", "/metrics", "/openapi.json", "/manual", "/manual/{topic}"] {
        assert_eq!(security(path), Some(json!([])), "{path}");
    }
    assert_eq!(security("/admin/v1/peers"), None, "the token of the whole document");
    assert_eq!(document["security"], json!([{ "token": [] }]));
    assert!(document.get("webhooks").is_none());
}

#[test]
fn missing_page_has_both_forms() {
    let document = document();
    let content = &document["paths"]["/manual/{topic}"]["get"]["responses"]["404"]["content"];
    assert_eq!(content["text/html"]["schema"]["type"], "string");
    let refusal = &content["application/json"]["schema"];
    assert_eq!(refusal["properties"]["code"]["enum"], json!(["NO_ROUTE"]), "{refusal}");
}

#[test]
fn written_values_are_never_null() {
    let document = document();
    let row = &document["components"]["schemas"]["QuarantineRow"]["properties"];
    assert_eq!((&row["context"]["type"], &row["seq"]["maximum"]), (&json!("string"), &json!(u64::MAX)));
    let name = &document["components"]["schemas"]["PartialPduName"];
    assert_eq!(name["properties"]["origin"]["type"], json!(["string", "null"]), "{name}");
    let asked = &document["components"]["schemas"]["BulkReleaseRequest"]["properties"]["kind"]["type"];
    assert_eq!(asked, &json!(["string", "null"]), "a reader accepts null");
}

#[test]
fn operation_ids_are_unique() {
    let document = document();
    let paths = document["paths"].as_object().expect("paths");
    let operations = paths.values().flat_map(|item| item.as_object().expect("an item").values());
    let ids: Vec<&Value> = operations.map(|operation| &operation["operationId"]).collect();
    let mut unique: Vec<String> = ids.iter().map(ToString::to_string).collect();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), ids.len(), "{ids:?}");
}
