//! The operations about contexts and submissions.

use super::{FILTER, NAMED_PEER, OPERATOR};
use crate::admin::contexts::ContextListQuery;
use crate::admin::contexts::context_verify::{self, VerifyQuery};
use crate::admin::messages::MessageCommandQuery;
use crate::admin::messages::list::MessageListQuery;
use crate::admin::{contexts, messages};
use crate::api::contexts::verification::ContextVerification;
use crate::api::contexts::{ContextDetails, ContextPage, MergeResult};
use crate::api::messages::{InboundTrace, MessageCommandResult, MessageListPage, MessageTrace};
use crate::http::bearer::operator_role::OperatorRole;
use crate::openapi::api_operation::ApiOperation;
use crate::openapi::refusals::{COMMAND, CONTEXT, DRAFT, EVERY, QUERY, RefusalSet, UNAVAILABLE};

const SUBMISSION: RefusalSet = &[(404, &["UNKNOWN_ID"])];
const COMPARISON: RefusalSet = &[
    (422, &["NOT_FERNPOST", "NOT_A_PARTICIPANT"]),
    (429, &["VERIFY_BUSY"]),
    (502, &["PEER_UNREACHABLE", "PEER_REFUSED", "PEER_BAD_ANSWER"]),
    (503, &["PEER_SUSPENDED"]),
    (504, &["PEER_TIMEOUT"]),
];
const RECIPIENT: RefusalSet = &[(404, &["UNKNOWN_LEG"])];

pub(super) fn operations() -> Vec<ApiOperation> {
    let command = |operation: ApiOperation| {
        operation
            .query::<MessageCommandQuery>()
            .answers::<MessageCommandResult>(200, "The result for each recipient.")
            .refuses(&[EVERY, OPERATOR, QUERY, SUBMISSION, RECIPIENT, COMMAND])
    };
    vec![
        ApiOperation::get("/messages", "List the submissions.", |route| route.to(messages::list::list))
            .query::<MessageListQuery>()
            .answers::<MessageListPage>(200, "A page of submissions, by id.")
            .refuses(&[EVERY, OPERATOR, QUERY, FILTER, NAMED_PEER, UNAVAILABLE]),
        ApiOperation::get("/messages/{id}", "Follow a submission peer by peer, or the item of an event.", |route| {
            route.to(messages::get)
        })
        .answers_either::<MessageTrace, InboundTrace>(
            200,
            "The delivery to each recipient; or how an item of a peer came in, and whether the messenger has it.",
        )
        .refuses(&[EVERY, OPERATOR, SUBMISSION, UNAVAILABLE]),
        command(ApiOperation::post("/messages/{id}/retry", "Queue a submission again.", |route| {
            route.to(messages::retry)
        }))
        .needs(OperatorRole::Operate),
        command(ApiOperation::post("/messages/{id}/drop", "Take a submission out of the queues.", |route| {
            route.to(messages::drop)
        })),
        ApiOperation::get("/contexts", "List the contexts.", |route| route.to(contexts::list))
            .query::<ContextListQuery>()
            .answers::<ContextPage>(200, "A page of contexts, by id.")
            .refuses(&[EVERY, OPERATOR, QUERY, CONTEXT]),
        ApiOperation::get("/contexts/{context}", "Show a context.", |route| route.to(contexts::show))
            .answers::<ContextDetails>(200, "Participants, heads, gaps, and the progress of a join.")
            .refuses(&[EVERY, OPERATOR, CONTEXT]),
        ApiOperation::post("/contexts/{context}/merge", "Join the heads of a context by messages.", |route| {
            route.to(contexts::merge)
        })
        .answers::<MergeResult>(200, "The number of heads before and after.")
        .refuses(&[EVERY, OPERATOR, CONTEXT, DRAFT])
        .needs(OperatorRole::Operate),
        ApiOperation::post("/contexts/{context}/verify", "Compare the history of a context with a peer.", |route| {
            route.to(context_verify::verify)
        })
        .query::<VerifyQuery>()
        .answers::<ContextVerification>(200, "What each side lacks, and what became of what was missing here.")
        .refuses(&[EVERY, OPERATOR, QUERY, CONTEXT, NAMED_PEER, COMPARISON])
        .needs(OperatorRole::Operate),
    ]
}
