//! The steps of a connection, recorded for an operator who wants to know why it fails.

use std::time::Duration;

use actors::model::{ConnectCode, UnreachedReason};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::tls::certificate::PresentedCertificate;

/// The steps of a connection, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConnectStep {
    /// Way in which the peer is looked for.
    Name,
    /// Statement of DNS.
    Record,
    /// Rule of permitted addresses.
    Address,
    /// The TCP connection.
    Connection,
    /// The TLS handshake.
    Sni,
    /// The certificate of the peer.
    Certificate,
}

impl ConnectStep {
    /// Returns the word of the step.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Record => "record",
            Self::Address => "address",
            Self::Connection => "connection",
            Self::Sni => "sni",
            Self::Certificate => "certificate",
        }
    }
}

/// A step that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StepRecord {
    /// The step.
    pub(crate) step: ConnectStep,
    /// Time that it took.
    pub(crate) took: Duration,
    /// Finding, or reason of the failure.
    pub(crate) detail: String,
    /// Code of a failure.
    pub(crate) failure: Option<ConnectCode>,
}

/// A record of steps. Where nobody reads it, nothing is recorded, and no text is written.
#[derive(Debug, Default)]
pub(crate) struct StepTrace(Option<Mutex<RecordedConnection>>);

#[derive(Debug, Default)]
struct RecordedConnection {
    steps: Vec<StepRecord>,
    /// The last certificate that was presented, accepted or not.
    certificate: Option<PresentedCertificate>,
}

impl StepTrace {
    /// A trace that records nothing.
    pub(crate) const OFF: &'static Self = &Self(None);

    /// Returns a trace that records.
    pub(crate) fn recording() -> Self {
        Self(Some(Mutex::default()))
    }

    /// Records a step that began at this time and succeeded.
    pub(crate) fn done(&self, step: ConnectStep, began: Instant, detail: impl FnOnce() -> String) {
        if let Some(steps) = &self.0 {
            let record = StepRecord { step, took: began.elapsed(), detail: detail(), failure: None };
            steps.lock().steps.push(record);
        }
    }

    /// Records the certificate of the other side, accepted or not.
    pub(crate) fn presented(&self, certificate: Option<&PresentedCertificate>) {
        if let (Some(steps), Some(certificate)) = (&self.0, certificate) {
            steps.lock().certificate = Some(certificate.clone());
        }
    }

    /// Records a step that failed, and returns the failure.
    pub(crate) fn failed(&self, step: ConnectStep, began: Instant, reason: UnreachedReason) -> UnreachedReason {
        if let Some(steps) = &self.0 {
            let detail = reason.words.clone();
            steps.lock().steps.push(StepRecord { step, took: began.elapsed(), detail, failure: reason.code });
        }
        reason
    }

    /// Returns the steps so far, and forgets them.
    pub(crate) fn take(&self) -> Vec<StepRecord> {
        self.0.as_ref().map(|steps| std::mem::take(&mut steps.lock().steps)).unwrap_or_default()
    }

    /// Returns the certificate that was presented last.
    pub(crate) fn certificate(&self) -> Option<PresentedCertificate> {
        self.0.as_ref().and_then(|steps| steps.lock().certificate.clone())
    }
}
