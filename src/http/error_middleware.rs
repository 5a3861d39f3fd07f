//! Middleware around every route: a panic becomes a 500, an error becomes JSON, `OPTIONS` is answered, HEAD is handled as GET.

pub mod direct_routes;

use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use actix_service::{Service, Transform, forward_ready};
use actix_web::Error;
use actix_web::body::BoxBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::CONTENT_TYPE;
use actix_web::http::uri::PathAndQuery;
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpMessage, HttpResponse, ResponseError};
use actors::supervise::catch_panic::{StepPanicked, guard};

use crate::http::body::BodyLimit;
use crate::http::body::encoded::PROTOBUF_TYPE;
use crate::http::body::encoded_errors::in_request_encoding;
use crate::http::error::{ApiError, RefusedByLimit};
use crate::http::error_middleware::direct_routes::{DirectTable, LaterAnswer};
use crate::http::listener::client_stream::ConnectionFacts;
use crate::http::listener::connection_progress::ConnectionProgress;
use crate::telemetry::limit_counts::LimitCounts;
use crate::telemetry::refused_callers::RefusedCallers;

/// The method of the request line, in the extensions of a request that is handled as another one: a signature covers it.
#[derive(Debug, Clone)]
pub(crate) struct RequestedMethod(pub(crate) Method);

/// The middleware; [`serve`](super::serve::serve) wraps every application with it. It tells the connection of each answer, and
/// counts the limits that refuse and the callers that are refused, if the application's data has [`LimitCounts`] and
/// [`RefusedCallers`], and writes errors in the encoding of the request.
/// Requests with a direct route do not pass the table of routes, if the application's data has a [`DirectTable`].
///
/// It is written as a service, because a middleware from a function boxes the service, the future and the body of each request.
#[derive(Debug, Clone, Copy, Default)]
pub struct ErrorMiddleware;

impl<S> Transform<S, ServiceRequest> for ErrorMiddleware
where
    S: Service<ServiceRequest, Response = ServiceResponse<BoxBody>, Error = Error>,
    S::Future: Unpin,
{
    type Response = ServiceResponse<BoxBody>;
    type Error = Error;
    type Transform = ErrorService<S>;
    type InitError = ();
    type Future = Ready<Result<ErrorService<S>, ()>>;

    fn new_transform(&self, inner: S) -> Self::Future {
        ready(Ok(ErrorService { inner }))
    }
}

/// The service inside the middleware.
#[derive(Debug)]
pub struct ErrorService<S> {
    inner: S,
}

impl<S> Service<ServiceRequest> for ErrorService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<BoxBody>, Error = Error>,
    S::Future: Unpin,
{
    type Response = ServiceResponse<BoxBody>;
    type Error = Error;
    type Future = AnswerFuture<S::Future>;

    forward_ready!(inner);

    fn call(&self, mut request: ServiceRequest) -> Self::Future {
        let progress = request.conn_data::<ConnectionFacts>().map(|facts| Arc::clone(&facts.progress));
        let counts = request.app_data::<LimitCounts>().cloned();
        let refused_callers = request.app_data::<RefusedCallers>().cloned();
        // The target is copied rather than the request cloned: a clone alive across the call makes routing itself panic.
        let target = request.uri().path_and_query().cloned();
        let answering = if request.method() == Method::OPTIONS {
            let answer = HttpResponse::Ok().content_type("application/json").body("{}");
            RequestAnswering::Here(Some(request.into_response(answer)))
        } else {
            // Every GET route also serves HEAD, as HTTP requires; the HTTP library omits the body.
            if request.method() == Method::HEAD {
                request.head_mut().method = Method::GET;
                request.extensions_mut().insert(RequestedMethod(Method::HEAD));
            }
            match request.app_data::<DirectTable>().map(|DirectTable(routes)| Rc::clone(routes)) {
                Some(routes) => match routes.answer(request) {
                    Ok(answer) => RequestAnswering::Directly(answer),
                    Err(request) => RequestAnswering::ByTable(self.inner.call(request)),
                },
                None => RequestAnswering::ByTable(self.inner.call(request)),
            }
        };
        AnswerFuture { answering, target, progress, counts, refused_callers }
    }
}

/// The way in which a request is answered.
enum RequestAnswering<F> {
    /// By the middleware itself; `None` once the answer was given.
    Here(Option<ServiceResponse<BoxBody>>),
    Directly(LaterAnswer),
    ByTable(F),
}

/// The answer to a request, later.
pub struct AnswerFuture<F> {
    answering: RequestAnswering<F>,
    /// Target of the request, for the log of a panic.
    target: Option<PathAndQuery>,
    progress: Option<Arc<ConnectionProgress>>,
    counts: Option<LimitCounts>,
    refused_callers: Option<RefusedCallers>,
}

impl<F> Future for AnswerFuture<F>
where
    F: Future<Output = Result<ServiceResponse<BoxBody>, Error>> + Unpin,
{
    type Output = Result<ServiceResponse<BoxBody>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // The future is dropped after a panic and never polled again, so its half-done state is not observed.
        let polled = match &mut self.answering {
            RequestAnswering::Here(answer) => {
                answer.take().map_or(Ok(Poll::Pending), |answer| Ok(Poll::Ready(Ok(answer))))
            }
            RequestAnswering::Directly(later) => guard(|| later.as_mut().poll(cx)),
            RequestAnswering::ByTable(later) => guard(|| Pin::new(later).poll(cx)),
        };
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(answer)) => Poll::Ready(self.finished(answer.map(into_json_error))),
            Err(StepPanicked(panic)) => {
                let path = self.target.as_ref().map_or("", PathAndQuery::path);
                tracing::error!(path, panic, "a request handler panicked");
                let words = "internal error; see the log of the gateway";
                Poll::Ready(
                    self.finished(Err(ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", words).into())),
                )
            }
        }
    }
}

impl<F> AnswerFuture<F> {
    /// Counts the limit that refused and a caller that was refused, tells the connection that the request is answered, and encodes an error as the request is.
    fn finished(&self, answer: Result<ServiceResponse<BoxBody>, Error>) -> Result<ServiceResponse<BoxBody>, Error> {
        if let (Some(counts), Ok(answer)) = (&self.counts, &answer)
            && let Some(RefusedByLimit(limit)) = answer.response().extensions().get()
        {
            counts.count(limit);
        }
        if let (Some(callers), Ok(answer)) = (&self.refused_callers, &answer) {
            callers.count(answer.status().as_u16());
        }
        let late_body = self.progress.as_ref().and_then(|progress| {
            progress.answer();
            progress.late_body()
        });
        let answer = match (answer?, late_body) {
            // A handler whose body was ended knows only that it broke off.
            (answer, Some(limit)) if answer.status().is_client_error() => {
                let (request, _) = answer.into_parts();
                ServiceResponse::new(request, BodyLimit::too_slow(limit).error_response())
            }
            (answer, _) => answer,
        };
        Ok(in_request_encoding(answer))
    }
}

/// Converts errors of the framework (unknown path, wrong method, error of an extractor) to the form of all other
/// errors: they carry plain text or nothing.
fn into_json_error(answer: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
    let status = answer.status();
    let content_type = answer.headers().get(CONTENT_TYPE).map(|kind| kind.as_bytes()).unwrap_or_default();
    // A page for people has its error in it.
    let is_encoded = [&b"application/json"[..], b"text/html"].into_iter().any(|kind| content_type.starts_with(kind))
        || content_type == PROTOBUF_TYPE.as_bytes();
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
