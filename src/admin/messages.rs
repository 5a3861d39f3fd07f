//! `/admin/v1/messages/{id}`: one submission on its way to its peers.

use actix_web::{HttpResponse, web};

use super::AdminApi;
use crate::http::refusal::Problem;
use crate::messenger::trace;

/// How far it has come, as the messenger is told it.
pub(super) async fn get(api: web::Data<AdminApi>, path: web::Path<String>) -> Result<HttpResponse, Problem> {
    trace::answer(&api.gateway, &path).await
}
