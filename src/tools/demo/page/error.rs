//! Refusals of the page's calls.

use actix_web::error::{JsonPayloadError, QueryPayloadError};
use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError};
use thiserror::Error;

use crate::api::errors::ErrorBody;

/// A refused call of a page.
#[derive(Debug, Error)]
pub(super) enum PageError {
    /// The request does not come from a page of this server.
    #[error("the request does not come from a page of this server: {0}")]
    Foreign(&'static str),
    /// No such path or method.
    #[error("no such endpoint")]
    NoRoute,
    /// The body has another form.
    #[error("the body cannot be read: {0}")]
    Body(#[from] JsonPayloadError),
    /// The query has another form.
    #[error("the query cannot be read: {0}")]
    Query(#[from] QueryPayloadError),
    /// A list of the request is too long.
    #[error("at most {0} ids")]
    TooMany(usize),
    /// Too many streams are open.
    #[error("{0} pages of this server are open, which is the limit; close one")]
    PagesMax(usize),
    /// The gateway does not answer.
    #[error("the gateway does not answer: {0}")]
    Gateway(#[from] reqwest::Error),
}

impl ResponseError for PageError {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::Foreign(_) => StatusCode::FORBIDDEN,
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::Body(_) | Self::Query(_) | Self::TooMany(_) => StatusCode::BAD_REQUEST,
            Self::PagesMax(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Gateway(_) => StatusCode::BAD_GATEWAY,
        }
    }

    fn error_response(&self) -> HttpResponse {
        let words = self.to_string();
        HttpResponse::build(self.status_code()).json(ErrorBody::new(words.as_str(), "PAGE"))
    }
}
