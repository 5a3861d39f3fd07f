//! The operations about peers and their queues.

use serde_json::json;

use super::{BODY, FILTER, NAMED_PEER, OPERATOR};
use crate::admin::queue::{QueueItemsQuery, QueueShapeQuery, purge, transfer};
use crate::admin::{peer_commands, peers, queue};
use crate::api::explain::reach_report::ReachReport;
use crate::api::peers::{PeerDetails, PeerDrain, PeerList, RenumberRequest};
use crate::api::queue::{
    QueueItemsPage, QueueMoveRequest, QueueMoveResult, QueuePurgeResult, QueueSelection, QueueShapePage,
};
use crate::http::bearer::operator_role::OperatorRole;
use crate::openapi::api_operation::ApiOperation;
use crate::openapi::refusals::{COMMAND, EVERY, PEER, QUERY, RefusalSet, UNAVAILABLE};

/// A call that a peer answers.
const REACH: RefusalSet = &[
    (403, &["REACH_NOT_ALLOWED"]),
    (422, &["NOT_FERNPOST", "NOT_A_PEER"]),
    (429, &["REACH_TOO_OFTEN", "REACH_BUSY", "RPC_BUSY"]),
    (502, &["PEER_UNREACHABLE", "PEER_REFUSED"]),
    (504, &["PEER_TIMEOUT"]),
];

pub(super) fn operations() -> Vec<ApiOperation> {
    let command = |operation: ApiOperation| {
        operation
            .answers::<PeerDetails>(200, "Done; the peer as it is now.")
            .refuses(&[EVERY, OPERATOR, NAMED_PEER, COMMAND])
            .needs(OperatorRole::Operate)
    };
    let number = json!({ "seq": 7 });
    vec![
        ApiOperation::get("/peers", "List the peers.", |route| route.to(peers::list))
            .query::<peers::PeerListQuery>()
            .answers::<PeerList>(200, "The peers, in the order of the configuration.")
            .refuses(&[EVERY, OPERATOR, QUERY, PEER]),
        ApiOperation::get("/peers/{server}", "Show a peer.", |route| route.to(peers::get))
            .answers::<PeerDetails>(200, "Its state, its addresses and its limits.")
            .refuses(&[EVERY, OPERATOR, NAMED_PEER, PEER]),
        command(ApiOperation::post("/peers/{server}/suspend", "Stop sending to a peer.", |route| {
            route.to(peer_commands::suspend)
        })),
        command(ApiOperation::post("/peers/{server}/resume", "Send to a peer again.", |route| {
            route.to(peer_commands::resume)
        })),
        command(ApiOperation::post("/peers/{server}/retry", "Attempt a delivery now.", |route| {
            route.to(peer_commands::retry)
        })),
        ApiOperation::post(
            "/peers/{server}/drain",
            "Attempt a delivery now, and see what is left for a peer.",
            |route| route.to(peer_commands::drain),
        )
        .answers::<PeerDrain>(200, "What is left.")
        .refuses(&[EVERY, OPERATOR, NAMED_PEER, COMMAND, UNAVAILABLE])
        .needs(OperatorRole::Operate),
        ApiOperation::get("/peers/{server}/drain", "Show what is left for a peer.", |route| {
            route.to(peer_commands::get_drain)
        })
        .answers::<PeerDrain>(200, "What is left.")
        .refuses(&[EVERY, OPERATOR, NAMED_PEER, PEER, UNAVAILABLE]),
        command(ApiOperation::post(
            "/peers/{server}/expect",
            "Set the number that is expected from a peer.",
            |route| route.to(peer_commands::expect),
        ))
        .body::<RenumberRequest>(number.clone())
        .refuses(&[BODY])
        .needs(OperatorRole::Administer),
        command(ApiOperation::post("/peers/{server}/renumber", "Set the number of our next item.", |route| {
            route.to(peer_commands::renumber)
        }))
        .body::<RenumberRequest>(number)
        .refuses(&[BODY, &[(422, &["DIALECT"])]])
        .needs(OperatorRole::Administer),
        ApiOperation::post("/peers/{server}/reach", "Let a peer look this server up and call it.", |route| {
            route.to(peers::reach)
        })
        .answers::<ReachReport>(200, "What the peer saw.")
        .refuses(&[EVERY, OPERATOR, NAMED_PEER, REACH])
        .needs(OperatorRole::Operate),
        ApiOperation::get("/queue", "Show the queues by age.", |route| route.to(queue::shape))
            .query::<QueueShapeQuery>()
            .answers::<QueueShapePage>(200, "The peers with unacknowledged items.")
            .refuses(&[EVERY, OPERATOR, QUERY, UNAVAILABLE]),
        ApiOperation::get("/queue/{server}", "Show the queue of a peer.", |route| route.to(queue::show))
            .query::<QueueItemsQuery>()
            .answers::<QueueItemsPage>(200, "Its unacknowledged items, oldest first.")
            .refuses(&[EVERY, OPERATOR, QUERY, NAMED_PEER, UNAVAILABLE]),
        ApiOperation::post("/queue/{server}/purge", "Take items out of the queue of a peer.", |route| {
            route.to(purge::purge)
        })
        .body::<QueueSelection>(json!({ "context": "#garden", "older_than": "1h", "dry_run": true }))
        .answers::<QueuePurgeResult>(200, "The items that match, or left the queue, for one page of it.")
        .refuses(&[EVERY, OPERATOR, BODY, FILTER, NAMED_PEER, PEER, COMMAND]),
        ApiOperation::post("/queue/{server}/move", "Move items to the queue of another peer.", |route| {
            route.to(transfer::transfer)
        })
        .body::<QueueMoveRequest>(json!({ "to": "green.example", "dry_run": true }))
        .answers::<QueueMoveResult>(200, "The items that were moved, or may be, and those that stay, for one page.")
        .refuses(&[EVERY, OPERATOR, BODY, FILTER, NAMED_PEER, PEER, COMMAND, &[(422, &["SAME_PEER"])]]),
    ]
}
