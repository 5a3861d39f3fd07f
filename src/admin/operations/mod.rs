//! The operations of the operator's API: their routes and their description.

mod contexts;
mod peers;
mod process;
mod quarantine;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use bytes::Bytes;
use serde_json::Value;

use crate::admin::{health, manual, metrics};
use crate::openapi::api_document::{ApiDocument, OperationGroup};
use crate::openapi::api_operation::ApiOperation;
use crate::openapi::path_parameters::PathParameter;
use crate::openapi::refusals::RefusalSet;
use crate::openapi::served_document::{self, ServedDocument};

/// A call below `/admin/v1`: its token, and the server that it is for.
const OPERATOR: RefusalSet = &[(401, &["UNAUTHENTICATED"]), (421, &["OTHER_SERVER"])];

/// A call with a JSON body.
const BODY: RefusalSet = &[(400, &["BAD_BODY"]), (408, &["BODY_TIMEOUT"]), (413, &["BODY_TOO_LARGE"])];

/// A path that names a peer.
const NAMED_PEER: RefusalSet = &[(404, &["UNKNOWN_PEER"])];

/// A list with a filter and places to continue from.
const FILTER: RefusalSet = &[(400, &["BAD_FILTER", "BAD_AFTER"])];

const PATH_PARAMETERS: &[PathParameter] = &[
    PathParameter {
        name: "id",
        description: "Id of a submission; for a trace also that of an event: `ORIGIN/PDU_ID` or `SERVER#N`, with `/` written `%2F` and \
                      `#` written `%23`.",
        example: "m-1",
        pattern: "",
    },
    PathParameter {
        name: "context",
        description: "Id of a context. `#` is written `%23`.",
        example: "#garden",
        pattern: "",
    },
    PathParameter {
        name: "server",
        description: "Name of a peer; or with `of=messenger` the position of an event.",
        example: "blue.example",
        pattern: "",
    },
    PathParameter {
        name: "item",
        description: "Id of an item: `in:NUMBER`, `out:NUMBER`, or the number alone if only one direction has it.",
        example: "in:1",
        pattern: "^((in|out):)?[0-9]{1,18}$",
    },
    manual::TOPIC_PARAMETER,
];

const DESCRIPTION: &str = "\
Shows and changes the state of a gateway, for operators and their tools; the command line calls it. Every answer below `/admin/v1` \
has the header `Fernpost-Server` with the name of the gateway; a request with this header is refused by any other gateway (421). An \
answer with an error status is `{\"error\",\"code\"}`: the code is for programs and never changes.\n\nA request whose head cannot be \
read is refused before its path is known (400, 408, 431). `HEAD` is served as `GET` without the body.";

/// The document of the operator's API.
static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| document().to_string().into());

/// The document, for its operation.
pub(super) const SERVED: ServedDocument = ServedDocument(&DOCUMENT);

/// Returns the operations below `/admin/v1`, each with the role that its caller needs.
pub(super) fn operations() -> Vec<ApiOperation> {
    let all = [peers::operations(), contexts::operations(), process::operations(), quarantine::operations()].concat();
    all.into_iter().map(ApiOperation::with_role).collect()
}

/// Returns the document.
pub(super) fn document() -> Value {
    let addressed = operations().into_iter().map(|operation| {
        let words = "Name of the gateway that is meant.";
        operation.parameter("header", "Fernpost-Server", words, &serde_json::json!({ "type": "string" }))
    });
    let document = vec![served_document::operation()];
    let root = [health::operations(), metrics::operations(), document, manual::operations()].concat();
    let document = ApiDocument {
        title: "Fernpost, API of the operator",
        description: DESCRIPTION,
        token: "admin.token_file` or `admin.tokens",
        path_parameters: PATH_PARAMETERS,
        groups: vec![
            OperationGroup { prefix: "/admin/v1", operations: addressed.collect() },
            OperationGroup { prefix: "", operations: root },
        ],
        webhooks: Vec::new(),
    };
    document.build()
}
