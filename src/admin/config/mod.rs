//! `/admin/v1/reload`: takes over a changed configuration.

pub mod config_reloader;
pub(super) mod log_level;

use actix_web::HttpResponse;
use actix_web::web::Data;

use crate::admin::AdminApi;
use crate::admin::answer::OperatorCall;
use crate::http::error::ApiError;
use crate::http::responses::no_route;

/// Reloads the configuration, and answers with its changes (200) or its problems (422).
pub(super) async fn reload(api: Data<AdminApi>, call: OperatorCall) -> Result<HttpResponse, ApiError> {
    let reloader = api.reloader.as_ref().ok_or_else(no_route)?;
    let report = reloader.reload(format!("request from {}", call.origin())).await;
    let mut answer = if report.ok { HttpResponse::Ok() } else { HttpResponse::UnprocessableEntity() };
    Ok(answer.json(report))
}
