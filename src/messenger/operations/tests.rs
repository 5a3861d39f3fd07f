//! Tests of the description of the messenger's API: its requests are those that the handlers read.

use std::collections::BTreeSet;

use actix_web::http::Method;
use actix_web::test::{TestRequest, call_service, init_service};
use actix_web::{App, HttpResponse, web};
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;
use crate::api::requests::{BatchRequest, EphemeralRequest, MessageRequest, ParticipantsRequest, UpdatesRequest};
use crate::http::error::ApiError;
use crate::json::canonical::split_object;
use crate::messenger::contexts::context;
use crate::messenger::ephemeral::EphemeralBody;
use crate::messenger::messages::body::MessageBody;
use crate::messenger::messages::post_batch;
use crate::messenger::updates::body::UpdatesBody;

fn examples(path: &str, method: &str) -> Vec<Value> {
    let document = document();
    let examples = &document["paths"][path][method]["requestBody"]["content"]["application/json"]["examples"];
    examples.as_object().expect("examples").values().map(|example| example["value"].clone()).collect()
}

/// Reads an example by its type and by the handler; both must accept it, and the type must have all its keys.
fn assert_read<T: Serialize + DeserializeOwned>(
    (path, method): (&str, &str),
    read: impl Fn(&Bytes) -> Result<(), ApiError>,
) {
    for example in examples(path, method) {
        let text = Bytes::from(example.to_string());
        read(&text).unwrap_or_else(|refusal| panic!("{method} {path}: {refusal}: {example}"));
        let value: T = serde_json::from_value(example.clone()).expect("of its type");
        assert_eq!(serde_json::to_value(value).expect("plain"), example);
    }
}

fn read_message(text: &Bytes) -> Result<(), ApiError> {
    MessageBody::decode(text, split_object(text).expect("an object"), None).map(drop)
}

#[test]
fn documented_requests_are_read() {
    assert_read::<MessageRequest>(("/v1/messages/{id}", "put"), read_message);
    assert_read::<UpdatesRequest>(("/v1/updates/{id}", "put"), |text| UpdatesBody::decode(text).map(drop));
    assert_read::<EphemeralRequest>(("/v1/ephemeral", "put"), |text| EphemeralBody::decode(text).map(drop));
    assert_read::<ParticipantsRequest>(("/v1/contexts/{context}", "put"), |text| context::decode(text).map(drop));
    assert_read::<BatchRequest>(("/v1/messages", "post"), |text| {
        let messages = post_batch::decode(text)?;
        messages.into_iter().try_for_each(|element| element.message.map(drop))
    });
}

/// Returns the keys that a handler names when it meets another one.
fn known_keys(read: impl Fn(&Bytes) -> Result<(), ApiError>) -> BTreeSet<String> {
    let refusal = read(&Bytes::from_static(br#"{"?":1}"#)).expect_err("an unknown key");
    let words = refusal.to_string();
    let (_, keys) = words.split_once("expected ").expect("the keys");
    keys.split(", ").map(str::to_owned).collect()
}

#[test]
fn documented_keys_are_those_read() {
    let document = document();
    let documented = |name: &str| -> BTreeSet<String> {
        document["components"]["schemas"][name]["properties"].as_object().expect(name).keys().cloned().collect()
    };
    assert_eq!(documented("MessageRequest"), known_keys(read_message));
    assert_eq!(documented("UpdatesRequest"), known_keys(|text| UpdatesBody::decode(text).map(drop)));
    assert_eq!(documented("EphemeralRequest"), known_keys(|text| EphemeralBody::decode(text).map(drop)));
    assert_eq!(documented("ParticipantsRequest"), known_keys(|text| context::decode(text).map(drop)));
}

#[test]
fn events_have_one_schema_each() {
    let document = document();
    let kinds: Vec<&str> = document["components"]["schemas"]["EventShape"]["oneOf"]
        .as_array()
        .expect("a choice")
        .iter()
        .map(|kind| kind["properties"]["kind"]["const"].as_str().expect("a constant"))
        .collect();
    let expected = ["message", "state", "update", "gap", "gap_filled", "delivery", "peer", "parked", "notice"];
    assert_eq!(kinds, expected);
}

#[test]
fn document_states_version_and_webhooks() {
    let document = document();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(document["paths"]["/openapi.json"]["get"]["security"], json!([]));
    let stream = &document["paths"]["/v1/events"]["get"]["responses"]["200"]["content"]["text/event-stream"];
    assert_eq!(stream["schema"]["type"], "string");
    let webhooks: Vec<&String> = document["webhooks"].as_object().expect("webhooks").keys().collect();
    assert_eq!(webhooks, ["ephemeral", "ping", "rpc", "transactions"]);
}

/// A document without its listener: `configure` needs a gateway, and this route does not.
#[actix_web::test]
async fn document_is_served_without_token() {
    let guarded = |config: &mut web::ServiceConfig| {
        crate::messenger::configure_document(config);
        config.default_service(web::to(HttpResponse::Unauthorized));
    };
    let app = init_service(App::new().configure(guarded)).await;
    let ask = |method: Method| TestRequest::default().method(method).uri("/openapi.json").to_request();
    let answer = call_service(&app, ask(Method::GET)).await;
    assert_eq!(answer.headers().get("content-type").map(|kind| kind.as_bytes()), Some(&b"application/json"[..]));
    let body = actix_web::test::read_body(answer).await;
    assert_eq!(serde_json::from_slice::<Value>(&body).expect("JSON"), document());
    let refused = call_service(&app, ask(Method::POST)).await;
    let allowed = refused.headers().get("allow").map(|methods| methods.as_bytes());
    assert_eq!((refused.status().as_u16(), allowed), (405, Some(&b"GET, HEAD"[..])));
}
