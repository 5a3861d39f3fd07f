//! The operation that asks a peer.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::messenger::rpc;
use crate::openapi::api_operation::ApiOperation;
use crate::openapi::refusals::{EVERY, RefusalSet, TOKEN, UNAVAILABLE};

/// The gateway's own answers. Their codes are in small letters.
const CALL: RefusalSet = &[
    (400, &["bad_timeout", "bad_json", "bad_body"]),
    (404, &["unknown_peer"]),
    (408, &["BODY_TIMEOUT"]),
    (413, &["too_large"]),
    (422, &["dialect"]),
    (429, &["busy"]),
    (502, &["refused", "unreachable"]),
    (503, &["suspended"]),
    (504, &["timeout"]),
];

pub(super) fn operations() -> Vec<ApiOperation> {
    let timeout = json!({ "type": "string", "pattern": "^[0-9]+(ms|s)$" });
    let words = "Time for the whole call, such as `1500ms` or `2s`; `rpc.timeout` if it is absent.";
    vec![
        ApiOperation::post("/rpc/{server}", "Ask the messenger of a peer.", |route| route.to(rpc::post))
            .parameter("header", "Fernpost-Timeout", words, &timeout)
            .body::<BTreeMap<String, Value>>(json!({ "method": "fernpost.ping" }))
            .answers::<Value>(200, "The answer of the peer. It carries the header `Fernpost-Peer`.")
            .refuses(&[EVERY, TOKEN, CALL, UNAVAILABLE])
            .passing_on(),
    ]
}
