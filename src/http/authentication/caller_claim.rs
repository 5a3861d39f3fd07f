//! The proof of a claimed name by address or certificate, and the authorization that follows it.
//!
//! A peer is proved by its own `auth` alone: the right address is no proof for a peer with certificates, and the other way round.

use std::net::IpAddr;

use actix_web::http::StatusCode;
use actix_web::http::header::HeaderMap;
use actors::model::{DialectSpec, ServerName};

use crate::http::authentication::caller_evidence::CallerEvidence;
use crate::http::authentication::peer_auth_policy::{ORIGIN_HEADER, PeerAuthPolicy, ProofKind, turned_away};
use crate::http::authentication::verified_caller::{PROVED_BY_CERTIFICATE, PROVED_BY_NETWORK, VerifiedCaller};
use crate::http::error::ApiError;
use crate::http::listener::connection_table::OpenConnection;
use crate::tls::certificate::PresentedCertificate;
use crate::tls::certificate_fault::CertificateFault;
use crate::tls::certificate_judge::{CertificateRole, CertificateTrust, judge};

/// Authenticates and authorizes a caller by the header that names it, or by what its evidence names.
///
/// Authorization follows authentication, so an unknown caller learns nothing about which servers are denied.
pub fn identify(
    policy: &dyn PeerAuthPolicy,
    evidence: &CallerEvidence,
    headers: &HeaderMap,
) -> Result<VerifiedCaller, ApiError> {
    match claimed(headers)? {
        Some(name) => prove(policy, name, evidence),
        None => match named_by(policy, evidence)? {
            Some(name) => prove(policy, name, evidence),
            None => Err(missing_origin(evidence)),
        },
    }
}

/// The claim of a caller whose name is in the request's body, as far as it is known before the body is read.
#[derive(Debug, Clone)]
pub enum CallerClaim {
    /// The header gave a name, and it was authenticated.
    Proved(VerifiedCaller),
    /// No name was given yet; the evidence may prove several.
    Unnamed(CallerEvidence),
}

impl CallerClaim {
    /// Returns the claim that follows from this evidence and these headers. A caller whose evidence can prove nobody is refused.
    pub fn from_head(
        policy: &dyn PeerAuthPolicy,
        evidence: CallerEvidence,
        headers: &HeaderMap,
    ) -> Result<Self, ApiError> {
        if let Some(name) = claimed(headers)? {
            return prove(policy, name, &evidence).map(Self::Proved);
        }
        let by_address = evidence.address.is_some_and(|address| policy.is_peer_address(address));
        if evidence.certificate.is_none() && !by_address {
            return Err(missing_origin(&evidence));
        }
        // The body of a caller that can prove nobody is not read.
        if !by_address && let Some(Ok(certificate)) = &evidence.certificate {
            can_prove_somebody(policy, certificate)?;
        }
        // Only this peer can be authenticated by the evidence, so a denied one is refused now.
        if let Some(name) = named_by(policy, &evidence)? {
            prove(policy, name, &evidence)?;
        }
        Ok(Self::Unnamed(evidence))
    }

    /// Authenticates the caller by the sender that the body names.
    pub fn verify_origin(self, policy: &dyn PeerAuthPolicy, origin: &ServerName) -> Result<VerifiedCaller, ApiError> {
        match self {
            Self::Unnamed(evidence) => prove(policy, origin.clone(), &evidence)
                .and_then(|caller| counted(policy, &evidence, caller))
                .inspect_err(|problem| turned_away(policy, evidence.address, problem)),
            Self::Proved(caller) if caller.server == *origin => Ok(caller),
            Self::Proved(caller) => {
                let words = format!(
                    "the request is proved by {} to be {}'s, but the body names {origin}",
                    caller.proof, caller.server
                );
                Err(not_the_sender(words))
            }
        }
    }
}

/// Counts the connection of an authenticated caller as one of the peer's; one above the peer's limit is an error.
pub(super) fn count_connection(
    policy: &dyn PeerAuthPolicy,
    connection: Option<&OpenConnection>,
    server: &ServerName,
) -> Result<(), ApiError> {
    let Some(connection) = connection else { return Ok(()) };
    let most = policy.connections_max(server);
    if connection.prove(server, most, policy.is_stranger(server)) {
        return Ok(());
    }
    let words = format!("{server} has {most} connections already (peers.connections_max); use one of them");
    Err(ApiError::new(StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_CONNECTIONS", words))
}

/// Returns a caller that was authenticated by this evidence, its connection counted.
pub(super) fn counted(
    policy: &dyn PeerAuthPolicy,
    evidence: &CallerEvidence,
    caller: VerifiedCaller,
) -> Result<VerifiedCaller, ApiError> {
    count_connection(policy, evidence.connection.as_deref(), &caller.server).map(|()| caller)
}

/// Returns the name in the request's header. Several names, or an invalid one, are an error.
pub(super) fn claimed(headers: &HeaderMap) -> Result<Option<ServerName>, ApiError> {
    let mut values = headers.get_all(ORIGIN_HEADER);
    let Some(first) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(ApiError::bad_request("BAD_ORIGIN", format!("{ORIGIN_HEADER} is there more than once")));
    }
    let text =
        first.to_str().map_err(|_| ApiError::bad_request("BAD_ORIGIN", format!("{ORIGIN_HEADER} is not text")))?;
    let name =
        text.trim().parse().map_err(|bad| ApiError::bad_request("BAD_ORIGIN", format!("{ORIGIN_HEADER}: {bad}")))?;
    Ok(Some(name))
}

/// Returns the peer that the evidence names: the one listed peer among the names of a certificate, else the one listed for the
/// address with the longest prefix. A certificate that can be judged by nobody is an error, unless the address names a peer.
fn named_by(policy: &dyn PeerAuthPolicy, evidence: &CallerEvidence) -> Result<Option<ServerName>, ApiError> {
    let by_address = evidence.address.and_then(|address| policy.peer_by_address(address));
    let Some(certificate) = &evidence.certificate else { return Ok(by_address) };
    match certificate {
        Ok(certificate) => {
            let mut named = policy.peers_named_by(certificate);
            match named.len() {
                1 => Ok(named.pop()),
                _ => Ok(by_address),
            }
        }
        Err(_) if by_address.is_some() => Ok(by_address),
        Err(fault) => Err(certificate_refused(fault)),
    }
}

fn missing_origin(evidence: &CallerEvidence) -> ApiError {
    let words = match (evidence.address, &evidence.certificate) {
        (_, Some(Ok(certificate))) => format!(
            "the request has no {ORIGIN_HEADER} header, and the certificate of {} does not identify one peer",
            certificate.names_text()
        ),
        (Some(address), _) => {
            format!("the request has no {ORIGIN_HEADER} header, and {address} does not identify one peer")
        }
        (None, _) if evidence.by_proxy => {
            "the caller cannot be identified, because the proxy passes neither Forwarded nor X-Forwarded-For with an address"
                .to_owned()
        }
        (None, _) => "the caller cannot be identified, because the connection has no address".to_owned(),
    };
    ApiError::unauthenticated(words)
}

/// Returns the caller of this name if the evidence proves it, and if it is authorized.
fn prove(policy: &dyn PeerAuthPolicy, name: ServerName, evidence: &CallerEvidence) -> Result<VerifiedCaller, ApiError> {
    match policy.proof_kind(&name) {
        Some(ProofKind::Network) => by_address(policy, name, evidence),
        Some(ProofKind::Certificate) => by_certificate(policy, name, evidence),
        Some(ProofKind::Signature) => Err(other_proof(policy, &name, evidence).unwrap_or_else(|| {
            ApiError::unauthenticated(format!(
                "{name} is authenticated by the signature of its requests, and this request has none"
            ))
        })),
        Some(ProofKind::Stranger) => by_stranger(policy, name, evidence),
        // A name that nobody knows is refused by whatever the caller shows.
        None if evidence.certificate.is_some() => by_certificate(policy, name, evidence),
        None => by_address(policy, name, evidence),
    }
}

/// Returns whether the evidence may be that of a configured peer, although the head names none.
pub(super) fn names_peer(policy: &dyn PeerAuthPolicy, evidence: &CallerEvidence) -> bool {
    let by_certificate = || {
        let certificate = evidence.certificate.as_ref().and_then(|certificate| certificate.as_ref().ok());
        certificate.is_some_and(|certificate| !policy.peers_named_by(certificate).is_empty())
    };
    evidence.address.is_some_and(|address| policy.is_peer_address(address)) || by_certificate()
}

/// Proves a stranger. Its signature would have been judged already, and its address proves nothing.
fn by_stranger(
    policy: &dyn PeerAuthPolicy,
    name: ServerName,
    evidence: &CallerEvidence,
) -> Result<VerifiedCaller, ApiError> {
    if evidence.certificate.is_none() {
        let words = format!("{name} is not listed here, so it is authenticated by a client certificate or a signature");
        return Err(ApiError::unauthenticated(words));
    }
    policy.admit_stranger_proof()?;
    by_certificate(policy, name, evidence)
}

fn by_address(
    policy: &dyn PeerAuthPolicy,
    name: ServerName,
    evidence: &CallerEvidence,
) -> Result<VerifiedCaller, ApiError> {
    let Some(address) = evidence.address else { return Err(missing_address(evidence)) };
    if policy.allows_address(&name, address) {
        return authorize(policy, name, PROVED_BY_NETWORK, evidence.dialect);
    }
    Err(other_proof(policy, &name, evidence).unwrap_or_else(|| not_by_address(&name, address)))
}

fn missing_address(evidence: &CallerEvidence) -> ApiError {
    missing_origin(&CallerEvidence { certificate: None, ..evidence.clone() })
}

fn not_by_address(name: &ServerName, address: IpAddr) -> ApiError {
    ApiError::unauthenticated(format!(
        "{address} is not authenticated as {name}, because no peer of that name has an allow_from that contains \
         this address"
    ))
}

fn by_certificate(
    policy: &dyn PeerAuthPolicy,
    name: ServerName,
    evidence: &CallerEvidence,
) -> Result<VerifiedCaller, ApiError> {
    let certificate = match &evidence.certificate {
        None => {
            let words = format!("{name} is authenticated by a client certificate, and none was presented");
            return Err(ApiError::unauthenticated(words));
        }
        Some(Err(fault)) => return Err(certificate_refused(fault)),
        Some(Ok(certificate)) => certificate,
    };
    if !certificate.covers(name.host()) {
        return Err(wrong_name(policy, certificate, &name));
    }
    sound(policy, certificate, &name).map_err(|fault| certificate_refused(&fault))?;
    authorize(policy, name, PROVED_BY_CERTIFICATE, evidence.dialect)
}

/// Judges a certificate as that of this server: by the server's pins if it has any, else by the roots.
fn sound(
    policy: &dyn PeerAuthPolicy,
    certificate: &PresentedCertificate,
    name: &ServerName,
) -> Result<(), CertificateFault> {
    let pins = policy.certificate_pins(name);
    let roots = if policy.is_stranger(name) { policy.stranger_roots() } else { policy.client_roots() };
    let trust = match &pins {
        Some(pins) if !pins.is_empty() => CertificateTrust::Pins(pins),
        _ => CertificateTrust::Roots(&roots),
    };
    judge(certificate, CertificateRole::Client, trust, policy.now())
}

/// Judges a certificate before its caller is named: by its pin if any peer has that pinned, else by the roots.
fn can_prove_somebody(policy: &dyn PeerAuthPolicy, certificate: &PresentedCertificate) -> Result<(), ApiError> {
    let (pin, roots) = ([certificate.pin()], policy.client_roots());
    let trust = match policy.is_pinned(&pin[0]) {
        true => CertificateTrust::Pins(&pin),
        false => CertificateTrust::Roots(&roots),
    };
    match judge(certificate, CertificateRole::Client, trust, policy.now()) {
        Ok(()) => Ok(()),
        Err(_) if policy.is_open() => {
            policy.admit_stranger_proof()?;
            sound_for_stranger(policy, certificate).map_err(|fault| certificate_refused(&fault))
        }
        Err(fault) => Err(certificate_refused(&fault)),
    }
}

fn sound_for_stranger(policy: &dyn PeerAuthPolicy, certificate: &PresentedCertificate) -> Result<(), CertificateFault> {
    let roots = policy.stranger_roots();
    judge(certificate, CertificateRole::Client, CertificateTrust::Roots(&roots), policy.now())
}

/// Returns the refusal of a certificate that does not cover the claimed name. Only a sound one speaks against the claim.
fn wrong_name(policy: &dyn PeerAuthPolicy, certificate: &PresentedCertificate, name: &ServerName) -> ApiError {
    if let Some(theirs) = sound_for_others(policy, certificate) {
        return theirs;
    }
    let fault = match sound(policy, certificate, name) {
        Err(fault) => fault,
        Ok(()) => CertificateFault::WrongName { expected: name.host().to_owned(), found: certificate.names_text() },
    };
    certificate_refused(&fault)
}

/// Returns the refusal of a claim that stands against a sound certificate of somebody else.
fn other_proof(policy: &dyn PeerAuthPolicy, name: &ServerName, evidence: &CallerEvidence) -> Option<ApiError> {
    let certificate = evidence.certificate.as_ref()?.as_ref().ok()?;
    if certificate.covers(name.host()) { None } else { sound_for_others(policy, certificate) }
}

fn sound_for_others(policy: &dyn PeerAuthPolicy, certificate: &PresentedCertificate) -> Option<ApiError> {
    if certificate.names().is_empty() {
        return None;
    }
    let pinned = policy.peers_named_by(certificate).iter().any(|peer| sound(policy, certificate, peer).is_ok());
    let roots = policy.client_roots();
    let is_sound = pinned
        || judge(certificate, CertificateRole::Client, CertificateTrust::Roots(&roots), policy.now()).is_ok()
        || (policy.is_open()
            && policy.admit_stranger_proof().is_ok()
            && sound_for_stranger(policy, certificate).is_ok());
    is_sound.then(|| {
        not_the_sender(format!(
            "the client certificate is that of {}, and not of the name that is claimed",
            certificate.names_text()
        ))
    })
}

fn certificate_refused(fault: &CertificateFault) -> ApiError {
    ApiError::new(StatusCode::UNAUTHORIZED, fault.code(), fault.to_string())
}

pub(super) fn not_the_sender(words: String) -> ApiError {
    ApiError::new(StatusCode::FORBIDDEN, "NOT_THE_SENDER", words)
}

/// Returns the caller of this authenticated name if it is authorized.
pub(super) fn authorize(
    policy: &dyn PeerAuthPolicy,
    server: ServerName,
    proof: &'static str,
    dialect: Option<DialectSpec>,
) -> Result<VerifiedCaller, ApiError> {
    if policy.denied(&server) {
        return Err(ApiError::forbidden(format!("{server} is denied by federation.deny")));
    }
    if !policy.listed(&server) {
        return Err(ApiError::forbidden(format!("{server} is not a peer of this server")));
    }
    if let Some(dialect) = dialect.filter(|_| policy.is_stranger(&server)) {
        policy.on_stranger(&server, dialect);
    }
    Ok(VerifiedCaller { server, proof, nonce: None })
}
