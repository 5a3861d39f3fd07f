//! Our certificate as handshakes read it, replaced without a restart.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::tls::key_pair::TlsKeyPair;

/// The pair that new handshakes use. Connections that exist keep theirs.
#[derive(Debug, Clone)]
pub struct LiveKeyPair(Arc<ArcSwap<TlsKeyPair>>);

impl LiveKeyPair {
    /// Returns the pair to begin with.
    pub fn new(pair: TlsKeyPair) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(pair)))
    }

    /// Replaces the pair.
    pub fn replace(&self, pair: TlsKeyPair) {
        self.0.store(Arc::new(pair));
    }

    /// Returns the pair in use.
    pub fn current(&self) -> Arc<TlsKeyPair> {
        self.0.load_full()
    }
}

impl ResolvesServerCert for LiveKeyPair {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.load().certified))
    }
}

impl ResolvesClientCert for LiveKeyPair {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.load().certified))
    }

    fn has_certs(&self) -> bool {
        true
    }
}
