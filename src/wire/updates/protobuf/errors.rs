//! Errors in the encoding of the request.

use actix_web::Error;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::RETRY_AFTER;
use actix_web::middleware::Next;
use prost::Message;
use serde::Deserialize;

use super::messages::ErrorMessage;
use crate::http::body::encoded::BodyEncoding;
use crate::http::error::ApiError;

#[derive(Deserialize)]
struct ErrorJson {
    error: String,
    code: String,
}

/// Middleware of a resource: an error in JSON becomes Protobuf, if the request is. All errors have one form, so that they are
/// converted here once and not where they arise.
pub async fn encode_errors(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let encoding = BodyEncoding::of(request.headers());
    Ok(encoded(encoding, next.call(request).await?.map_into_boxed_body()))
}

/// Returns the answer to a request in this encoding.
pub(in crate::wire::updates) fn encoded(
    encoding: BodyEncoding,
    answer: ServiceResponse<BoxBody>,
) -> ServiceResponse<BoxBody> {
    let is_error = answer.status().is_client_error() || answer.status().is_server_error();
    if encoding == BodyEncoding::Json || !is_error {
        return answer;
    }
    let wait = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let known = answer.response().error().and_then(|error| error.as_error::<ApiError>());
    let json = known.and_then(|error| serde_json::from_slice::<ErrorJson>(&error.json()).ok());
    match json {
        None => answer,
        Some(ErrorJson { error, code }) => {
            let message = ErrorMessage { error, code, wait: wait.unwrap_or_default() };
            let (request, mut response) = answer.into_parts();
            let content_type = encoding.content_type();
            response.headers_mut().insert(
                actix_web::http::header::CONTENT_TYPE,
                actix_web::http::header::HeaderValue::from_str(content_type.0.as_ref()).expect("a media type"),
            );
            ServiceResponse::new(request, response.set_body(BoxBody::new(message.encode_to_vec())))
        }
    }
}
