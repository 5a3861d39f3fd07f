//! `POST /http/v1/rpc`: a peer asks our messenger.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::RETRY_AFTER;
use actix_web::{HttpRequest, HttpResponse, web};
use actors::errors::{AdmissionError, UnavailableError};
use actors::model::CountedNoun;
use bytes::Bytes;

use crate::comparison::CompareRefusal;
use crate::http::authentication::VerifiedCaller;
use crate::http::body::encoded::{BodyEncoding, refuse_forms};
use crate::http::body::{self, BodyLimit};
use crate::http::error::{ApiError, RESTART_WAIT, whole_seconds};
use crate::http::listener::caller_departure::unless_caller_leaves;
use crate::json::nesting::BodyNestingLimit;
use crate::rpc::call_message::{self, NotProtobuf};
use crate::rpc::inbound_calls::{InboundRefusal, ReceivedCallOfPeer};
use crate::rpc::reach_register::ReachRefusal;
use crate::rpc::{InboundCalls, MessengerFault, RpcAnswer, RpcResult, call_timeout};

/// Time after which a peer should ask again that met no messenger: it starts within seconds, if it starts.
const MESSENGER_WAIT: Duration = Duration::from_secs(5);

/// Passes a call on to the messenger, and its answer back. The caller is authenticated and counted before its body is read.
pub(super) async fn post_rpc(
    caller: VerifiedCaller,
    request: HttpRequest,
    payload: web::Payload,
    calls: Option<web::Data<InboundCalls>>,
) -> Result<HttpResponse, ApiError> {
    let calls = calls.ok_or_else(|| ApiError::not_found("NOT_FOUND", "no such endpoint"))?;
    let permit = calls.admit(&caller.server).map_err(|limit| busy(&limit))?;
    let answered = unless_caller_leaves(&request, answer(&calls, caller, &request, payload)).await;
    let (answer, result) = match answered {
        Some(Ok(answer)) => (Ok(shown(answer, BodyEncoding::of(request.headers()))), RpcResult::Answered),
        Some(Err((error, result))) => (Err(error), result),
        // Nobody reads this.
        None => (Err(ApiError::from(MessengerFault::TimedOut)), RpcResult::Cancelled),
    };
    permit.end(result);
    answer
}

async fn answer(
    calls: &InboundCalls,
    caller: VerifiedCaller,
    request: &HttpRequest,
    payload: web::Payload,
) -> Result<RpcAnswer, (ApiError, RpcResult)> {
    let limits = calls.limits();
    let refused = |error: ApiError| (error, RpcResult::BadRequest);
    let time = call_timeout::stated(request.headers(), &limits)
        .map_err(|bad| refused(ApiError::bad_request("BAD_TIMEOUT", bad.to_string())))?;
    let body = whole_body(request, payload, limits.body_max).await.map_err(refused)?;
    let VerifiedCaller { server: from, nonce, .. } = caller;
    let call = ReceivedCallOfPeer { from, nonce, body, time, answer_max: limits.body_max };
    calls.answer(call).await.map_err(|refusal| {
        let result = refusal.result();
        (refusal.into(), result)
    })
}

/// Reads the JSON of the body within its limits. The message around it in Protobuf counts in none of them.
async fn whole_body(request: &HttpRequest, payload: web::Payload, body_max: usize) -> Result<Bytes, ApiError> {
    refuse_forms(request.headers())?;
    let encoding = BodyEncoding::of(request.headers());
    let around = if encoding == BodyEncoding::Protobuf { call_message::AROUND_MAX } else { 0 };
    let listener = request.app_data::<BodyLimit>().copied().unwrap_or_default();
    let limit = BodyLimit { key: "rpc.body_max", bytes: body_max.saturating_add(around), ..listener };
    let read = body::read(limit, body::announced(request.headers()), payload).await;
    let body = read.map_err(|error| match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_large(body_max),
        _ => error,
    })?;
    let json = call_message::call_json(encoding, body)?;
    if json.len() > body_max {
        return Err(too_large(body_max));
    }
    let nesting = request.app_data::<BodyNestingLimit>().cloned().unwrap_or_default();
    nesting.check(&json).map_err(|deep| ApiError::bad_request("NESTS_TOO_DEEP", deep.to_string()))?;
    Ok(json)
}

fn too_large(body_max: usize) -> ApiError {
    let words = format!("the body exceeds rpc.body_max ({})", CountedNoun(body_max as u64, "byte"));
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "TOO_LARGE", words).by_limit("rpc.body_max")
}

fn shown(answer: RpcAnswer, encoding: BodyEncoding) -> HttpResponse {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let mut response = HttpResponse::build(status);
    if let Some(wait) = answer.retry_after {
        response.insert_header((RETRY_AFTER, whole_seconds(wait).to_string()));
    }
    response.content_type(encoding.content_type()).body(call_message::body_of(encoding, answer.body))
}

fn busy(limit: &AdmissionError) -> ApiError {
    let refused = ApiError::new(StatusCode::TOO_MANY_REQUESTS, "RPC_BUSY", limit.to_string());
    refused.retry_after(limit.wait()).by_limit(limit.limit())
}

/// Returns the refusal of a call while the gateway drains.
pub(super) fn stopping(words: String) -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "STOPPING", words).told_to_wait(RESTART_WAIT)
}

fn not_compared(refusal: &CompareRefusal) -> ApiError {
    let words = refusal.to_string();
    match refusal {
        CompareRefusal::OtherProfile => ApiError::not_found("UNKNOWN_METHOD", words),
        CompareRefusal::BadCall(_) => ApiError::bad_request("BAD_COMPARISON", words),
        CompareRefusal::NotShared => ApiError::not_found("CONTEXT_NOT_SHARED", words),
        CompareRefusal::Busy(full) => {
            let refused = ApiError::new(StatusCode::TOO_MANY_REQUESTS, "COMPARE_BUSY", words).retry_after(full.wait());
            match full.limit() {
                Some(key) => refused.by_limit(key),
                None => refused,
            }
        }
        CompareRefusal::Late => ApiError::new(StatusCode::GATEWAY_TIMEOUT, "COMPARE_TIMEOUT", words),
        CompareRefusal::Unreadable => UnavailableError::OutcomeUnknown.into(),
    }
}

impl From<NotProtobuf> for ApiError {
    fn from(bad: NotProtobuf) -> Self {
        Self::bad_request("NOT_PROTOBUF", bad.to_string())
    }
}

impl From<MessengerFault> for ApiError {
    fn from(fault: MessengerFault) -> Self {
        let words = fault.to_string();
        match fault {
            MessengerFault::Down(_) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "MESSENGER_DOWN", words).told_to_wait(MESSENGER_WAIT)
            }
            MessengerFault::BadAnswer(_) => Self::new(StatusCode::BAD_GATEWAY, "MESSENGER_ERROR", words),
            MessengerFault::TimedOut => Self::new(StatusCode::GATEWAY_TIMEOUT, "MESSENGER_TIMEOUT", words),
        }
    }
}

impl From<InboundRefusal> for ApiError {
    fn from(refusal: InboundRefusal) -> Self {
        let words = refusal.to_string();
        match refusal {
            InboundRefusal::NoObject(_) => Self::bad_request("BAD_JSON", words),
            InboundRefusal::UnknownMethod(_) => Self::not_found("UNKNOWN_METHOD", words),
            InboundRefusal::Unreached(refusal) => {
                let status = match refusal {
                    ReachRefusal::NotAllowed => StatusCode::FORBIDDEN,
                    ReachRefusal::TooOften { .. } | ReachRefusal::Busy => StatusCode::TOO_MANY_REQUESTS,
                };
                let refused = Self::new(status, refusal.code(), words);
                match refusal.wait() {
                    Some(wait) => refused.told_to_wait(wait),
                    None => refused,
                }
            }
            InboundRefusal::NoMessenger => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "NO_MESSENGER", words).told_to_wait(MESSENGER_WAIT)
            }
            InboundRefusal::Compare(refusal) => not_compared(&refusal),
            InboundRefusal::NotStored(error) => error.into(),
            InboundRefusal::Fault(fault) => fault.into(),
        }
    }
}
