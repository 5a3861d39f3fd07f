//! The calls of a busy messenger as direct routes: submissions, and reads of the feed.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use actix_web::body::BoxBody;
use actix_web::dev::{Extensions, Payload, ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::{Error, FromRequest, HttpRequest, web};
use actors::model::SubmissionId;
use bytes::Bytes;

use crate::http::bearer::BearerToken;
use crate::http::body::announced;
use crate::http::body::whole_body::WholeBody;
use crate::http::drain::DrainGate;
use crate::http::error_middleware::direct_routes::{DirectRoutes, LaterAnswer, handled};
use crate::messenger::{MessengerApi, events, messages, updates};

/// The direct routes of the messenger's listener, which do what [`configure`](super::configure) and the two middlewares around it do.
pub struct DirectCalls {
    bearer: BearerToken,
    gate: DrainGate,
    /// State and limits of the calls, in the form in which handlers find them.
    data: Rc<Extensions>,
}

/// A call with a direct route.
enum DirectCall {
    PutUpdates(SubmissionId),
    PutMessage(SubmissionId),
    PostMessages,
    GetEvents,
}

impl DirectCall {
    /// Returns the call, if its path is written as in the description of the API. An id that is no id is refused by the table's route.
    fn of(method: &Method, path: &str) -> Option<Self> {
        let path = path.strip_prefix("/v1/")?;
        match *method {
            Method::PUT => match path.split_once('/')? {
                ("updates", id) => Some(Self::PutUpdates(id.parse().ok()?)),
                ("messages", id) => Some(Self::PutMessage(id.parse().ok()?)),
                _ => None,
            },
            Method::POST if path == "messages" => Some(Self::PostMessages),
            Method::GET if path == "events" => Some(Self::GetEvents),
            _ => None,
        }
    }
}

impl DirectCalls {
    /// Returns the direct routes to this API behind this token.
    pub fn new(api: MessengerApi, bearer: BearerToken, gate: DrainGate) -> Self {
        let mut data = Extensions::new();
        data.insert(web::PayloadConfig::new(api.limits.body_max));
        data.insert(web::Data::new(api));
        Self { bearer, gate, data: Rc::new(data) }
    }

    async fn call(&self, call: DirectCall, mut request: ServiceRequest) -> ServiceResponse<BoxBody> {
        if let Some(answer) = self.bearer.refusal(&request) {
            return request.into_response(answer);
        }
        let _under_way = match self.gate.enter(&request) {
            Ok(under_way) => under_way,
            Err(answer) => return request.into_response(*answer),
        };
        request.add_data_container(Rc::clone(&self.data));
        match call {
            DirectCall::PutUpdates(id) => {
                handled(request, async |(api, body): (_, SubmittedBody)| updates::put::submit(api, id, body.0).await)
                    .await
            }
            DirectCall::PutMessage(id) => {
                handled(request, async |(api, body): (_, SubmittedBody)| messages::put::submit(api, id, body.0).await)
                    .await
            }
            DirectCall::PostMessages => {
                handled(request, async |(api, body): (_, SubmittedBody)| messages::post_batch::post(api, body.0).await)
                    .await
            }
            DirectCall::GetEvents => {
                handled(request, async |(api, asked): (_, HttpRequest)| events::get::get(api, asked).await).await
            }
        }
    }
}

/// The body of a submission, as the handlers of the table get it, in a buffer of its size.
struct SubmittedBody(Result<Bytes, Error>);

/// The same, later.
struct SubmittedBodyFuture(WholeBody);

impl FromRequest for SubmittedBody {
    type Error = Infallible;
    type Future = SubmittedBodyFuture;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let max = request.app_data::<web::Data<MessengerApi>>().map_or(0, |api| api.limits.body_max);
        SubmittedBodyFuture(WholeBody::new(payload.take(), announced(request.headers()), max))
    }
}

impl Future for SubmittedBodyFuture {
    type Output = Result<SubmittedBody, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let body = ready!(Pin::new(&mut self.0).poll(cx));
        Poll::Ready(Ok(SubmittedBody(body.map_err(Error::from))))
    }
}

impl DirectRoutes for DirectCalls {
    fn answer(self: Rc<Self>, request: ServiceRequest) -> Result<LaterAnswer, ServiceRequest> {
        match DirectCall::of(request.method(), request.path()) {
            Some(call) => Ok(Box::pin(async move { Ok(self.call(call, request).await) })),
            None => Err(request),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_paths_are_direct() {
        for (method, path, is_direct) in [
            (Method::PUT, "/v1/updates/u-1", true),
            (Method::PUT, "/v1/updates/u-1/", false),
            (Method::PUT, "/v1/updates/u%2D1", false),
            (Method::PUT, "/v1/updates/", false),
            (Method::PUT, "/v1/messages/m~1", true),
            (Method::GET, "/v1/messages/m~1", false),
            (Method::POST, "/v1/messages", true),
            (Method::POST, "/v1/messages/", false),
            (Method::GET, "/v1/events", true),
            (Method::GET, "/v1/events/", false),
            (Method::POST, "/v1/events", false),
            (Method::GET, "//v1/events", false),
        ] {
            assert_eq!(DirectCall::of(&method, path).is_some(), is_direct, "{method} {path}");
        }
    }
}
