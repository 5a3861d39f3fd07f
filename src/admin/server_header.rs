//! The gateway's name in every response, and the check that the caller addressed this gateway.

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, ResponseError, web};

use super::AdminApi;
use crate::http::error::ApiError;

/// Header with a gateway's name: a response names its sender, a request the gateway that the caller expects.
pub const SERVER: HeaderName = HeaderName::from_static("fernpost-server");

/// Middleware of the scope. A request without a name is accepted by any gateway.
pub(super) async fn server_header_middleware(
    api: web::Data<AdminApi>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let us = api.gateway.ports().us.clone();
    let meant = request.headers().get(SERVER).filter(|meant| meant.as_bytes() != us.as_str().as_bytes());
    let mut answer = match meant {
        Some(meant) => {
            let words =
                format!("this gateway is {us}, but the request is for {}", String::from_utf8_lossy(meant.as_bytes()));
            request
                .into_response(ApiError::new(StatusCode::MISDIRECTED_REQUEST, "OTHER_SERVER", words).error_response())
        }
        None => next.call(request).await?.map_into_boxed_body(),
    };
    if let Ok(name) = HeaderValue::from_str(us.as_str()) {
        answer.headers_mut().insert(SERVER, name);
    }
    Ok(answer)
}
