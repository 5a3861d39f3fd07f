//! `/admin/v1/peers`: the status of peers, in the form that the messenger gets, and for a single peer where its values come from.

pub mod reach_asker;

use std::collections::{BTreeMap, HashMap};

use actix_web::{HttpResponse, web};
use actors::errors::PeerError;
use actors::model::ServerName;
use schemars::JsonSchema;
use serde::Deserialize;

use super::AdminApi;
use super::answer::{OperatorCall, peer};
use crate::api::peers::{PeerDetails, PeerList};
use crate::http::error::ApiError;
use crate::http::query;
use crate::http::responses::no_route;
use crate::messenger::peers::{status, statuses};
use crate::settings::{PeerSettings, ValueOrigin};

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

/// Returns the status of one peer, with its addresses and limits and the place of each.
pub(super) async fn get(api: web::Data<AdminApi>, path: web::Path<String>) -> Result<HttpResponse, ApiError> {
    let server = peer(&api.gateway, &path)?;
    let status = status(&api.gateway, &server).await?;
    let mut details = PeerDetails::from(status).described(api.settings.as_ref(), &api.clocks);
    let peer = api.settings.as_ref().and_then(|settings| settings.peers().peer(&server));
    if let (Some(configured), Some(peer)) = (&mut details.configured, peer) {
        configured.origins = origins(&api, &server, &peer).await;
    }
    Ok(HttpResponse::Ok().json(details))
}

/// Asks a peer to look this server up and to call it, and returns its report.
pub(super) async fn reach(
    api: web::Data<AdminApi>,
    operator: OperatorCall,
    path: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let asker = api.asker.as_ref().ok_or_else(no_route)?;
    let server = peer(&api.gateway, &path)?;
    let report = asker.ask(&server).await.map_err(ApiError::from);
    operator.log_action("peer.reach", &server, report.as_ref().map(|_| ()));
    Ok(HttpResponse::Ok().json(report?))
}

/// Returns the origin of each value that is in force. The place in the files is added if the files name the same origin: they may
/// have changed since they were read.
async fn origins(api: &AdminApi, server: &ServerName, peer: &PeerSettings) -> BTreeMap<String, String> {
    let places: HashMap<String, String> = match &api.reloader {
        Some(reloader) => reloader.places_of(server.clone()).await.into_iter().collect(),
        None => HashMap::new(),
    };
    let origin = |(key, origin): &(&'static str, ValueOrigin)| {
        let (kind, is_section) = match origin {
            ValueOrigin::Default => ("default".to_owned(), false),
            ValueOrigin::Profile => (format!("profile \"{}\"", peer.link.profile.as_str()), false),
            ValueOrigin::Peers => ("peers.default".to_owned(), false),
            ValueOrigin::Pattern(pattern) => (format!("pattern \"{pattern}\""), false),
            ValueOrigin::Server => (format!("peers.server.\"{server}\""), true),
        };
        let is_shared = |place: &str| {
            place == "default" || ["profile \"", "peers.default (", "pattern \""].iter().any(|of| place.starts_with(of))
        };
        let place = places.get(*key).filter(|place| match is_section {
            true => !is_shared(place),
            false => place.starts_with(&kind),
        });
        ((*key).to_owned(), place.cloned().unwrap_or(kind))
    };
    peer.origins.iter().map(origin).collect()
}
