//! `/admin/v1/peers`: the status of peers, in the form that the messenger gets.

use actix_web::{HttpResponse, web};

use super::AdminApi;
use super::answer::peer;
use crate::api::peers::{PeerDetails, PeerList};
use crate::http::error::ApiError;
use crate::messenger::peers::{status, statuses};

/// Returns the status of all configured peers, in the order of the configuration.
pub(super) async fn list(api: web::Data<AdminApi>) -> Result<HttpResponse, ApiError> {
    let asked = statuses(&api.gateway, api.gateway.peers(), true).await;
    Ok(HttpResponse::Ok().json(PeerList::of(asked)?))
}

/// Returns the status of one peer, with its addresses and limits.
pub(super) async fn get(api: web::Data<AdminApi>, path: web::Path<String>) -> Result<HttpResponse, ApiError> {
    let server = peer(&api.gateway, &path)?;
    let status = status(&api.gateway, &server).await?;
    Ok(HttpResponse::Ok().json(PeerDetails::from(status).described(api.settings.as_ref(), &api.clocks)))
}
