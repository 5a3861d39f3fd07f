//! `POST /admin/v1/contexts/{context}/verify`: compares a context with a peer, and fetches what is missing here.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::admin::AdminApi;
use crate::admin::answer::{OperatorCall, peer};
use crate::api::contexts::verification::{ContextVerification, MissingPdus, RefusedPdu, VerifyRepair};
use crate::comparison::{ComparisonReport, ListedPdus, RepairState, VerifyFailure, VerifyOrder};
use crate::http::error::{ApiError, FAULTY_WAIT};
use crate::http::query;
use crate::http::responses::{no_route, rfc3339};
use crate::messenger::contexts::context::known;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::admin) struct VerifyQuery {
    /// Participant to compare with.
    with: String,
    /// False if what is missing here is not fetched.
    repair: Option<bool>,
    /// Length of the window, such as `7d`; `contexts.verify.window` if it is absent.
    #[schemars(extend("pattern" = "^[1-9][0-9]{0,4}[smhd]$"))]
    window: Option<String>,
}

/// Compares the context, and answers when the comparison and its repair have ended, or their time is over.
pub(in crate::admin) async fn verify(
    api: web::Data<AdminApi>,
    operator: OperatorCall,
    path: web::Path<String>,
    asked: query::QueryParams<VerifyQuery>,
) -> Result<HttpResponse, ApiError> {
    let verified = verified(&api, &path, &asked).await;
    operator.log_action("context.verify", &*path, verified.as_ref().map(|_| ()));
    Ok(HttpResponse::Ok().json(verified?))
}

async fn verified(api: &AdminApi, context: &str, asked: &VerifyQuery) -> Result<ContextVerification, ApiError> {
    let verifier = api.verifier.as_ref().ok_or_else(no_route)?;
    let window = asked.window.as_deref().map(window).transpose()?;
    let order = VerifyOrder {
        context: known(context)?,
        peer: peer(&api.gateway, &asked.with)?,
        window,
        repairs: asked.repair.unwrap_or(true),
    };
    Ok(shown(verifier.verify(order).await.map_err(refused)?))
}

fn window(text: &str) -> Result<Duration, ApiError> {
    humantime::parse_duration(text).map_err(|why| {
        ApiError::bad_request("BAD_QUERY", format!("window={text:?} is no duration such as \"7d\": {why}"))
    })
}

fn shown(report: ComparisonReport) -> ContextVerification {
    let result = report.result().as_str();
    let ComparisonReport { context, peer, asked_from, from, to, here, there, calls, .. } = report;
    ContextVerification {
        context: context.to_string(),
        with: peer.to_string(),
        result: result.into(),
        from: rfc3339(from),
        to: rfc3339(to),
        asked_from: (asked_from < from).then(|| rfc3339(asked_from)),
        here,
        there,
        calls,
        missing_here: listed(report.missing_here),
        missing_there: listed(report.missing_there),
        repair: repair(report.repair),
    }
}

fn listed(pdus: ListedPdus) -> MissingPdus {
    let pair = |pdu: actors::model::PduRef| [pdu.origin.to_string(), pdu.id.to_string()];
    MissingPdus { count: pdus.count, pdus: pdus.listed.into_iter().map(pair).collect() }
}

fn repair(state: RepairState) -> Option<VerifyRepair> {
    match state {
        RepairState::NotNeeded | RepairState::Left => None,
        RepairState::Fetching(fetching) => Some(VerifyRepair { fetching, ..VerifyRepair::default() }),
        RepairState::Refused(error) => {
            Some(VerifyRepair { reason: Some(error.to_string()), ..VerifyRepair::default() })
        }
        RepairState::Ended(outcome) => {
            let refused = outcome.refused.into_iter().map(|(pdu, code)| RefusedPdu {
                pdu: [pdu.origin.to_string(), pdu.id.to_string()],
                code: code.to_owned(),
            });
            Some(VerifyRepair {
                arrived: outcome.arrived.len() as u64,
                absent: outcome.absent.len() as u64,
                refused: refused.collect(),
                ..VerifyRepair::default()
            })
        }
    }
}

fn refused(failure: VerifyFailure) -> ApiError {
    let words = failure.to_string();
    match failure {
        VerifyFailure::Context(error) => error.into(),
        VerifyFailure::Peer(error) => error.into(),
        VerifyFailure::NotFernpost(_) => ApiError::unprocessable("NOT_FERNPOST", words),
        VerifyFailure::NotAParticipant { .. } => ApiError::unprocessable("NOT_A_PARTICIPANT", words),
        VerifyFailure::Busy(limit) => ApiError::new(StatusCode::TOO_MANY_REQUESTS, "VERIFY_BUSY", words)
            .retry_after(limit.wait())
            .by_limit(limit.limit()),
        VerifyFailure::Suspended(_) => {
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "PEER_SUSPENDED", words).retry_after(FAULTY_WAIT)
        }
        VerifyFailure::Unreachable { .. } => ApiError::new(StatusCode::BAD_GATEWAY, "PEER_UNREACHABLE", words),
        VerifyFailure::Refused { .. } => ApiError::new(StatusCode::BAD_GATEWAY, "PEER_REFUSED", words),
        VerifyFailure::BadAnswer { .. } => ApiError::new(StatusCode::BAD_GATEWAY, "PEER_BAD_ANSWER", words),
        VerifyFailure::TimedOut(_) => ApiError::new(StatusCode::GATEWAY_TIMEOUT, "PEER_TIMEOUT", words),
    }
}
