//! The operations of the messenger's API: their routes and their description.

mod calls;
mod contexts;
mod feed;
mod submissions;
#[cfg(test)]
mod tests;
mod webhooks;

use std::sync::LazyLock;

use bytes::Bytes;
use serde_json::Value;

use crate::openapi::api_document::{ApiDocument, OperationGroup};
use crate::openapi::api_operation::ApiOperation;
use crate::openapi::path_parameters::PathParameter;
use crate::openapi::refusals::RefusalSet;
use crate::openapi::served_document::{self, ServedDocument};

/// A call with a JSON body.
const BODY: RefusalSet = &[(400, &["BAD_BODY", "BAD_JSON"]), (408, &["BODY_TIMEOUT"]), (413, &["TOO_LARGE"])];

/// A body whose keys are read one by one.
const KEYS: RefusalSet = &[(400, &["UNKNOWN_KEY"])];

const PATH_PARAMETERS: &[PathParameter] = &[
    PathParameter {
        name: "id",
        description: "Id of the submission: 1 to 128 characters of `A-Z a-z 0-9 . _ ~ -`. Messages and updates share one name space.",
        example: "m-1",
        pattern: "",
    },
    PathParameter {
        name: "context",
        description: "Id of the context. `#` is written `%23`.",
        example: "#garden",
        pattern: "",
    },
    PathParameter { name: "server", description: "Name of the peer.", example: "blue.example", pattern: "" },
];

const DESCRIPTION: &str = "\
Submits messages and updates for other servers, and reads the feed of what they send. An answer with an error status is \
`{\"error\",\"code\"}`: the code is for programs and never changes. An error with the header `Retry-After` may be repeated after \
that time.\n\nA request whose head cannot be read is refused before its path is known (400, 408, 431). Each path may end in `/`. \
`HEAD` is served as `GET` without the body.";

/// The document of the messenger's API.
static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| document().to_string().into());

/// The document, for its operation.
pub(super) const SERVED: ServedDocument = ServedDocument(&DOCUMENT);

/// Returns the operations below `/v1`.
pub(super) fn operations() -> Vec<ApiOperation> {
    [submissions::operations(), contexts::operations(), feed::operations(), calls::operations()].concat()
}

/// Returns the document.
pub(super) fn document() -> Value {
    let document = ApiDocument {
        title: "Fernpost, API of the messenger",
        description: DESCRIPTION,
        token: "messenger.token_file",
        path_parameters: PATH_PARAMETERS,
        groups: vec![
            OperationGroup { prefix: "/v1", operations: operations() },
            OperationGroup { prefix: "", operations: vec![served_document::operation()] },
        ],
        webhooks: webhooks::webhooks(),
    };
    document.build()
}
