//! The limit of a request head, below that of the HTTP library.

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::middleware::Next;
use actix_web::{Error, HttpResponse, ResponseError, web};
use actors::model::CountedNoun;

use crate::http::error::ApiError;

/// The limit of a listener. It is put into the application's data for [`check_head`].
#[derive(Debug, Clone, Copy)]
pub struct HeadLimit {
    /// Configuration key, named in the refusal.
    pub key: &'static str,
    /// Maximum bytes of the request line and the headers.
    pub bytes: usize,
}

impl HeadLimit {
    /// Returns the answer to a request whose head is larger.
    pub fn refusal(&self, request: &ServiceRequest) -> Option<HttpResponse> {
        /// Bytes of a line beside its name and value: ": " and the end of the line.
        const PER_LINE: usize = 4;
        let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
        let lines = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + PER_LINE);
        let head = target + lines.sum::<usize>();
        if head <= self.bytes {
            return None;
        }
        let words =
            format!("the head of the request exceeds {} ({})", self.key, CountedNoun(self.bytes as u64, "byte"));
        let refusal = ApiError::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "HEAD_TOO_LARGE", words);
        Some(refusal.by_limit(self.key).error_response())
    }
}

/// Middleware: refuses a request whose head is larger than the listener's limit.
pub async fn check_head(
    limit: web::Data<HeadLimit>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    match limit.refusal(&request) {
        None => next.call(request).await.map(ServiceResponse::map_into_boxed_body),
        Some(answer) => Ok(request.into_response(answer)),
    }
}
