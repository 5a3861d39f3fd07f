//! Middleware around every route: a panic becomes a 500, an error becomes JSON, `OPTIONS` is answered, HEAD is handled as GET.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use actix_web::Error;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::CONTENT_TYPE;
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{HttpMessage, HttpResponse, ResponseError};

use crate::http::body::BodyLimit;
use crate::http::body::encoded::PROTOBUF_TYPE;
use crate::http::error::{ApiError, RefusedByLimit};
use crate::http::listener::client_stream::ConnectionFacts;
use crate::telemetry::limit_counts::LimitCounts;
use crate::telemetry::refused_callers::RefusedCallers;

/// The method of the request line, in the extensions of a request that is handled as another one: a signature covers it.
#[derive(Debug, Clone)]
pub(crate) struct RequestedMethod(pub(crate) Method);

/// The middleware; [`serve`](super::serve::serve) wraps every application with it. It tells the connection of each answer, and
/// counts the limits that refuse and the callers that are refused, if the application's data has [`LimitCounts`] and
/// [`RefusedCallers`].
pub async fn error_middleware(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let progress = request.conn_data::<ConnectionFacts>().map(|facts| Arc::clone(&facts.progress));
    let counts = request.app_data::<LimitCounts>().cloned();
    let refused_callers = request.app_data::<RefusedCallers>().cloned();
    let answer = answer(request, next).await;
    if let (Some(counts), Ok(answer)) = (counts, &answer)
        && let Some(RefusedByLimit(limit)) = answer.response().extensions().get()
    {
        counts.count(limit);
    }
    if let (Some(callers), Ok(answer)) = (refused_callers, &answer) {
        callers.count(answer.status().as_u16());
    }
    let Some(progress) = progress else { return answer };
    progress.answer();
    match (answer, progress.late_body()) {
        // A handler whose body was ended knows only that it broke off.
        (Ok(answer), Some(limit)) if answer.status().is_client_error() => {
            let (request, _) = answer.into_parts();
            Ok(ServiceResponse::new(request, BodyLimit::too_slow(limit).error_response()))
        }
        (answer, _) => answer,
    }
}

async fn answer(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    if request.method() == Method::OPTIONS {
        return Ok(request.into_response(HttpResponse::Ok().content_type("application/json").body("{}")));
    }
    // Every GET route also serves HEAD, as HTTP requires; the HTTP library omits the body.
    if request.method() == Method::HEAD {
        request.head_mut().method = Method::GET;
        request.extensions_mut().insert(RequestedMethod(Method::HEAD));
    }
    // The path is copied rather than the request cloned: a clone alive across the call makes routing itself panic.
    let path = request.path().to_owned();
    match catch_panic(next.call(request)).await {
        Ok(answer) => Ok(into_json_error(answer?.map_into_boxed_body())),
        Err(panic) => {
            tracing::error!(path, panic, "a request handler panicked");
            let words = "internal error; see the log of the gateway";
            Err(ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", words).into())
        }
    }
}

/// Runs a future and returns its panic as a message.
async fn catch_panic<T>(future: impl Future<Output = T>) -> Result<T, String> {
    let mut future = Box::pin(future);
    // The future is dropped after a panic and never polled again, so its half-done state is not observed.
    let polled = poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(poll) => poll.map(Ok),
        Err(panic) => std::task::Poll::Ready(Err(panic)),
    });
    polled.await.map_err(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
    })
}

/// Converts errors of the framework (unknown path, wrong method, error of an extractor) to the form of all other
/// errors: they carry plain text or nothing.
fn into_json_error(answer: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
    let status = answer.status();
    let content_type = answer.headers().get(CONTENT_TYPE).map(|kind| kind.as_bytes()).unwrap_or_default();
    let is_encoded = content_type.starts_with(b"application/json") || content_type == PROTOBUF_TYPE.as_bytes();
    if !(status.is_client_error() || status.is_server_error()) || is_encoded {
        return answer;
    }
    let (code, usual) = match status {
        StatusCode::NOT_FOUND => ("NOT_FOUND", "no such endpoint"),
        StatusCode::METHOD_NOT_ALLOWED => ("METHOD_NOT_ALLOWED", "method not allowed"),
        StatusCode::PAYLOAD_TOO_LARGE => ("BODY_TOO_LARGE", "the body is too large"),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => ("UNSUPPORTED_MEDIA_TYPE", "this content type is not accepted"),
        StatusCode::BAD_REQUEST => ("BAD_REQUEST", "the request cannot be read"),
        other if other.is_client_error() => ("REFUSED", "the request is rejected"),
        _ => ("INTERNAL", "internal error; see the log of the gateway"),
    };
    // A client gets the reason why its request is wrong; internal errors are only logged.
    let said = answer.response().error().filter(|_| status.is_client_error()).map(ToString::to_string);
    let words = said.filter(|text| !text.is_empty()).unwrap_or_else(|| usual.to_owned());
    let (request, _) = answer.into_parts();
    ServiceResponse::new(request, ApiError::new(status, code, words).error_response())
}
