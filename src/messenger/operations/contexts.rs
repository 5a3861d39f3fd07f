//! The operations about contexts and peers.

use serde_json::json;

use super::{BODY, KEYS};
use crate::api::contexts::{ContextDetails, JoinStarted, ParticipantsSet};
use crate::api::feed::{HistoryPageShape, StatePageShape};
use crate::api::peers::{PeerDetails, PeerList};
use crate::api::requests::{JoinRequest, ParticipantsRequest};
use crate::messenger::contexts::history::HistoryQuery;
use crate::messenger::contexts::state::StateQuery;
use crate::messenger::{contexts, peers};
use crate::openapi::api_operation::ApiOperation;
use crate::openapi::refusals::{CONTEXT, EVERY, PEER, QUERY, TOKEN, UNAVAILABLE};

pub(super) fn operations() -> Vec<ApiOperation> {
    vec![
        ApiOperation::get("/contexts/{context}", "Show a context.", |route| route.to(contexts::context::get))
            .answers::<ContextDetails>(200, "Participants, heads, gaps, and the progress of a join.")
            .refuses(&[EVERY, TOKEN, CONTEXT]),
        ApiOperation::put("/contexts/{context}", "Set the participants of a context, and create it.", |route| {
            route.to(contexts::context::put)
        })
        .body::<ParticipantsRequest>(json!({ "servers": ["blue.example"] }))
        .answers::<ParticipantsSet>(200, "The participants are set.")
        .refuses(&[EVERY, TOKEN, BODY, KEYS, PEER, CONTEXT, &[(422, &["BAD_CONTEXT", "BAD_SERVERS"])]]),
        ApiOperation::get("/contexts/{context}/state", "Read the current state of a context.", |route| {
            route.to(contexts::state::get)
        })
        .query::<StateQuery>()
        .answers::<StatePageShape>(200, "A page of state.")
        .refuses(&[EVERY, TOKEN, QUERY, CONTEXT]),
        ApiOperation::get("/contexts/{context}/history", "Read the history of a context, newest first.", |route| {
            route.to(contexts::history::get)
        })
        .query::<HistoryQuery>()
        .answers::<HistoryPageShape>(200, "A page of the history. Where ours ends, other servers were asked.")
        .refuses(&[EVERY, TOKEN, QUERY, CONTEXT]),
        ApiOperation::post("/contexts/{context}/join", "Fetch a context from a participant.", |route| {
            route.to(contexts::join::post)
        })
        .body::<JoinRequest>(json!({ "via": "blue.example", "backfill": 100 }))
        .answers::<JoinStarted>(202, "The join is on disk; the context shows its progress.")
        .refuses(&[EVERY, TOKEN, BODY, CONTEXT, &[(422, &["BAD_CONTEXT", "BAD_SERVER", "BAD_BACKFILL"])]]),
        ApiOperation::get("/peers", "List the peers.", |route| route.to(peers::list))
            .answers::<PeerList>(200, "The peers, in the order of the configuration.")
            .refuses(&[EVERY, TOKEN, PEER]),
        ApiOperation::get("/peers/{server}", "Show a peer.", |route| route.to(peers::get))
            .answers::<PeerDetails>(200, "Its state, its addresses and its limits.")
            .refuses(&[EVERY, TOKEN, UNAVAILABLE, &[(404, &["UNKNOWN_PEER"])]]),
    ]
}
