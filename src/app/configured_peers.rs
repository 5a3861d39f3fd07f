//! Admission by configuration: the callers that are accepted, and the addresses that outbound requests may use.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;

use actors::model::{DialectSpec, Millis, ServerName};
use actors::ports::{Clock, PeerConfig};
use actors::supervise::log_throttle::LogThrottle;

use crate::app::strangers::StrangersBook;
use crate::egress::signer::SignedPeers;
use crate::egress::{AddressBook, PeerRoute};
use crate::http::authentication::{PeerAuthPolicy, ProofKind};
use crate::http::error::ApiError;
use crate::identity::public_key::PeerKeys;
use crate::settings::{LiveSettings, PeerTable};
use crate::telemetry::peer_clocks::PeerClocks;
use crate::tls::certificate::{CertificateName, PresentedCertificate};
use crate::tls::live_roots::LiveRoots;
use crate::tls::spki_pin::SpkiPin;
use crate::tls::trust_roots::TrustRoots;
use crate::wire::DIALECTS;

/// Returns the clocks of as many peers as this configuration knows, or as can be in memory.
pub(super) fn peer_clocks(peers: &PeerTable) -> PeerClocks {
    let known = peers.listed().len().max(peers.peers_resident_max() as usize);
    PeerClocks::new(NonZeroUsize::new(known).unwrap_or(NonZeroUsize::MIN))
}

/// The authentication policy of the settings.
pub(super) struct ConfiguredAdmission {
    settings: LiveSettings,
    /// Roots that client certificates chain to.
    client_roots: LiveRoots,
    /// Roots that those of strangers chain to.
    stranger_roots: LiveRoots,
    strangers: Arc<StrangersBook>,
    clock: Arc<dyn Clock>,
    unproved: LogThrottle,
}

impl ConfiguredAdmission {
    /// Returns the policy of these peers.
    pub(super) fn new(
        settings: LiveSettings,
        strangers: Arc<StrangersBook>,
        (client_roots, stranger_roots): (LiveRoots, LiveRoots),
        clock: Arc<dyn Clock>,
    ) -> Self {
        let unproved = LogThrottle::new(|listener, count, last| {
            tracing::warn!(listener, count, last, "requests rejected, because their sender is not authenticated (401)");
        });
        Self { settings, client_roots, stranger_roots, strangers, clock, unproved }
    }
}

impl PeerAuthPolicy for ConfiguredAdmission {
    fn denied(&self, server: &ServerName) -> bool {
        self.settings.peers().denied(server)
    }

    fn allows_address(&self, server: &ServerName, address: IpAddr) -> bool {
        self.settings.peers().believes(server, address)
    }

    fn peer_by_address(&self, address: IpAddr) -> Option<ServerName> {
        self.settings.peers().who_may_be(address)
    }

    fn is_peer_address(&self, address: IpAddr) -> bool {
        self.settings.peers().knows(address)
    }

    fn listed(&self, server: &ServerName) -> bool {
        let peers = self.settings.peers();
        peers.peer(server).is_some() || peers.is_open_to(server)
    }

    fn proof_kind(&self, server: &ServerName) -> Option<ProofKind> {
        let peers = self.settings.peers();
        if peers.signature_keys(server).is_some() {
            Some(ProofKind::Signature)
        } else if peers.certificate_pins(server).is_some() {
            Some(ProofKind::Certificate)
        } else if peers.is_proved_by_address(server) {
            Some(ProofKind::Network)
        } else {
            peers.is_open_to(server).then_some(ProofKind::Stranger)
        }
    }

    fn signature_keys(&self, server: &ServerName) -> Option<PeerKeys> {
        let peers = self.settings.peers();
        // A stranger has no pinned key.
        let by_directory = || peers.is_open_to(server).then(|| PeerKeys::from([]));
        peers.signature_keys(server).or_else(by_directory)
    }

    fn dialect_of(&self, path: &str) -> DialectSpec {
        DIALECTS.of_path(path)
    }

    fn certificate_pins(&self, server: &ServerName) -> Option<Arc<[SpkiPin]>> {
        self.settings.peers().certificate_pins(server)
    }

    fn is_pinned(&self, key: &SpkiPin) -> bool {
        self.settings.peers().is_pinned(key)
    }

    fn peers_named_by(&self, certificate: &PresentedCertificate) -> Vec<ServerName> {
        let peers = self.settings.peers();
        let hosts = certificate.names().iter().filter_map(CertificateName::exact);
        hosts.flat_map(|host| peers.certified_at(&host).to_vec()).collect()
    }

    fn client_roots(&self) -> TrustRoots {
        self.client_roots.current()
    }

    fn is_open(&self) -> bool {
        self.settings.peers().is_open()
    }

    fn is_stranger(&self, server: &ServerName) -> bool {
        self.settings.peers().is_open_to(server)
    }

    fn stranger_roots(&self) -> TrustRoots {
        self.stranger_roots.current()
    }

    fn admit_stranger_request(&self, address: Option<IpAddr>) -> Result<(), ApiError> {
        self.strangers.admit_request(self.settings.peers().stranger_bounds(), address)
    }

    fn admit_stranger_proof(&self) -> Result<(), ApiError> {
        self.strangers.admit_proof(self.settings.peers().stranger_bounds())
    }

    fn on_stranger(&self, server: &ServerName, dialect: DialectSpec) {
        self.strangers.note_dialect(self.settings.peers().stranger_bounds(), server, dialect);
    }

    fn is_trusted_proxy(&self, address: IpAddr) -> bool {
        self.settings.peers().is_trusted_proxy(address)
    }

    fn client_cert_header(&self) -> Option<Arc<str>> {
        self.settings.peers().client_cert_header()
    }

    fn connections_max(&self, server: &ServerName) -> usize {
        let peers = self.settings.peers();
        let limits = peers.limits(server).or_else(|| self.strangers.limits(&peers, server));
        limits.map_or(usize::MAX, |limits| limits.connections_max as usize)
    }

    fn now(&self) -> Millis {
        self.clock.now()
    }

    fn on_unauthenticated(&self, address: Option<IpAddr>, why: &ApiError) {
        let address = address.map_or_else(|| "no address".to_owned(), |address| address.to_string());
        self.unproved.note("federation", 1, &format!("{address}: {}: {why}", why.code()));
    }
}

/// The peers' addresses from the settings, and the private ranges that names may resolve to.
pub(super) struct ConfiguredAddresses {
    /// Settings in use.
    pub(super) live: LiveSettings,
    /// Dialects of the strangers.
    pub(super) strangers: Arc<StrangersBook>,
}

impl ConfiguredAddresses {
    /// Returns the addresses of these settings.
    pub(super) fn new(live: LiveSettings, strangers: Arc<StrangersBook>) -> Self {
        Self { live, strangers }
    }

    /// Returns the way to the key directory of a server, which is read over TLS alone, or why there is none. One that is not listed
    /// is found by the service of this dialect.
    pub(super) fn directory_route(&self, server: &ServerName, dialect: DialectSpec) -> Result<PeerRoute, String> {
        let route = self.route(server);
        let route = match self.live.peers().peer(server) {
            Some(_) => route,
            None => Arc::new(PeerRoute { service: DIALECTS.of(dialect).service(), ..PeerRoute::clone(&route) }),
        };
        route
            .over_tls()
            .ok_or_else(|| "all of its addresses are http://, and keys are fetched over TLS alone".to_owned())
    }
}

impl SignedPeers for ConfiguredAddresses {
    fn signs_to(&self, server: &ServerName) -> bool {
        let peers = self.live.peers();
        // A stranger may know us by our signature or by our certificate, so it gets both.
        peers.signature_keys(server).is_some() || peers.is_open_to(server)
    }
}

impl AddressBook for ConfiguredAddresses {
    fn route(&self, server: &ServerName) -> Arc<PeerRoute> {
        let peers = self.live.peers();
        let peer = peers.peer(server);
        let dialect = peer.as_ref().map_or_else(|| self.strangers.dialect(server), |peer| peer.link.dialect);
        let addresses = peer.map(|peer| peer.link.addresses.clone()).unwrap_or_default();
        let pins = peers.certificate_pins(server);
        let presents_certificate = pins.is_some() || peers.is_open_to(server);
        let service = DIALECTS.of(dialect).service();
        Arc::new(PeerRoute { addresses, service, pins: pins.unwrap_or_default(), presents_certificate })
    }

    fn allows(&self, address: IpAddr) -> bool {
        self.live.current().network.allow.iter().any(|range| range.contains(&address))
    }
}
