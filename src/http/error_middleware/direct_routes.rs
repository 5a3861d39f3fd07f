//! Routes that are found by comparing the path, ahead of the table of routes, which tries a regular expression for each.
//!
//! They are for the few calls that make up nearly all traffic. Each has its route in the table too, which serves every other spelling of
//! its path; both call the same handler.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use actix_web::body::BoxBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::{Error, FromRequest, HttpResponse};

use crate::http::error::ApiError;

/// The answer to a request, later.
pub type LaterAnswer = Pin<Box<dyn Future<Output = Result<ServiceResponse<BoxBody>, Error>>>>;

/// A handler that finds what it needs in the data of the request.
pub type DirectHandler = fn(ServiceRequest) -> Pin<Box<dyn Future<Output = ServiceResponse<BoxBody>>>>;

/// The direct routes of a listener. The [`ErrorMiddleware`](crate::http::error_middleware::ErrorMiddleware) looks for them in the
/// application's data as a [`DirectTable`].
pub trait DirectRoutes: 'static {
    /// Answers a request with everything that the middlewares of its route in the table would do; or returns the request, if it has no
    /// direct route.
    fn answer(self: Rc<Self>, request: ServiceRequest) -> Result<LaterAnswer, ServiceRequest>;
}

/// The direct routes in the data of an application.
#[derive(Clone)]
pub struct DirectTable(pub Rc<dyn DirectRoutes>);

/// Calls a handler as the table of routes does, with what it extracts from the request.
pub async fn handled<T: FromRequest>(
    request: ServiceRequest,
    handler: impl AsyncFnOnce(T) -> Result<HttpResponse, ApiError>,
) -> ServiceResponse<BoxBody> {
    let (request, mut payload) = request.into_parts();
    let response = match T::from_request(&request, &mut payload).await {
        Ok(extracted) => handler(extracted).await.unwrap_or_else(HttpResponse::from_error),
        Err(error) => HttpResponse::from_error(error),
    };
    ServiceResponse::new(request, response)
}

/// Returns whether a segment of a path reads the same decoded: it has only characters that are written as they are.
pub fn is_plain_segment(segment: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    !segment.is_empty() && segment.bytes().all(is_plain)
}
