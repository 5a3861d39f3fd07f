//! The calls that push mode makes at the messenger.

use std::collections::BTreeMap;

use actix_web::http::Method;
use serde_json::Value;

use crate::api::feed::{PushAnswer, PushedEphemeral, PushedEvents};
use crate::openapi::api_webhook::ApiWebhook;

const TRANSACTIONS: &str = "`PUT {url}/transactions/{txn}`, where `url` is `messenger.push.url`: events of the feed. At most one is in \
    flight. A retry has the same `txn` and the same bytes; an event that comes again after a restart comes under a new `txn` and with \
    its old `id`.";

/// Returns the webhooks.
pub(super) fn webhooks() -> Vec<ApiWebhook> {
    vec![
        signed(ApiWebhook::new(Method::PUT, "transactions", TRANSACTIONS))
            .parameter("path", "txn", true, "Transaction id: a decimal number that rises.")
            .body::<PushedEvents>()
            .answered_with::<PushAnswer>("2XX", "All events are acknowledged, but for those that are refused.")
            .answered("400", "The content is the cause: the batch is halved, and one event is refused.")
            .answered("413", "As 400, and later batches are smaller.")
            .answered("422", "As 400.")
            .answered("500", "The same again; after `messenger.push.poison_after` attempts as 400.")
            .answered("default", "The same again, after a delay. `Retry-After` of 429 and 503 is obeyed."),
        signed(ApiWebhook::new(
            Method::POST,
            "ephemeral",
            "`POST {url}/ephemeral`: what peers send that is useful only now. Nothing is sent again.",
        ))
        .body::<PushedEphemeral>()
        .answered("default", "The answer is not read."),
        signed(ApiWebhook::new(
            Method::POST,
            "rpc",
            "`POST {url}/rpc`: a peer asks. If the connection is closed before the answer, nobody waits for it any more.",
        ))
        .parameter("header", "Fernpost-Peer", true, "Name of the peer.")
        .parameter("header", "Fernpost-Timeout", true, "What is left of the time, in milliseconds.")
        .body::<BTreeMap<String, Value>>()
        .answered_with::<Value>("2XX", "JSON. It reaches the peer with the status 200.")
        .answered_with::<Value>("4XX", "JSON. It reaches the peer as it is.")
        .answered("default", "The peer gets 502."),
        signed(ApiWebhook::new(
            Method::GET,
            "ping",
            "`GET {url}/ping`: asked at the start and by `fernpost check messenger`, for the log.",
        ))
        .answered("2XX", "The messenger is up.")
        .answered("default", "It is not. Nothing follows."),
    ]
}

/// Adds the headers of Standard Webhooks, which are there if a secret is configured.
fn signed(webhook: ApiWebhook) -> ApiWebhook {
    webhook
        .parameter("header", "webhook-id", false, "Id of the call: of a transaction its `txn`.")
        .parameter("header", "webhook-timestamp", false, "Time of this attempt, in seconds since 1970.")
        .parameter(
            "header",
            "webhook-signature",
            false,
            "`v1,` and base64 of HMAC-SHA256 over id, timestamp and body, joined by dots; two of them while a secret is changed.",
        )
}
