//! TLS towards peers: whom we believe, and whether we show our certificate.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::{fmt, io};

use actors::model::{ConnectCode, UnreachedReason};
use actors::ports::Clock;
use parking_lot::Mutex;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, HandshakeKind, OtherError, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::tls::certificate::PresentedCertificate;
use crate::tls::certificate_fault::CertificateFault;
use crate::tls::certificate_judge::{CertificateRole, CertificateTrust, judge, judge_name};
use crate::tls::key_pair::TlsKeyPair;
use crate::tls::live_pair::LiveKeyPair;
use crate::tls::live_roots::LiveRoots;
use crate::tls::provider::provider;
use crate::tls::spki_pin::SpkiPin;
use crate::tls::trust_roots::TrustRoots;

/// Sessions that are kept for resumption, over all peers with the same configuration.
const SESSIONS_MAX: usize = 4_096;

/// Maximum number of configurations. Each peer with pins has one of its own.
const CONFIGURATIONS_MAX: usize = 4_096;

/// The HTTP versions that are offered in a handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum OfferedProtocols {
    /// HTTP/2, else HTTP/1.1.
    Both,
    /// HTTP/1.1 alone, for a request that is written by hand.
    Http1,
}

/// The parts of a handshake that differ from peer to peer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct TlsProfile {
    /// Pins of the peer; none: roots.
    pub(super) pins: Arc<[SpkiPin]>,
    pub(super) presents_certificate: bool,
    pub(super) protocols: OfferedProtocols,
}

/// TLS towards peers.
pub(crate) struct PeerTls {
    clock: Arc<dyn Clock>,
    /// Roots; those of the system are read at the first handshake, because that takes milliseconds.
    roots: OnceLock<LiveRoots>,
    own: Option<LiveKeyPair>,
    /// Sessions are resumed only within one configuration, so these are kept.
    configurations: Mutex<HashMap<TlsProfile, Arc<PeerTlsConfiguration>>>,
}

struct PeerTlsConfiguration {
    client: Arc<ClientConfig>,
    verifier: Arc<PeerCertificateVerifier>,
    material: TlsMaterial,
}

/// Our certificate and the roots with which a connection was made.
#[derive(Debug, Clone)]
pub(crate) struct TlsMaterial {
    own: Option<Arc<TlsKeyPair>>,
    roots: TrustRoots,
}

impl TlsMaterial {
    fn is_same(&self, other: &Self) -> bool {
        let is_same_pair = match (&self.own, &other.own) {
            (Some(own), Some(others)) => Arc::ptr_eq(own, others),
            (own, others) => own.is_none() && others.is_none(),
        };
        is_same_pair && self.roots.is_clone_of(&other.roots)
    }
}

/// Error: a handshake failed.
pub(super) enum HandshakeError {
    /// The peer is not believed, or does not speak TLS.
    Refused(RefusedHandshake),
    /// The certificate of a resumed session is not accepted any more; the peer may have another one by now.
    StaleSession(RefusedHandshake),
}

/// The reason of a handshake that failed, and the certificate of the peer, if it came as far and could be read.
pub(super) struct RefusedHandshake {
    pub(super) reason: UnreachedReason,
    pub(super) certificate: Option<PresentedCertificate>,
}

impl From<UnreachedReason> for RefusedHandshake {
    fn from(reason: UnreachedReason) -> Self {
        Self { reason, certificate: None }
    }
}

impl HandshakeError {
    /// Returns the refusal.
    pub(super) fn into_refusal(self) -> RefusedHandshake {
        match self {
            Self::Refused(refusal) | Self::StaleSession(refusal) => refusal,
        }
    }
}

/// Error: the verifier does not accept a certificate. It travels through the library's error.
#[derive(Debug, thiserror::Error)]
#[error("{fault}")]
struct RefusedCertificate {
    fault: CertificateFault,
    certificate: Option<PresentedCertificate>,
}

/// A connection after its handshake, with the certificate of the peer.
pub(super) struct VerifiedStream {
    pub(super) stream: TlsStream<TcpStream>,
    pub(super) certificate: Option<PresentedCertificate>,
    pub(super) material: TlsMaterial,
}

impl PeerTls {
    /// Returns TLS by the roots of the system, without a certificate of ours.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, roots: OnceLock::new(), own: None, configurations: Mutex::default() }
    }

    /// Believes these roots, and shows our certificate to peers that authenticate us by it.
    pub(crate) fn with(self, roots: Option<LiveRoots>, own: Option<LiveKeyPair>) -> Self {
        Self { roots: roots.map(OnceLock::from).unwrap_or_default(), own, ..self }
    }

    /// Makes the handshake. The certificate has to cover `host`, the host part of the server name.
    pub(super) async fn handshake(
        &self,
        stream: TcpStream,
        host: &str,
        profile: TlsProfile,
    ) -> Result<VerifiedStream, HandshakeError> {
        let failed = |words: String| {
            HandshakeError::Refused(UnreachedReason { code: Some(ConnectCode::TlsFailed), words }.into())
        };
        let configuration = self.configuration(&profile).map_err(|error| failed(error.to_string()))?;
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(bare.to_owned())
            .map_err(|_| failed(format!("{host} is no name that a certificate can contain")))?;
        let connector = TlsConnector::from(Arc::clone(&configuration.client));
        let stream =
            connector.connect(name, stream).await.map_err(|error| HandshakeError::Refused(unreached(&error)))?;
        let (_, session) = stream.get_ref();
        let chain = session.peer_certificates().unwrap_or_default();
        let presented = PresentedCertificate::parse(chain.iter().map(|part| part.clone().into_owned()).collect());
        if session.handshake_kind() == Some(HandshakeKind::Resumed) {
            // The certificate is that of an earlier handshake, and it may have ended since.
            let judged = presented.clone().and_then(|certificate| configuration.verifier.judge(&certificate, bare));
            judged.map_err(|fault| {
                // Its other sessions carry the same certificate.
                self.configurations.lock().remove(&profile);
                HandshakeError::StaleSession(of_fault(&fault).into())
            })?;
        }
        Ok(VerifiedStream { stream, certificate: presented.ok(), material: configuration.material.clone() })
    }

    /// Returns whether a connection would be made with the same certificate of ours and the same roots now.
    pub(super) fn is_current(&self, material: &TlsMaterial) -> bool {
        self.material(material.own.is_some()).is_same(material)
    }

    fn material(&self, presents_certificate: bool) -> TlsMaterial {
        let own = self.own.as_ref().filter(|_| presents_certificate).map(LiveKeyPair::current);
        TlsMaterial { own, roots: self.roots().current() }
    }

    fn roots(&self) -> &LiveRoots {
        self.roots.get_or_init(|| LiveRoots::new(TrustRoots::of_system()))
    }

    /// Returns the configuration of a profile. Its sessions carry our certificate and that of the peer, and a peer judges a resumed
    /// session by the certificate that it carries: after a change of ours, or of the roots, they are dropped.
    fn configuration(&self, profile: &TlsProfile) -> Result<Arc<PeerTlsConfiguration>, rustls::Error> {
        let material = self.material(profile.presents_certificate);
        let mut configurations = self.configurations.lock();
        if let Some(configuration) = configurations.get(profile)
            && configuration.material.is_same(&material)
        {
            return Ok(Arc::clone(configuration));
        }
        let roots = self.roots().clone();
        let verifier = Arc::new(PeerCertificateVerifier {
            clock: Arc::clone(&self.clock),
            roots,
            pins: Arc::clone(&profile.pins),
            algorithms: provider().signature_verification_algorithms,
        });
        let builder =
            ClientConfig::builder_with_provider(Arc::clone(provider())).with_safe_default_protocol_versions()?;
        let builder = builder.dangerous().with_custom_certificate_verifier(Arc::clone(&verifier) as _);
        let mut client = match self.own.clone().filter(|_| profile.presents_certificate) {
            Some(own) => builder.with_client_cert_resolver(Arc::new(own)),
            None => builder.with_no_client_auth(),
        };
        client.alpn_protocols = match profile.protocols {
            OfferedProtocols::Both => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            OfferedProtocols::Http1 => vec![b"http/1.1".to_vec()],
        };
        client.resumption = Resumption::in_memory_sessions(SESSIONS_MAX);
        let configuration = Arc::new(PeerTlsConfiguration { client: Arc::new(client), verifier, material });
        if configurations.len() >= CONFIGURATIONS_MAX {
            configurations.clear();
        }
        configurations.insert(profile.clone(), Arc::clone(&configuration));
        Ok(configuration)
    }
}

/// Verifies the certificate of a peer within the handshake, so that ours is shown to nobody else.
struct PeerCertificateVerifier {
    clock: Arc<dyn Clock>,
    roots: LiveRoots,
    pins: Arc<[SpkiPin]>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl fmt::Debug for PeerCertificateVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerCertificateVerifier").field("pins", &self.pins).finish_non_exhaustive()
    }
}

impl PeerCertificateVerifier {
    fn judge(&self, certificate: &PresentedCertificate, host: &str) -> Result<(), CertificateFault> {
        let roots = self.roots.current();
        let trust = match self.pins.is_empty() {
            true => CertificateTrust::Roots(&roots),
            false => CertificateTrust::Pins(&self.pins),
        };
        judge(certificate, CertificateRole::Server, trust, self.clock.now())?;
        judge_name(certificate, host)
    }
}

impl ServerCertVerifier for PeerCertificateVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let chain = [leaf].into_iter().chain(between).map(|part| part.clone().into_owned()).collect();
        let judged = match PresentedCertificate::parse(chain) {
            Err(fault) => Err(RefusedCertificate { fault, certificate: None }),
            Ok(certificate) => self
                .judge(&certificate, &server_name.to_str())
                .map_err(|fault| RefusedCertificate { fault, certificate: Some(certificate) }),
        };
        let refused = |why| rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(why))));
        judged.map(|()| ServerCertVerified::assertion()).map_err(refused)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn of_fault(fault: &CertificateFault) -> UnreachedReason {
    UnreachedReason { code: ConnectCode::from_word(fault.code()), words: fault.to_string() }
}

/// Returns the reason of a handshake that failed: the fault of the certificate, if the verifier found one.
fn unreached(error: &io::Error) -> RefusedHandshake {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    if let Some(rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(refused)))) = inner
        && let Some(RefusedCertificate { fault, certificate }) = refused.downcast_ref()
    {
        return RefusedHandshake { reason: of_fault(fault), certificate: certificate.clone() };
    }
    let words = format!("the TLS handshake failed: {error}");
    UnreachedReason { code: Some(ConnectCode::TlsFailed), words }.into()
}
