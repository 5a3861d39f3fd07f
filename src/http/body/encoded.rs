//! Bodies that are JSON or Protobuf by their content type.

use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, ContentType, HeaderMap};
use actix_web::{FromRequest, HttpRequest, mime, web};
use bytes::Bytes;

use super::{BodyLimit, announced, broken_off, read};
use crate::http::error::ApiError;
use crate::json::nesting::BodyNestingLimit;

/// Content type of the Protobuf bodies that we write.
pub const PROTOBUF_TYPE: &str = "application/x-protobuf";

/// The encoding of a body in the updates dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BodyEncoding {
    /// JSON text.
    #[default]
    Json,
    /// Protobuf, by `config/fernpost.proto`.
    Protobuf,
}

impl BodyEncoding {
    /// Returns the encoding that a content type names; its parameters are ignored. No type, and any that is not Protobuf, means
    /// JSON, because clients of the protocol text send various types.
    pub fn of(headers: &HeaderMap) -> Self {
        Self::named(headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default())
    }

    /// Returns the encoding that a content type means.
    pub fn named(content_type: &str) -> Self {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        let is_protobuf =
            ["application/x-protobuf", "application/protobuf"].iter().any(|known| essence.eq_ignore_ascii_case(known));
        if is_protobuf { Self::Protobuf } else { Self::Json }
    }

    /// Returns the content type of an answer in this encoding.
    pub fn content_type(self) -> ContentType {
        match self {
            Self::Json => ContentType::json(),
            Self::Protobuf => ContentType(PROTOBUF_TYPE.parse().expect("a media type")),
        }
    }
}

/// A peer's body with its encoding. Its nesting is not checked yet: who reads a JSON body measures it in the same pass, and in a Protobuf
/// body the framing bytes would count as brackets.
#[derive(Debug, Clone)]
pub struct EncodedBody {
    /// The body.
    pub bytes: Bytes,
    /// Encoding that the request names.
    pub encoding: BodyEncoding,
    /// Limit of a JSON body, and of the JSON texts in a Protobuf body.
    pub nesting: BodyNestingLimit,
}

impl FromRequest for EncodedBody {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        if let Err(form) = refuse_forms(request.headers()) {
            return Box::pin(std::future::ready(Err(form)));
        }
        let limit = request.app_data::<BodyLimit>().copied().unwrap_or_default();
        let nesting = request.app_data::<BodyNestingLimit>().cloned().unwrap_or_default();
        let (announced, encoding) = (announced(request.headers()), BodyEncoding::of(request.headers()));
        let payload = web::Payload::from_request(request, payload);
        Box::pin(async move {
            let body = payload.await.map_err(|error| broken_off(&error))?;
            let bytes = read(limit, announced, body).await?;
            Ok(Self { bytes, encoding, nesting })
        })
    }
}

/// Refuses a content type that a browser's form can send without asking.
pub(crate) fn refuse_forms(headers: &HeaderMap) -> Result<(), ApiError> {
    let named = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let Ok(media) = named.trim().parse::<mime::Mime>() else { return Ok(()) };
    let essence = media.essence_str();
    if media.type_() != mime::MULTIPART && essence != "application/x-www-form-urlencoded" {
        return Ok(());
    }
    let words = format!("the content type {essence} is not accepted; send application/json or {PROTOBUF_TYPE}");
    Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", words))
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    #[test]
    fn content_type_names_encoding() {
        let read = |named: &'static str| {
            let headers = [(CONTENT_TYPE, HeaderValue::from_static(named))].into_iter().collect();
            (refuse_forms(&headers).is_err(), BodyEncoding::of(&headers))
        };
        for named in
            ["application/x-protobuf", "application/protobuf; proto=fernpost.v1.Push", "Application/X-Protobuf"]
        {
            assert_eq!(read(named), (false, BodyEncoding::Protobuf), "{named}");
        }
        for named in ["application/json", "text/plain", "", "application/x-protobuf2", "nonsense"] {
            assert_eq!(read(named), (false, BodyEncoding::Json), "{named}");
        }
        for named in ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "Multipart/Mixed"] {
            assert!(read(named).0, "{named}");
        }
        assert_eq!(BodyEncoding::of(&HeaderMap::new()), BodyEncoding::Json);
    }
}
