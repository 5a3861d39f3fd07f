//! Errors in the encoding of the request. All errors have one form in JSON, so that they are converted here once and not where they
//! arise.

use actix_web::HttpResponse;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::ServiceResponse;
use actix_web::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use prost::Message;

use crate::api::errors::ErrorBody;
use crate::http::body::encoded::{BodyEncoding, PROTOBUF_TYPE};

/// Beginning of the paths whose requests may be Protobuf. It is put into the application's data.
#[derive(Debug, Clone, Copy)]
pub struct EncodedPaths(pub &'static str);

/// The body of an answer that is an error, by `config/fernpost.proto`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ErrorMessage {
    /// Reason in words.
    #[prost(string, tag = "1")]
    pub error: String,
    /// Code for programs.
    #[prost(string, tag = "2")]
    pub code: String,
    /// Seconds after which to try again; 0 says nothing.
    #[prost(uint32, tag = "3")]
    pub wait: u32,
}

/// Converts an error in JSON to Protobuf, if the request is Protobuf. Other answers stay as they are.
pub(crate) fn in_request_encoding(answer: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
    let is_error = answer.status().is_client_error() || answer.status().is_server_error();
    if !is_error || !accepts_protobuf(&answer) {
        return answer;
    }
    let (request, response) = answer.into_parts();
    ServiceResponse::new(request, encoded(response))
}

/// Returns whether the request is one that may be Protobuf, and is.
fn accepts_protobuf(answer: &ServiceResponse<BoxBody>) -> bool {
    let request = answer.request();
    let is_path = request.app_data::<EncodedPaths>().is_some_and(|paths| request.path().starts_with(paths.0));
    is_path && BodyEncoding::of(request.headers()) == BodyEncoding::Protobuf
}

fn encoded(response: HttpResponse) -> HttpResponse {
    let header = |name| response.headers().get(name).map(HeaderValue::as_bytes).unwrap_or_default();
    if !header(CONTENT_TYPE).starts_with(b"application/json") {
        return response;
    }
    let wait = std::str::from_utf8(header(RETRY_AFTER)).ok().and_then(|seconds| seconds.parse().ok());
    let (mut response, body) = response.into_parts();
    let bytes = match body.try_into_bytes() {
        Ok(bytes) => bytes,
        Err(stream) => return response.set_body(stream),
    };
    let Ok(ErrorBody { error, code, .. }) = serde_json::from_slice::<ErrorBody>(&bytes) else {
        return response.set_body(BoxBody::new(bytes));
    };
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(PROTOBUF_TYPE));
    let message = ErrorMessage { error, code, wait: wait.unwrap_or_default() };
    response.set_body(BoxBody::new(message.encode_to_vec()))
}
