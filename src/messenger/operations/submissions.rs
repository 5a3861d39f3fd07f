//! The operations that submit, and that follow a submission.

use serde_json::json;

use super::{BODY, KEYS};
use crate::api::messages::MessageTrace;
use crate::api::requests::{BatchRequest, EphemeralRequest, MessageRequest, UpdatesRequest};
use crate::api::submissions::{AcceptedSubmission, BatchAnswer};
use crate::messenger::{ephemeral, messages, updates};
use crate::openapi::api_operation::ApiOperation;
use crate::openapi::refusals::{CONTEXT, DRAFT, EVERY, OUTBOX, PEER, RefusalSet, TOKEN, UNAVAILABLE};

/// The locks of submission ids.
const SUBMISSION: RefusalSet = &[(429, &["TOO_MANY_SUBMISSIONS"])];

const ID: RefusalSet = &[(409, &["ID_IN_USE"]), (422, &["BAD_ID"])];

const MESSAGE: RefusalSet = &[(
    422,
    &[
        "BAD_CONTEXT",
        "BAD_TYPE",
        "BAD_CONTENT",
        "BAD_STATE_KEY",
        "BAD_POWER_LEVEL",
        "BAD_TO",
        "BAD_EXTRA",
        "BAD_RECEIPT",
        "NESTS_TOO_DEEP",
    ],
)];

const UPDATES: RefusalSet = &[(
    422,
    &[
        "BAD_TO",
        "BAD_RECEIPT",
        "BAD_STRONG",
        "TOO_MANY_UPDATES",
        "NOT_AN_OBJECT",
        "NESTS_TOO_DEEP",
        "RESERVED",
        "DIALECT",
    ],
)];

const EPHEMERAL: RefusalSet =
    &[(422, &["BAD_TO", "BAD_CONTEXT", "BAD_KEY", "BAD_TTL", "BAD_UPDATE", "NESTS_TOO_DEEP"])];

pub(super) fn operations() -> Vec<ApiOperation> {
    vec![
        ApiOperation::put("/updates/{id}", "Submit strong updates for servers.", |route| route.to(updates::put::put))
            .body::<UpdatesRequest>(json!({
                "to": ["blue.example"],
                "strong": [{ "update": "message", "text": "hello" }],
            }))
            .answers::<AcceptedSubmission>(202, "The updates are on disk. A repeat gets the same answer.")
            .refuses(&[EVERY, TOKEN, BODY, KEYS, SUBMISSION, ID, UPDATES, PEER, OUTBOX]),
        ApiOperation::post("/messages", "Submit messages, each with its own result.", |route| {
            route.to(messages::post_batch::post)
        })
        .body::<BatchRequest>(json!({
            "messages": [{ "id": "m-2", "context": "#garden", "type": "m.text", "content": { "body": "hello" } }],
        }))
        .answers::<BatchAnswer>(200, "The result of each message, in their order.")
        .refuses(&[EVERY, TOKEN, BODY, SUBMISSION, UNAVAILABLE, &[(422, &["TOO_MANY_MESSAGES"])]]),
        ApiOperation::get("/messages/{id}", "Follow a submission, peer by peer.", |route| {
            route.to(messages::trace::get)
        })
        .answers::<MessageTrace>(200, "Its delivery to each recipient.")
        .refuses(&[EVERY, TOKEN, UNAVAILABLE, &[(404, &["UNKNOWN_ID"])]]),
        ApiOperation::put("/messages/{id}", "Submit a message into a context.", |route| route.to(messages::put::put))
            .body::<MessageRequest>(json!({
                "context": "#garden",
                "type": "m.text",
                "content": { "body": "hello" },
            }))
            .example(
                "state",
                json!({
                    "context": "#garden",
                    "type": "m.topic",
                    "content": { "topic": "roses" },
                    "state_key": "",
                    "power_level": 50,
                }),
            )
            .example(
                "narrowed",
                json!({
                    "context": "#garden",
                    "type": "m.text",
                    "content": "psst",
                    "to": ["blue.example"],
                    "extra": { "thread": 7 },
                }),
            )
            .answers::<AcceptedSubmission>(202, "The message is on disk. A repeat gets the same answer.")
            .refuses(&[EVERY, TOKEN, BODY, KEYS, SUBMISSION, ID, MESSAGE, CONTEXT, DRAFT]),
        ApiOperation::put("/ephemeral", "Send something that is useful only now.", |route| route.to(ephemeral::put))
            .body::<EphemeralRequest>(json!({
                "context": "#garden",
                "ttl": "30s",
                "update": { "update": "typing", "user_id": 1, "typing": true },
            }))
            .example(
                "servers",
                json!({ "to": ["blue.example"], "key": "k", "ttl": 5, "update": { "update": "typing" } }),
            )
            .answers_nothing(204, "It is sent while it is of use; nothing is stored.")
            .refuses(&[EVERY, TOKEN, BODY, KEYS, EPHEMERAL, CONTEXT, PEER]),
    ]
}
