//! `/admin/v1/peers`: the status of peers, in the form that the messenger gets.

use actix_web::{HttpResponse, web};
use actors::errors::PeerError;
use schemars::JsonSchema;
use serde::Deserialize;

use super::AdminApi;
use super::answer::peer;
use crate::api::peers::{PeerDetails, PeerList};
use crate::http::error::ApiError;
use crate::http::query;
use crate::messenger::peers::{status, statuses};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PeerListQuery {
    /// `true`: only peers in memory, by name. The others are idle: nothing waits for them.
    #[serde(default)]
    active: bool,
}

/// Returns the status of all configured peers in the order of the configuration, or of those in memory.
pub(super) async fn list(
    api: web::Data<AdminApi>,
    asked: query::QueryParams<PeerListQuery>,
) -> Result<HttpResponse, ApiError> {
    let servers = match asked.active {
        true => api.gateway.peer_queues().into_iter().map(|queue| queue.server).collect(),
        false => api.gateway.peers(),
    };
    let mut asked = statuses(&api.gateway, servers, true).await;
    // A peer may have gone from memory, and from the configuration, since its name was read.
    asked.retain(|(_, status)| !matches!(status, Err(PeerError::UnknownPeer(_) | PeerError::Denied(_))));
    Ok(HttpResponse::Ok().json(PeerList::of(asked)?))
}

/// Returns the status of one peer, with its addresses and limits.
pub(super) async fn get(api: web::Data<AdminApi>, path: web::Path<String>) -> Result<HttpResponse, ApiError> {
    let server = peer(&api.gateway, &path)?;
    let status = status(&api.gateway, &server).await?;
    Ok(HttpResponse::Ok().json(PeerDetails::from(status).described(api.settings.as_ref(), &api.clocks)))
}
