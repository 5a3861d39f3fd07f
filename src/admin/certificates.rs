//! The ends of our certificates, for health and metrics.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use actors::model::Millis;
use actors::ports::Clock;

use crate::api::health::HealthWarning;
use crate::tls::own_certificate::{CertificateEnd, OwnCertificate};

/// The certificates of the listeners, read when they are asked for. The default has none.
#[derive(Clone, Default)]
pub struct CertificateEnds(Option<Arc<WatchedCertificates>>);

struct WatchedCertificates {
    pairs: Vec<OwnCertificate>,
    clock: Arc<dyn Clock>,
}

impl CertificateEnds {
    /// Returns the ends of these certificates.
    pub fn new(pairs: Vec<OwnCertificate>, clock: Arc<dyn Clock>) -> Self {
        Self(Some(Arc::new(WatchedCertificates { pairs, clock })))
    }

    /// Returns the end of each certificate.
    pub fn ends(&self) -> Vec<CertificateEnd> {
        let each =
            |known: &Arc<WatchedCertificates>| known.pairs.iter().map(|pair| pair.end(known.clock.now())).collect();
        self.0.as_ref().map(each).unwrap_or_default()
    }

    /// Returns a warning for each certificate that ends soon.
    pub fn warnings(&self) -> Vec<HealthWarning> {
        let Some(known) = &self.0 else { return Vec::new() };
        let soon = known.pairs.iter().filter_map(|pair| pair.end_soon(known.clock.now()));
        soon.map(|end| HealthWarning {
            what: "certificate".into(),
            subject: end.subject.into(),
            ends: Some(rfc3339(end.ends)),
            days: Some(end.days),
            why: None,
        })
        .collect()
    }
}

fn rfc3339(at: Millis) -> String {
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_millis(at.0)).to_string()
}
