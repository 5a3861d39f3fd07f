//! The rules for certificates by ACME.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

/// The rules for certificates by ACME.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcmeOptions {
    /// Directory of the authority.
    pub directory: Url,
    /// Files of the roots that the authority's own certificate chains to; none: those of the system.
    pub roots: Vec<PathBuf>,
    /// Addresses that the authority may write to.
    pub contact: Vec<String>,
    /// Names of the certificate; none: that of the server.
    pub names: Vec<String>,
    /// Answer to the authority's challenge.
    pub answer: ChallengeAnswer,
    /// Remaining validity from which the certificate is renewed.
    pub renew_before: Duration,
    /// Pause after the first failed order.
    pub retry_min: Duration,
    /// Maximum pause after a failed order.
    pub retry_max: Duration,
    /// Maximum time of one order.
    pub timeout: Duration,
}

/// The proof that a name is ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChallengeAnswer {
    /// The authority fetches a text from a listener of ours, by plain HTTP.
    Http {
        /// Address of the listener.
        listen: SocketAddr,
    },
    /// The authority looks up a TXT record.
    Dns(DnsHook),
}

/// A program of the operator that publishes TXT records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsHook {
    /// Path of the program.
    pub program: PathBuf,
    /// Maximum time of one run.
    pub timeout: Duration,
}
