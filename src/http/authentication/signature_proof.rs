//! Proof of a caller by the signature of its request; see `docs/protocol.md#signatures`.
//!
//! The signature is verified at the head, because it covers the digest of the body and not the body. Only then is the body kept: it
//! is read by the middleware, within the limits of all bodies, and the handlers read it again from memory.

use std::sync::Arc;

use actix_web::dev::{Payload, ServiceRequest};
use actix_web::http::header::CONTENT_ENCODING;
use actix_web::http::{Method, StatusCode};
use actix_web::web;
use actors::model::{DialectSpec, Millis, ServerName, UsedNonce};
use actors::ports::Clock;
use tokio::time::Instant;

use crate::http::authentication::caller_evidence::CallerEvidence;
use crate::http::authentication::signed_request::SignedRequest;
use crate::http::authentication::verified_caller::{PROVED_BY_SIGNATURE, VerifiedCaller};
use crate::http::body::{self, BodyLimit};
use crate::http::error::ApiError;
use crate::identity::content_digest::{CONTENT_DIGEST, StatedDigests};
use crate::identity::key_id::KeyName;
use crate::identity::nonce_memory::{NonceError, NonceMemory, REMEMBERED};
use crate::identity::origin_keys::{KeyQuery, NoKeysError, OriginKeys};
use crate::identity::public_key::{PeerKeys, PublicKey};
use crate::identity::request_signature::{CREATED_WITHIN, SignatureError, check_target, check_times, is_signature_of};
use crate::identity::signature_fields::{SIGNATURE, SIGNATURE_INPUT, StatedSignature};
use crate::telemetry::peer_clocks::PeerClocks;

/// The judge of signatures. It has our name, the clock, the nonces and the limits; the peers' keys are arguments.
pub struct SignatureJudge {
    us: ServerName,
    /// Port of the listener.
    port: Option<u16>,
    clock: Arc<dyn Clock>,
    nonces: NonceMemory,
    /// Keys of peers without pinned ones.
    fetched: Option<Arc<dyn OriginKeys>>,
    started: StartOfProcess,
    body: BodyLimit,
    /// Clocks of the peers, as their signatures state them.
    clocks: PeerClocks,
}

/// The start of the process, by both clocks.
struct StartOfProcess {
    wall: Millis,
    monotonic: Instant,
}

impl SignatureJudge {
    /// Returns a judge for the server `us`, whose listener has this port; `used` are the nonces that earlier processes have stored.
    pub fn new(
        (us, port): (ServerName, Option<u16>),
        clock: Arc<dyn Clock>,
        (nonces_max, used): (u32, Vec<UsedNonce>),
        body: BodyLimit,
    ) -> Self {
        let started = StartOfProcess { wall: clock.now(), monotonic: Instant::now() };
        let nonces = NonceMemory::new(nonces_max as usize, used, started.monotonic);
        Self { us, port, clock, nonces, fetched: None, started, body, clocks: PeerClocks::default() }
    }

    /// Uses these keys for peers without pinned ones.
    #[must_use]
    pub fn with_fetched(self, keys: impl OriginKeys) -> Self {
        Self { fetched: Some(Arc::new(keys)), ..self }
    }

    /// Returns the key of this name: a pinned one, or one that the server publishes if none is pinned.
    pub(super) async fn key(
        &self,
        name: &KeyName,
        pinned: &PeerKeys,
        dialect: DialectSpec,
    ) -> Result<PublicKey, ApiError> {
        let KeyName { server, id } = name;
        let find = |keys: &PeerKeys| keys.iter().find(|(other, _)| other == id).map(|(_, key)| *key);
        let fetched = match &self.fetched {
            Some(fetched) if pinned.is_empty() => fetched,
            _ => return find(pinned).ok_or_else(|| unknown_key(name, None)),
        };
        let query = KeyQuery { server, wanted: std::slice::from_ref(id), dialect, since: Instant::now() };
        match fetched.keys_of(query).await {
            Ok(keys) => find(&keys).ok_or_else(|| {
                let ids: Vec<&str> = keys.iter().map(|(id, _)| id.as_str()).collect();
                unknown_key(name, Some(format!("its key directory has the keys {}", ids.join(", "))))
            }),
            Err(error @ NoKeysError::TooMany { wait, .. }) => {
                Err(ApiError::new(StatusCode::TOO_MANY_REQUESTS, "STRANGERS_PROOFS", error.to_string())
                    .retry_after(wait))
            }
            Err(error) => Err(unknown_key(name, Some(error.to_string()))),
        }
    }

    /// Measures the clocks of the peers.
    #[must_use]
    pub fn measuring(self, clocks: PeerClocks) -> Self {
        Self { clocks, ..self }
    }

    /// Changes the maximum number of nonces per key (`peers.nonces_max`).
    pub fn limit_nonces(&self, nonces_max: u32) {
        self.nonces.limit(nonces_max as usize);
    }

    /// Returns the signature that the request states, or an error if it cannot be read; `None`: the request has none.
    pub(super) fn stated(signed: &SignedRequest) -> Option<Result<StatedSignature, ApiError>> {
        let (input, signature) = (signed.joined(SIGNATURE_INPUT), signed.joined(SIGNATURE));
        if input.is_none() && signature.is_none() {
            return None;
        }
        let read = StatedSignature::read(&input.unwrap_or_default(), &signature.unwrap_or_default());
        read.map_err(|error| unauthenticated("BAD_SIGNATURE", error.to_string())).transpose()
    }

    /// Checks that the request is for this server.
    pub(super) fn check_target(&self, signed: &SignedRequest, evidence: &CallerEvidence) -> Result<(), ApiError> {
        signed.over("https", |parts| check_target(parts, &self.us, self.port)).map_err(|error| {
            match evidence.by_proxy {
                false => refused(&error),
                true => unauthenticated(
                    "WRONG_TARGET",
                    format!(
                        "{error}; the reverse proxy must pass the Host header on (nginx: proxy_set_header Host $http_host)"
                    ),
                ),
            }
        })
    }

    /// Verifies the signature of a peer under this key, and returns the caller. The body is read, and put back for the handler.
    pub(super) async fn verify(
        &self,
        request: &mut ServiceRequest,
        signed: &SignedRequest,
        stated: &StatedSignature,
        (key, evidence): (&PublicKey, &CallerEvidence),
    ) -> Result<VerifiedCaller, ApiError> {
        let arrived = self.clock.now();
        self.check_times(stated, request.method() == Method::GET)?;
        if request.headers().get(CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
            let words =
                "the digest of a signed request is that of its body as it is sent: send it without Content-Encoding";
            return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "CONTENT_ENCODING", words));
        }
        // Without TLS at this listener the caller may have written either scheme.
        let schemes: &[&str] = if evidence.is_tls { &["https"] } else { &["https", "http"] };
        let is_signed = schemes.iter().any(|scheme| signed.over(scheme, |parts| is_signature_of(stated, parts, key)));
        self.check_body(request, signed, is_signed).await?;
        if !is_signed {
            return Err(refused(&SignatureError::BadSignature(stated.key.clone())));
        }
        // The body may have taken long.
        self.check_times(stated, request.method() == Method::GET)?;
        let created = Millis(u64::try_from(stated.created).unwrap_or(0).saturating_mul(1000));
        let (key, nonce) = (stated.key.to_string().into(), stated.nonce.as_str().into());
        let used = UsedNonce { key, nonce, until: created.after(CREATED_WITHIN) };
        self.nonces.use_once(Instant::now(), &used).map_err(|error| match error {
            NonceError::Seen => unauthenticated("NONCE_SEEN", error.to_string()),
            NonceError::TooMany { wait, .. } => {
                ApiError::new(StatusCode::TOO_MANY_REQUESTS, "NONCES_MAX", error.to_string())
                    .retry_after(wait)
                    .by_limit("peers.nonces_max")
            }
        })?;
        // A copy would be refused above, so the peer has just read this time.
        self.clocks.note(&stated.key.server, created, (arrived, arrived));
        Ok(VerifiedCaller { server: stated.key.server.clone(), proof: PROVED_BY_SIGNATURE, nonce: Some(used) })
    }

    /// Checks the times of a signature. A nonce of a request that only reads is not stored, so after a start one that was signed
    /// before the start may be a copy; by the peer's own clock, as far as its skew is known. Once the process runs for longer than a signature can be accepted, there is none.
    fn check_times(&self, stated: &StatedSignature, only_reads: bool) -> Result<(), ApiError> {
        let now_ms = i64::try_from(self.clock.now().0).unwrap_or(i64::MAX);
        check_times(stated, now_ms).map_err(|error| refused(&error))?;
        let started_secs = i64::try_from(self.started.wall.0 / 1000).unwrap_or(i64::MAX);
        let may_be_older = only_reads && self.started.monotonic.elapsed() < REMEMBERED;
        let skew_secs = self.clocks.skew_ms(&stated.key.server).unwrap_or(0).div_euclid(1000);
        if may_be_older && stated.created.saturating_sub(skew_secs) < started_secs {
            let skew_ms = stated.created.saturating_mul(1000).saturating_sub(now_ms);
            return Err(refused(&SignatureError::TooOld { skew_ms }));
        }
        Ok(())
    }

    /// Checks the digest of the body. The body is kept for the handler only if the signature is sound; otherwise each part is dropped
    /// after it was hashed, because anybody can write such a request.
    async fn check_body(
        &self,
        request: &mut ServiceRequest,
        signed: &SignedRequest,
        is_signed: bool,
    ) -> Result<(), ApiError> {
        let bad_digest = |error| refused(&SignatureError::Digest(error));
        let stated = StatedDigests::read(&signed.joined(CONTENT_DIGEST).unwrap_or_default()).map_err(bad_digest)?;
        let mut check = stated.begin();
        let announced = body::announced(request.headers());
        let payload = request.extract::<web::Payload>().await.map_err(|error| body::broken_off(&error))?;
        if is_signed {
            let bytes = body::read(self.body, announced, payload).await?;
            check.update(&bytes);
            let (_, mut again) = actix_http::h1::Payload::create(true);
            again.unread_data(bytes);
            request.set_payload(Payload::from(again));
        } else {
            body::read_parts(self.body, announced, payload, |part| check.update(part)).await?;
        }
        check.finish().map_err(bad_digest)
    }
}

/// Returns the refusal of a key that is not known; `why` says what is known of the directory that was to have it.
pub(super) fn unknown_key(key: &KeyName, why: Option<String>) -> ApiError {
    let why = why.unwrap_or_else(|| format!("see peers.server.\"{}\".keys", key.server));
    unauthenticated("UNKNOWN_KEY", format!("no key {key} is known here; {why}"))
}

fn unauthenticated(code: &'static str, words: String) -> ApiError {
    ApiError::new(StatusCode::UNAUTHORIZED, code, words)
}

fn refused(error: &SignatureError) -> ApiError {
    let words = error.to_string();
    match *error {
        SignatureError::WrongTarget { .. } => unauthenticated("WRONG_TARGET", words),
        SignatureError::TooOld { skew_ms } => unauthenticated("TOO_OLD", words).with_skew(skew_ms),
        SignatureError::TooNew { skew_ms } => unauthenticated("TOO_NEW", words).with_skew(skew_ms),
        SignatureError::Digest(_) => unauthenticated("BAD_DIGEST", words),
        SignatureError::BadSignature(_) => unauthenticated("BAD_SIGNATURE", words),
    }
}
