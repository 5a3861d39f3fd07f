//! The operations of the quarantines: that of the peers' items, and that of the events which the messenger refused.

use actix_web::guard::fn_guard;
use serde_json::{Value, json};

use super::{BODY, FILTER, NAMED_PEER, OPERATOR};
use crate::admin::messenger::refused_events;
use crate::admin::quarantine::{QuarantineListQuery, bulk};
use crate::admin::{quarantine, release};
use crate::api::quarantine::{
    BulkReleaseRequest, BulkReleaseResult, QuarantineListPage, QuarantineRow, QuarantineSelection, RefusedEventPage,
    RefusedEventResult, ReleaseResult, SelectionResult,
};
use crate::http::bearer::operator_role::OperatorRole;
use crate::openapi::api_operation::ApiOperation;
use crate::openapi::refusals::{COMMAND, CONTEXT, EVERY, FEED_OWNER, PEER, QUERY, RefusalSet, UNAVAILABLE};

const ITEM: RefusalSet = &[(400, &["BAD_ID"]), (404, &["UNKNOWN_ITEM"]), (422, &["AMBIGUOUS_ID"])];
const REFUSED_EVENT: RefusalSet = &[(400, &["BAD_ID"]), (404, &["UNKNOWN_ITEM"])];
const PUSH: RefusalSet = &[(409, &["PUSH_OFF"])];

pub(super) fn operations() -> Vec<ApiOperation> {
    let one = |operation: ApiOperation| {
        operation.answers::<ReleaseResult>(200, "Done.").refuses(&[
            EVERY,
            OPERATOR,
            NAMED_PEER,
            ITEM,
            COMMAND,
            CONTEXT,
            &[(422, &["STAYS"])],
        ])
    };
    let all = |operation: ApiOperation| {
        of_messenger(operation)
            .body::<BulkReleaseRequest>(json!({ "direction": "in", "kind": "pdu" }))
            .answers_either::<BulkReleaseResult, RefusedEventResult>(200, "Done, for one page of the items.")
            .refuses(&[
                EVERY,
                OPERATOR,
                QUERY,
                BODY,
                FILTER,
                NAMED_PEER,
                COMMAND,
                CONTEXT,
                REFUSED_EVENT,
                PUSH,
                FEED_OWNER,
            ])
    };
    let selected = |operation: ApiOperation| {
        operation
            .body::<QuarantineSelection>(json!({ "from": "*.example", "code": "REFUSED_BY_PEER", "dry_run": true }))
            .answers::<SelectionResult>(200, "The items that match, and what was done, for one page of the items.")
            .refuses(&[EVERY, OPERATOR, QUERY, BODY, FILTER, COMMAND, CONTEXT])
    };
    vec![
        selected(ApiOperation::post("/quarantine/release", "Release all items that match.", |route| {
            route.to(bulk::release)
        }))
        .needs(OperatorRole::Operate),
        selected(ApiOperation::post("/quarantine/drop", "Delete all items that match.", |route| route.to(bulk::drop))),
        of_messenger(
            ApiOperation::get("/quarantine", "List a quarantine.", |route| route.to(quarantine::list))
                .or_if_guarded(|route| route.guard(fn_guard(refused_events::is_of_messenger)).to(refused_events::list)),
        )
        .query::<QuarantineListQuery>()
        .answers_either::<QuarantineListPage, RefusedEventPage>(
            200,
            "A page of items, or with `of=messenger` of events.",
        )
        .refuses(&[EVERY, OPERATOR, QUERY, FILTER, NAMED_PEER, UNAVAILABLE, &[(403, &["NEEDS_OPERATE"])]]),
        all(ApiOperation::post(
            "/quarantine/{server}/release",
            "Release all items of a server, or one event.",
            |route| route.to(release::release_all),
        )
        .or_if_guarded(|route| route.guard(fn_guard(refused_events::is_of_messenger)).to(refused_events::release)))
        .needs(OperatorRole::Operate),
        all(ApiOperation::post("/quarantine/{server}/drop", "Delete all items of a server, or one event.", |route| {
            route.to(release::drop_all)
        })
        .or_if_guarded(|route| route.guard(fn_guard(refused_events::is_of_messenger)).to(refused_events::drop))),
        ApiOperation::get("/quarantine/{server}/{item}", "Show an item.", |route| route.to(quarantine::show))
            .answers::<QuarantineRow>(200, "The item with its content.")
            .refuses(&[EVERY, OPERATOR, NAMED_PEER, ITEM, PEER])
            .needs(OperatorRole::Operate),
        one(ApiOperation::post("/quarantine/{server}/{item}/release", "Release an item.", |route| {
            route.to(release::release)
        }))
        .needs(OperatorRole::Operate),
        one(ApiOperation::post("/quarantine/{server}/{item}/drop", "Delete an item.", |route| route.to(release::drop))),
    ]
}

/// Adds the key of the query by which an operation is about the messenger's quarantine.
fn of_messenger(operation: ApiOperation) -> ApiOperation {
    let words = "The events that the messenger refused when they were pushed, instead of the items of peers.";
    let schema: Value = json!({ "type": "string", "enum": ["messenger"] });
    operation.parameter("query", "of", words, &schema)
}
