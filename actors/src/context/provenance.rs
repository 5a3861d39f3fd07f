//! Provenance of inbound PDUs: the peer that sent them, and how they came to this context.

use crate::model::{Pdu, ServerName};

/// A PDU that was quarantined because a server was not a participant.
#[derive(Debug, Clone)]
pub struct QuarantinedPdu {
    /// Peer that had sent the PDU.
    pub from: ServerName,
    /// Number of its row in that peer's quarantine.
    pub number: u64,
    /// Method by which it, or its sender, was authenticated when it came.
    pub verified: &'static str,
    /// The PDU; `None`: the copy of its origin is quarantined too, and that one is validated.
    pub pdu: Option<Pdu>,
}

/// The provenance of PDUs.
#[derive(Clone, Copy)]
pub(crate) struct Provenance<'a> {
    /// Peer that sent the PDUs.
    pub(crate) from: &'a ServerName,
    /// Method by which the sender was authenticated; `None`: we fetched the PDUs.
    pub(crate) verified: Option<&'static str>,
    /// Number of fetches in a row that have led to them, if they were fetched.
    pub(crate) walked: u32,
    /// True if they are history: parents outside the batch are not waited for.
    pub(crate) past: bool,
}

impl<'a> Provenance<'a> {
    /// Returns whether a peer sent the PDUs by itself.
    pub(crate) const fn is_news(&self) -> bool {
        self.verified.is_some() && !self.past
    }

    /// The provenance of PDUs that a peer sent.
    pub(crate) const fn arrived(from: &'a ServerName, verified: &'static str) -> Self {
        Self { from, verified: Some(verified), walked: 0, past: false }
    }

    /// The provenance of PDUs that were fetched for their children; `walked`: number of fetches in a row.
    pub(crate) const fn fetched(from: &'a ServerName, walked: u32) -> Self {
        Self { from, verified: None, walked, past: false }
    }

    /// The provenance of PDUs that were fetched as history.
    pub(crate) const fn of_history(from: &'a ServerName) -> Self {
        Self { from, verified: None, walked: 0, past: true }
    }
}
