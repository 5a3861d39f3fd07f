//! Request bodies, limited in bytes and in time; the error names the limit.

pub mod encoded;
pub mod encoded_errors;
pub(crate) mod whole_body;

use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::time::Duration;

use actix_web::body::{BodyStream, MessageBody};
use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_LENGTH, HeaderMap};
use actix_web::{FromRequest, HttpRequest, web};
use actors::model::{CountedNoun, ShortDuration};
use bytes::Bytes;

use crate::http::body::whole_body::WholeBody;
use crate::http::error::ApiError;
use crate::json::nesting::BodyNestingLimit;

/// The limits of a request body. They are put into the application's data; without them the defaults apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyLimit {
    /// Configuration key, named in the error.
    pub key: &'static str,
    /// Maximum bytes of a body.
    pub bytes: usize,
    /// Maximum time for a body to arrive: without it a slow sender would occupy its connection for ever.
    pub time: Duration,
    /// Configuration key of that time.
    pub time_key: &'static str,
}

impl Default for BodyLimit {
    fn default() -> Self {
        Self { key: "body", bytes: 8 << 20, time: Duration::from_secs(30), time_key: "body_timeout" }
    }
}

impl BodyLimit {
    fn too_large(&self) -> ApiError {
        let words = format!("the body exceeds {} ({})", self.key, CountedNoun(self.bytes as u64, "byte"));
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "BODY_TOO_LARGE", words).by_limit(self.key)
    }

    /// Returns the refusal of a body that did not arrive within this time.
    pub(crate) fn too_slow(time: Duration) -> ApiError {
        let words = format!("the body did not arrive within {}", ShortDuration(time));
        ApiError::new(StatusCode::REQUEST_TIMEOUT, "BODY_TIMEOUT", words)
    }
}

/// Extracts the limits of the application that received the request.
impl FromRequest for BodyLimit {
    type Error = Infallible;
    type Future = Ready<Result<Self, Infallible>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ok(request.app_data::<Self>().copied().unwrap_or_default()))
    }
}

pub(crate) fn broken_off(error: &actix_web::Error) -> ApiError {
    ApiError::bad_request("BODY_BROKEN", format!("the connection ended within the body: {error}"))
}

/// Returns the length that the headers announce.
pub(crate) fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok())
}

/// Reads a whole body within its limits.
pub(crate) async fn read(limit: BodyLimit, announced: Option<u64>, body: web::Payload) -> Result<Bytes, ApiError> {
    if announced.is_some_and(|length| length > limit.bytes as u64) {
        return Err(limit.too_large());
    }
    match tokio::time::timeout(limit.time, WholeBody::new(body.into_inner(), announced, limit.bytes)).await {
        Err(_elapsed) => Err(BodyLimit::too_slow(limit.time).by_limit(limit.time_key)),
        Ok(Err(PayloadError::Overflow)) => Err(limit.too_large()),
        Ok(Err(broken)) => Err(broken_off(&broken.into())),
        Ok(Ok(bytes)) => Ok(bytes),
    }
}

/// Reads a body part by part within its limits, and keeps nothing of it.
pub(crate) async fn read_parts(
    limit: BodyLimit,
    announced: Option<u64>,
    body: web::Payload,
    mut part: impl FnMut(&[u8]),
) -> Result<(), ApiError> {
    if announced.is_some_and(|length| length > limit.bytes as u64) {
        return Err(limit.too_large());
    }
    let all = async {
        let (mut body, mut count) = (std::pin::pin!(BodyStream::new(body)), 0);
        while let Some(bytes) = std::future::poll_fn(|cx| body.as_mut().poll_next(cx)).await {
            let bytes = bytes.map_err(|error| broken_off(&error.into()))?;
            count += bytes.len();
            if count > limit.bytes {
                return Err(limit.too_large());
            }
            part(&bytes);
        }
        Ok(())
    };
    tokio::time::timeout(limit.time, all)
        .await
        .unwrap_or_else(|_elapsed| Err(BodyLimit::too_slow(limit.time).by_limit(limit.time_key)))
}

/// The whole body of a peer's request, within its [`BodyLimit`] and its [`BodyNestingLimit`].
#[derive(Debug, Clone)]
pub struct RequestBody(pub Bytes);

impl FromRequest for RequestBody {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let limit = request.app_data::<BodyLimit>().copied().unwrap_or_default();
        let nesting = request.app_data::<BodyNestingLimit>().cloned().unwrap_or_default();
        let announced = announced(request.headers());
        let payload = web::Payload::from_request(request, payload);
        Box::pin(async move {
            let body = payload.await.map_err(|error| broken_off(&error))?;
            let bytes = read(limit, announced, body).await?;
            nesting.check(&bytes).map_err(|deep| ApiError::bad_request("NESTS_TOO_DEEP", deep.to_string()))?;
            Ok(Self(bytes))
        })
    }
}
