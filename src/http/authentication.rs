//! Authentication of peers: by client certificate, by the signature of the request, or by the network, where a name is accepted
//! only from the address ranges listed for it. Each peer has one proof, and no other is accepted for it.

use std::future::{Ready, ready};

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderValue, WWW_AUTHENTICATE};
use actix_web::middleware::Next;
use actix_web::{Error, FromRequest, HttpMessage, HttpRequest, ResponseError, web};
use actors::model::{DialectSpec, ServerName};

use crate::http::authentication::caller_claim::{
    authorize, claimed, count_connection, counted, names_peer, not_the_sender,
};
use crate::http::authentication::peer_auth_policy::turned_away;
use crate::http::authentication::signature_proof::{SignatureJudge, unknown_key};
use crate::http::authentication::signed_request::SignedRequest;
use crate::http::error::ApiError;
use crate::http::listener::client_stream::ConnectionFacts;
use crate::http::listener::forwarded_requests::ForwardedRequests;

pub use crate::http::authentication::caller_claim::{CallerClaim, identify};
pub use crate::http::authentication::caller_evidence::CallerEvidence;
pub(crate) use crate::http::authentication::forwarded::{caller_address, client_certificate};
pub use crate::http::authentication::peer_auth_policy::{ORIGIN_HEADER, PeerAuthPolicy, ProofKind};
pub use crate::http::authentication::verified_caller::{
    PROVED_BY_CERTIFICATE, PROVED_BY_NETWORK, PROVED_BY_SIGNATURE, VerifiedCaller,
};

/// Middleware: refuses unauthenticated callers, whatever the path. If the body names the sender, [`CallerClaim::verify_origin`]
/// completes the authentication.
pub async fn meet(
    policy: web::Data<dyn PeerAuthPolicy>,
    signatures: Option<web::Data<SignatureJudge>>,
    forwarded: Option<web::Data<ForwardedRequests>>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let checks = CallerChecks { policy, signatures, forwarded };
    checks.meet(request, async |request| next.call(request).await.map(ServiceResponse::map_into_boxed_body)).await
}

/// The parts of an authentication.
#[derive(Clone)]
pub struct CallerChecks {
    /// Policy that decides who may call.
    pub policy: web::Data<dyn PeerAuthPolicy>,
    /// Judge of signatures, if callers may sign.
    pub signatures: Option<web::Data<SignatureJudge>>,
    /// Requests in progress that came by a proxy.
    pub forwarded: Option<web::Data<ForwardedRequests>>,
}

impl CallerChecks {
    /// Answers a request of an authenticated caller by `next`, and refuses any other.
    pub async fn meet(
        &self,
        mut request: ServiceRequest,
        next: impl AsyncFnOnce(ServiceRequest) -> Result<ServiceResponse<BoxBody>, Error>,
    ) -> Result<ServiceResponse<BoxBody>, Error> {
        let policy = &**self.policy;
        let evidence = CallerEvidence::of(
            policy,
            request.conn_data::<ConnectionFacts>(),
            request.peer_addr().map(|peer| peer.ip()),
            request.headers(),
        );
        let evidence = evidence.in_dialect(policy.dialect_of(request.path()));
        let address = evidence.address;
        let _under_way = match (&self.forwarded, address.filter(|_| evidence.by_proxy)) {
            (Some(forwarded), Some(address)) => match forwarded.enter(address) {
                Ok(under_way) => Some(under_way),
                Err(refusal) => return Ok(request.into_response(refusal.error_response())),
            },
            _ => None,
        };
        let judge = self.signatures.as_deref().map(|judge| &**judge);
        let mut answer = match meet_caller(policy, judge, evidence, &mut request).await {
            Ok(()) => next(request).await?,
            Err(problem) => {
                turned_away(policy, address, &problem);
                request.into_response(problem.error_response())
            }
        };
        if answer.status() == StatusCode::UNAUTHORIZED {
            answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Signature"));
        }
        Ok(answer)
    }
}

/// Authenticates a caller, and keeps what is known of it with the request.
async fn meet_caller(
    policy: &dyn PeerAuthPolicy,
    judge: Option<&SignatureJudge>,
    evidence: CallerEvidence,
    request: &mut ServiceRequest,
) -> Result<(), ApiError> {
    let connection = evidence.connection.clone();
    let claim = match judge {
        Some(judge) => meet_signed(policy, judge, evidence, request).await?,
        None => CallerClaim::from_head(policy, evidence, request.headers())?,
    };
    if let CallerClaim::Proved(caller) = &claim {
        count_connection(policy, connection.as_deref(), &caller.server)?;
    }
    request.extensions_mut().insert(claim);
    Ok(())
}

/// Authenticates a caller by its signature, if the signature is that of a peer that proves itself so, or else by its certificate or
/// address.
///
/// A signature of anybody else is no proof: a peer is authenticated by its own `auth` alone. It is named in the refusal if the
/// other evidence proves nothing either.
async fn meet_signed(
    policy: &dyn PeerAuthPolicy,
    judge: &SignatureJudge,
    evidence: CallerEvidence,
    request: &mut ServiceRequest,
) -> Result<CallerClaim, ApiError> {
    let signed = SignedRequest::of(request);
    let stated = SignatureJudge::stated(&signed);
    let stated_name = stated.as_ref().and_then(|stated| stated.as_ref().ok()).map(|stated| &stated.key.server);
    admit_unproved(policy, &evidence, stated_name, request)?;
    let unsigned = |request: &ServiceRequest| CallerClaim::from_head(policy, evidence.clone(), request.headers());
    let stated = match stated {
        None => return unsigned(request),
        Some(Err(unreadable)) => return unsigned(request).map_err(|no| instead(no, unreadable)),
        Some(Ok(stated)) => stated,
    };
    let Some(pinned) = policy.signature_keys(&stated.key.server) else {
        // Who asks under another name learns nothing about which names are listed.
        let refusal = judge.check_target(&signed, &evidence).err().unwrap_or_else(|| unknown_key(&stated.key, None));
        return unsigned(request).map_err(|no| instead(no, refusal));
    };
    judge.check_target(&signed, &evidence)?;
    let dialect = evidence.dialect.unwrap_or(DialectSpec::UPDATES);
    let key = judge.key(&stated.key, &pinned, dialect).await?;
    let caller = judge.verify(request, &signed, &stated, (&key, &evidence)).await?;
    if let Some(claimed) = claimed(request.headers())?.filter(|claimed| *claimed != caller.server) {
        let words = format!("the request is signed by {}, but {ORIGIN_HEADER} names {claimed}", caller.server);
        return Err(not_the_sender(words));
    }
    authorize(policy, caller.server.clone(), caller.proof, evidence.dialect)?;
    Ok(CallerClaim::Proved(caller))
}

/// Limits the requests of an address in an open federation that name no configured server, because looking at their proof costs work.
fn admit_unproved(
    policy: &dyn PeerAuthPolicy,
    evidence: &CallerEvidence,
    stated: Option<&ServerName>,
    request: &ServiceRequest,
) -> Result<(), ApiError> {
    if !policy.is_open() {
        return Ok(());
    }
    let name = match stated {
        Some(server) => Some(server.clone()),
        None => claimed(request.headers())?,
    };
    let is_strange = match name {
        Some(name) => policy.is_stranger(&name),
        None => !names_peer(policy, evidence),
    };
    if is_strange { policy.admit_stranger_request(evidence.address) } else { Ok(()) }
}

/// Returns the refusal of the signature, if the other evidence is no proof either.
fn instead(otherwise: ApiError, by_signature: ApiError) -> ApiError {
    if otherwise.status() == StatusCode::UNAUTHORIZED { by_signature } else { otherwise }
}

/// Returns what the middleware has found out about the caller. Without the middleware only the address is known.
fn met(request: &HttpRequest) -> Result<CallerClaim, ApiError> {
    if let Some(claim) = request.extensions().get::<CallerClaim>() {
        return Ok(claim.clone());
    }
    let policy = policy_of(request);
    let evidence = CallerEvidence::of_address(request.peer_addr().map(|peer| peer.ip()));
    let address = evidence.address;
    let claim = CallerClaim::from_head(policy, evidence, request.headers());
    claim.inspect_err(|problem| turned_away(policy, address, problem))
}

fn policy_of(request: &HttpRequest) -> &dyn PeerAuthPolicy {
    let policy = request.app_data::<web::Data<dyn PeerAuthPolicy>>();
    &***policy.expect("every application with such routes has a PeerAuthPolicy in its data")
}

impl FromRequest for VerifiedCaller {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let policy = policy_of(request);
        let caller = met(request).and_then(|claim| match claim {
            CallerClaim::Proved(caller) => Ok(caller),
            CallerClaim::Unnamed(evidence) => identify(policy, &evidence, request.headers())
                .and_then(|caller| counted(policy, &evidence, caller))
                .inspect_err(|problem| turned_away(policy, evidence.address, problem)),
        });
        ready(caller)
    }
}

impl FromRequest for CallerClaim {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(met(request))
    }
}

mod caller_claim;
mod caller_evidence;
mod forwarded;
mod peer_auth_policy;
pub mod signature_proof;
mod signed_request;
mod verified_caller;

#[cfg(test)]
mod tests;
