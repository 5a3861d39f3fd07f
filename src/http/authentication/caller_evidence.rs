//! The evidence of a caller beside its signature: the address and the client certificate.

use std::net::IpAddr;
use std::sync::Arc;

use actix_web::http::header::HeaderMap;
use actors::model::DialectSpec;

use crate::http::authentication::forwarded;
use crate::http::authentication::peer_auth_policy::PeerAuthPolicy;
use crate::http::listener::client_stream::ConnectionFacts;
use crate::http::listener::connection_table::OpenConnection;
use crate::tls::certificate::PresentedCertificate;
use crate::tls::certificate_fault::CertificateFault;

/// The evidence of a request, from its connection or from the trusted reverse proxy that forwards it.
#[derive(Debug, Clone, Default)]
pub struct CallerEvidence {
    /// Address of the caller; `None`: it is not known. A proxy's own address proves nobody.
    pub address: Option<IpAddr>,
    /// Client certificate, or why it cannot be read; `None`: none was presented.
    pub certificate: Option<Result<Arc<PresentedCertificate>, CertificateFault>>,
    /// True if the connection to this listener is by TLS.
    pub is_tls: bool,
    /// True if a trusted proxy forwards the request.
    pub by_proxy: bool,
    /// Dialect of the request, by its path.
    pub dialect: Option<DialectSpec>,
    /// Entry of the connection in the table of connections, if the listener has one.
    pub connection: Option<Arc<OpenConnection>>,
}

impl CallerEvidence {
    /// Returns the evidence of an address alone.
    pub fn of_address(address: Option<IpAddr>) -> Self {
        Self { address: address.map(|address| address.to_canonical()), ..Self::default() }
    }

    /// Adds the dialect of the request.
    pub(super) fn in_dialect(self, dialect: DialectSpec) -> Self {
        Self { dialect: Some(dialect), ..self }
    }

    /// Returns the evidence of a request on a connection. `address` is that of the connection, if its facts are not known.
    pub(super) fn of(
        policy: &dyn PeerAuthPolicy,
        connection: Option<&ConnectionFacts>,
        address: Option<IpAddr>,
        headers: &HeaderMap,
    ) -> Self {
        let direct = Self {
            address: address.map(|address| address.to_canonical()),
            certificate: connection.and_then(|facts| facts.certificate.clone()),
            is_tls: connection.is_some_and(|facts| facts.is_tls),
            by_proxy: false,
            dialect: None,
            connection: connection.and_then(|facts| facts.entry.clone()),
        };
        if !direct.address.is_some_and(|address| policy.is_trusted_proxy(address)) {
            return direct;
        }
        let header = policy.client_cert_header();
        Self {
            address: forwarded::caller_address(headers, |ip| policy.is_trusted_proxy(ip)),
            certificate: header.and_then(|name| forwarded::client_certificate(headers, &name)),
            by_proxy: true,
            ..direct
        }
    }
}
