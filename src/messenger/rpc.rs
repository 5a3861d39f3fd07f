//! `POST /v1/rpc/{server}`: the messenger asks a peer.
//!
//! The answer of the peer is passed on with its status and the header `Fernpost-Peer`. An answer without that header is the gateway's;
//! its codes are in small letters, as the messenger must not take them for those of a peer.

use actix_web::http::StatusCode;
use actix_web::http::header::{ContentType, RETRY_AFTER};
use actix_web::{HttpRequest, HttpResponse, ResponseError, web};
use actors::errors::{AdmissionError, PeerError};
use actors::model::{CountedNoun, ServerName};
use bytes::Bytes;
use tokio::time::{Instant, timeout_at};

use crate::egress::{PeerCall, PeerCallFault};
use crate::http::body::encoded::BodyEncoding;
use crate::http::error::{ApiError, FAULTY_WAIT, whole_seconds};
use crate::http::listener::caller_departure::unless_caller_leaves;
use crate::messenger::MessengerApi;
use crate::messenger::peer_line::PeerLine;
use crate::rpc::call_body::CalledMethod;
use crate::rpc::{PEER_HEADER, RpcAnswer, RpcDirection, RpcResult, call_timeout};

/// Error: a call gets no answer of the peer.
struct CallRefusal {
    error: ApiError,
    result: RpcResult,
}

impl CallRefusal {
    /// Returns the refusal of a call that is wrong itself.
    fn of_call(error: ApiError) -> Self {
        Self { error, result: RpcResult::BadRequest }
    }
}

/// Asks a peer, once, for as long as the messenger waits.
pub(super) async fn post(
    api: web::Data<MessengerApi>,
    path: web::Path<String>,
    request: HttpRequest,
    payload: web::Payload,
) -> HttpResponse {
    let Some(line) = &api.peer_line else { return super::answer::no_route().error_response() };
    let metrics = line.calls.metrics();
    let ready = match prepare(&api, line, &path, &request, payload).await {
        Ok(ready) => ready,
        Err(CallRefusal { error, result }) => {
            metrics.count(RpcDirection::Out, result);
            return error.error_response();
        }
    };
    let PreparedCall { server, call } = ready;
    let permit = match line.calls.admit(RpcDirection::Out, &server) {
        Ok(permit) => permit,
        // The register has counted it.
        Err(limit) => return busy(&limit).error_response(),
    };
    let answered = unless_caller_leaves(&request, ask(&api, line, &server, call)).await;
    match answered {
        Some(Ok(answer)) => {
            permit.end(RpcResult::Answered);
            shown(&server, answer)
        }
        Some(Err(CallRefusal { error, result })) => {
            permit.end(result);
            error.error_response()
        }
        // The permit counts the call as cancelled. Nobody reads this.
        None => refused(StatusCode::GATEWAY_TIMEOUT, "timeout", "the caller has left").error_response(),
    }
}

/// A call that may be sent.
struct PreparedCall {
    server: ServerName,
    call: PeerCall,
}

/// Checks a call and reads its body. Its time begins here.
async fn prepare(
    api: &MessengerApi,
    line: &PeerLine,
    server: &str,
    request: &HttpRequest,
    payload: web::Payload,
) -> Result<PreparedCall, CallRefusal> {
    let bounds = line.calls.limits();
    let unknown = |words: String| CallRefusal::of_call(refused(StatusCode::NOT_FOUND, "unknown_peer", words));
    let name: ServerName = server.parse().map_err(|_| unknown(format!("{server:?} is no name of a server")))?;
    let limits = api.gateway.ports().roster.peer_limits(&name).map_err(|error| unknown(error.to_string()))?;
    if !limits.answers_calls {
        let words = format!("{name} is a server of 2014 (profile \"synapse-2014\"), which answers no calls");
        return Err(CallRefusal::of_call(refused(StatusCode::UNPROCESSABLE_ENTITY, "dialect", words)));
    }
    let time = call_timeout::stated(request.headers(), &bounds)
        .map_err(|bad| CallRefusal::of_call(refused(StatusCode::BAD_REQUEST, "bad_timeout", bad.to_string())))?;
    let body = whole_body(payload, bounds.body_max).await.map_err(CallRefusal::of_call)?;
    let until = Instant::now() + time;
    CalledMethod::of(&body).map_err(|why| {
        CallRefusal::of_call(ApiError::bad_request("bad_json", format!("the body is no JSON object: {why}")))
    })?;
    let encoding = if limits.habits.protobuf { BodyEncoding::Protobuf } else { BodyEncoding::Json };
    let call = PeerCall { body, encoding, until, connect: limits.connect_timeout, answer_max: bounds.body_max };
    Ok(PreparedCall { server: name, call })
}

async fn whole_body(payload: web::Payload, body_max: usize) -> Result<Bytes, ApiError> {
    match payload.to_bytes_limited(body_max).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(error)) => Err(ApiError::bad_request("bad_body", format!("the body cannot be read: {error}"))),
        Err(_exceeded) => {
            let words = format!("the body exceeds rpc.body_max ({})", CountedNoun(body_max as u64, "byte"));
            Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", words).by_limit("rpc.body_max"))
        }
    }
}

/// Asks the peer, unless it is suspended: by an operator, or because its actor crashed too often. Nothing else that delays what is
/// sent to it concerns a call.
async fn ask(
    api: &MessengerApi,
    line: &PeerLine,
    server: &ServerName,
    call: PeerCall,
) -> Result<RpcAnswer, CallRefusal> {
    let timed_out =
        || CallRefusal { error: fault_error(server, &PeerCallFault::TimedOut), result: RpcResult::TimedOut };
    let status = timeout_at(call.until, api.gateway.peer(server)).await.map_err(|_elapsed| timed_out())?;
    match status {
        Ok(status) => {
            if let Some(cause) = status.shut {
                let cause = cause.as_str();
                let words = format!("{server} is suspended ({cause}); see `fernpost peer show {server}`");
                let error = refused(StatusCode::SERVICE_UNAVAILABLE, "suspended", words).retry_after(FAULTY_WAIT);
                return Err(CallRefusal { error, result: RpcResult::Suspended });
            }
        }
        Err(error @ (PeerError::UnknownPeer(_) | PeerError::Denied(_))) => {
            return Err(CallRefusal::of_call(refused(StatusCode::NOT_FOUND, "unknown_peer", error.to_string())));
        }
        Err(PeerError::Unavailable(error)) => {
            return Err(CallRefusal { error: error.into(), result: RpcResult::Unavailable });
        }
    }
    let fault = match line.egress.call(server, call).await {
        Ok(answer) => match line.nesting.check(&answer.body) {
            Ok(()) => return Ok(answer),
            Err(deep) => PeerCallFault::BadAnswer(deep.to_string()),
        },
        Err(fault) => fault,
    };
    let result = match fault {
        PeerCallFault::Unreachable(_) => RpcResult::Unavailable,
        PeerCallFault::BadAnswer(_) => RpcResult::BadAnswer,
        PeerCallFault::TimedOut => RpcResult::TimedOut,
    };
    Err(CallRefusal { error: fault_error(server, &fault), result })
}

fn fault_error(server: &ServerName, fault: &PeerCallFault) -> ApiError {
    match fault {
        PeerCallFault::Unreachable(why) => {
            refused(StatusCode::BAD_GATEWAY, "unreachable", format!("{server} cannot be reached: {why}"))
        }
        PeerCallFault::BadAnswer(why) => {
            refused(StatusCode::BAD_GATEWAY, "refused", format!("{server} gave no answer that can be passed on: {why}"))
        }
        PeerCallFault::TimedOut => {
            refused(StatusCode::GATEWAY_TIMEOUT, "timeout", format!("{server} did not answer in time"))
        }
    }
}

fn refused(status: StatusCode, code: &'static str, words: impl Into<String>) -> ApiError {
    ApiError::new(status, code, words.into())
}

fn busy(limit: &AdmissionError) -> ApiError {
    let words = limit.to_string();
    refused(StatusCode::TOO_MANY_REQUESTS, "busy", words).retry_after(limit.wait()).by_limit(limit.limit())
}

fn shown(server: &ServerName, answer: RpcAnswer) -> HttpResponse {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut response = HttpResponse::build(status);
    if let Some(wait) = answer.retry_after {
        response.insert_header((RETRY_AFTER, whole_seconds(wait).to_string()));
    }
    response.insert_header((PEER_HEADER, server.as_str())).content_type(ContentType::json()).body(answer.body)
}
