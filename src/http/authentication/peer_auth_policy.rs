//! The configured rules by which callers are authenticated.

use std::net::IpAddr;
use std::sync::Arc;

use actix_web::http::StatusCode;
use actors::model::{DialectSpec, Millis, ServerName};

use crate::http::error::ApiError;
use crate::identity::public_key::PeerKeys;
use crate::tls::certificate::PresentedCertificate;
use crate::tls::spki_pin::SpkiPin;
use crate::tls::trust_roots::TrustRoots;

/// Header with the peer's name.
pub const ORIGIN_HEADER: &str = "Fernpost-Origin";

/// The proof by which a server is authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProofKind {
    /// By the address that it calls from.
    Network,
    /// By the signature of its requests.
    Signature,
    /// By its client certificate.
    Certificate,
    /// By its client certificate or its signature: nobody has configured it, and the federation is open.
    Stranger,
}

/// The configured rules about names, addresses and certificates.
pub trait PeerAuthPolicy: Send + Sync + 'static {
    /// Returns whether the operator denied this server. It is called before the server is authorized.
    fn denied(&self, server: &ServerName) -> bool;

    /// Returns whether the name is listed and the address is in the ranges listed for it.
    fn allows_address(&self, server: &ServerName, address: IpAddr) -> bool;

    /// Returns the peer of a caller that gives no name: the one whose listed prefix that contains the address is the
    /// longest.
    fn peer_by_address(&self, address: IpAddr) -> Option<ServerName>;

    /// Returns whether the address is in the ranges of any peer, including denied ones.
    fn is_peer_address(&self, address: IpAddr) -> bool;

    /// Returns whether this server is a peer.
    fn listed(&self, server: &ServerName) -> bool;

    /// Returns the proof of a server, listed or denied; `None`: it is neither.
    fn proof_kind(&self, _server: &ServerName) -> Option<ProofKind> {
        Some(ProofKind::Network)
    }

    /// Returns the pinned keys of a server whose requests are proved by signature, listed or denied; without any, those of its key
    /// directory count. `None`: by another proof.
    fn signature_keys(&self, _server: &ServerName) -> Option<PeerKeys> {
        None
    }

    /// Returns the dialect that this path of a request belongs to.
    fn dialect_of(&self, _path: &str) -> DialectSpec {
        DialectSpec::UPDATES
    }

    /// Returns the pinned public keys of a server that is proved by certificate; `None`: its certificate is judged by its chain.
    fn certificate_pins(&self, _server: &ServerName) -> Option<Arc<[SpkiPin]>> {
        None
    }

    /// Returns whether this public key is pinned for any server, listed or denied.
    fn is_pinned(&self, _key: &SpkiPin) -> bool {
        false
    }

    /// Returns the servers proved by certificate, listed or denied, that a certificate names exactly. A wildcard names nobody.
    fn peers_named_by(&self, _certificate: &PresentedCertificate) -> Vec<ServerName> {
        Vec::new()
    }

    /// Returns the roots that client certificates must chain to.
    fn client_roots(&self) -> TrustRoots {
        TrustRoots::none()
    }

    /// Returns whether the federation is open.
    fn is_open(&self) -> bool {
        false
    }

    /// Returns whether the server may be a peer without being configured, unless it is denied.
    fn is_stranger(&self, _server: &ServerName) -> bool {
        false
    }

    /// Returns the roots that client certificates of strangers must chain to.
    fn stranger_roots(&self) -> TrustRoots {
        TrustRoots::none()
    }

    /// Admits a request from this address that names no configured server, before its proof is looked at.
    fn admit_stranger_request(&self, _address: Option<IpAddr>) -> Result<(), ApiError> {
        Ok(())
    }

    /// Admits the verification of a stranger's certificate.
    fn admit_stranger_proof(&self) -> Result<(), ApiError> {
        Ok(())
    }

    /// Called when a stranger has proved its name, with the dialect of its request.
    fn on_stranger(&self, _server: &ServerName, _dialect: DialectSpec) {}

    /// Returns whether the address is that of a trusted reverse proxy.
    fn is_trusted_proxy(&self, _address: IpAddr) -> bool {
        false
    }

    /// Returns the header, in lower case, in which a trusted proxy passes the client certificate.
    fn client_cert_header(&self) -> Option<Arc<str>> {
        None
    }

    /// Returns the maximum number of connections of this peer.
    fn connections_max(&self, _server: &ServerName) -> usize {
        usize::MAX
    }

    /// Returns the time at which certificates are judged.
    fn now(&self) -> Millis {
        Millis(0)
    }

    /// Called when a caller is refused because it is not authenticated.
    fn on_unauthenticated(&self, _address: Option<IpAddr>, _why: &ApiError) {}
}

/// Reports a caller that is not authenticated.
pub(super) fn turned_away(policy: &dyn PeerAuthPolicy, address: Option<IpAddr>, problem: &ApiError) {
    if problem.status() == StatusCode::UNAUTHORIZED {
        policy.on_unauthenticated(address, problem);
    }
}
