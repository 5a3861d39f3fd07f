//! A certificate of ours in use, and when it ends.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use actors::model::Millis;
use actors::ports::Clock;
use tokio::time::sleep;

use crate::tls::file_watch::{FilesChange, WatchedFiles};
use crate::tls::key_pair::{KeyPairError, KeyPairFiles};
use crate::tls::live_pair::LiveKeyPair;

/// Remaining validity below which a certificate is warned of.
pub const ENDS_SOON: Duration = Duration::from_secs(14 * 86_400);

/// Interval of warnings of a certificate that ends soon.
const WARN_EVERY: Duration = Duration::from_secs(86_400);

/// A certificate of ours: its files and the pair in use.
#[derive(Debug, Clone)]
pub struct OwnCertificate {
    /// Configuration key of the pair, such as `federation.tls`.
    pub subject: &'static str,
    /// Files of the pair.
    pub files: KeyPairFiles,
    /// Pair in use.
    pub live: LiveKeyPair,
}

/// The end of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateEnd {
    /// Configuration key of the certificate.
    pub subject: &'static str,
    /// End of its validity.
    pub ends: Millis,
    /// Whole days until then; negative: it has ended.
    pub days: i64,
}

impl OwnCertificate {
    /// Reads the pair for the first time.
    pub fn load(subject: &'static str, files: KeyPairFiles) -> Result<Self, KeyPairError> {
        let live = LiveKeyPair::new(files.load()?);
        Ok(Self { subject, files, live })
    }

    /// Returns the files, to be watched.
    pub fn watched(&self) -> WatchedFiles {
        let (files, live) = (self.files.clone(), self.live.clone());
        let paths: Vec<PathBuf> = vec![files.cert.clone(), files.key.clone()];
        let read = move || {
            let pair = files.load().map_err(|error| error.to_string())?;
            if live.current().certificate.chain() == pair.certificate.chain() {
                return Ok(None);
            }
            let ends =
                humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_millis(pair.certificate.not_after().0));
            let words = format!("certificate of {}, valid until {ends}", pair.certificate.names_text());
            let live = live.clone();
            Ok(Some(FilesChange { words, apply: Box::new(move || live.replace(pair)) }))
        };
        WatchedFiles { subject: self.subject, paths: Arc::new(move || paths.clone()), read: Arc::new(read) }
    }

    /// Returns the end of the certificate in use.
    pub fn end(&self, now: Millis) -> CertificateEnd {
        let ends = self.live.current().certificate.not_after();
        let left = i64::try_from(ends.0).unwrap_or(i64::MAX) - i64::try_from(now.0).unwrap_or(i64::MAX);
        CertificateEnd { subject: self.subject, ends, days: left.div_euclid(86_400_000) }
    }

    /// Returns the end of the certificate in use if it is near.
    pub fn end_soon(&self, now: Millis) -> Option<CertificateEnd> {
        let end = self.end(now);
        (end.ends.0 < now.after(ENDS_SOON).0).then_some(end)
    }
}

/// Warns once a day of certificates that end soon, until the task is aborted.
pub async fn warn_of_ends(certificates: Vec<OwnCertificate>, clock: Arc<dyn Clock>) {
    loop {
        for own in &certificates {
            let Some(CertificateEnd { subject, days, .. }) = own.end_soon(clock.now()) else { continue };
            let names = own.live.current().certificate.names_text();
            match days {
                0.. => tracing::warn!(subject, names, days, "the certificate ends soon; replace its files"),
                _ => tracing::error!(
                    subject,
                    names,
                    days,
                    "the certificate has ended; peers refuse it; replace its files"
                ),
            }
        }
        sleep(WARN_EVERY).await;
    }
}
