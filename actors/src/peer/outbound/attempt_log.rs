//! Attempts and deliveries for the trace of a message: all become durable, and few stay in memory.
//!
//! A failed attempt is a row of its own; the newest `attempts_keep` of a peer are kept. A delivery is in the peer's record
//! until [`DELIVERED_SPANS_IN_ROW`] of them share a row; these are kept as long as submissions.

use crate::change::Change;
use crate::model::{
    Ack, Attempt, AttemptError, BatchId, DELIVERED_SPANS_IN_ROW, DeliveredSpan, FailureCode, Index, Millis,
    OutboundRecord, PushFailure, PushResponse, ServerName,
};
use crate::peer::outbound::outbox_window::IndexSpan;

/// The log of delivery attempts at one peer.
#[derive(Debug, Clone)]
pub struct AttemptLog {
    /// Maximum number of failed attempts kept in the store.
    keep: u32,
    last_success: Option<Millis>,
    last_error: Option<AttemptError>,
    /// Reason that the peer stated for its last wait.
    asked: Option<Box<str>>,
    /// Deliveries that are not in a row of their own yet.
    delivered: Vec<DeliveredSpan>,
    /// Newest item recorded as delivered. Items that are resent to a restored peer add no row, because such a peer could
    /// otherwise make the store grow without bound.
    delivered_to: Index,
    /// True if a delivery was acknowledged by a response that is not JSON, and the messenger was notified.
    blind: bool,
}

impl AttemptLog {
    /// Returns the log that was loaded from the store.
    pub fn new(keep: u32, record: &OutboundRecord, last_error: Option<AttemptError>) -> Self {
        Self {
            keep,
            last_success: record.last_success,
            last_error: last_error.filter(|_| record.failures > 0),
            asked: None,
            delivered: record.delivered.clone(),
            delivered_to: record.acked,
            blind: record.delivered.iter().any(|span| span.blind),
        }
    }

    /// Changes the number of failed attempts that are kept, from the next one on.
    pub const fn change_keep(&mut self, keep: u32) {
        self.keep = keep;
    }

    /// Writes the durable part into the record.
    pub fn keep(&self, record: &mut OutboundRecord) {
        record.last_success = self.last_success;
        record.delivered.clone_from(&self.delivered);
    }

    /// Handles the end of an attempt that carried items. Its changes are deferred to the next commit.
    pub fn ended(
        &mut self,
        server: &ServerName,
        time: Millis,
        (label, span): (BatchId, IndexSpan),
        outcome: &Result<PushResponse, PushFailure>,
    ) -> Option<Change> {
        let (first, last) = (span.first, span.last);
        let result = match (outcome, label) {
            (Ok(PushResponse { ack: Ack::Ok(seq), .. }), BatchId::SeqRange { last: newest, .. }) if *seq == newest => {
                return self.took(server, DeliveredSpan { time, first, last, blind: false });
            }
            (
                Ok(PushResponse { ack: ack @ (Ack::Taken | Ack::AcceptedUnparsedBody), .. }),
                BatchId::Transaction { .. },
            ) => {
                return self
                    .took(server, DeliveredSpan { time, first, last, blind: *ack == Ack::AcceptedUnparsedBody });
            }
            (Ok(PushResponse { ack: Ack::Hole { expected, .. }, .. }), BatchId::SeqRange { .. }) => {
                format!("the peer requested number {expected}")
            }
            (Ok(PushResponse { ack: Ack::Wait(time), reason, .. }), _) => {
                let why = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
                format!("it asked us to wait {} s{why}", time.as_secs())
            }
            (Ok(PushResponse { ack, .. }), label) => format!("{ack} is no answer to {label}"),
            (Err(failure), _) => {
                self.failed(failure);
                failure.to_string()
            }
        };
        let code = outcome.as_ref().err().and_then(PushFailure::code);
        let attempt = Attempt { time, first, last, result, code };
        (self.keep > 0).then(|| Change::AttemptFailed { server: server.clone(), attempt, keep: self.keep })
    }

    /// Records that the peer, when probed, has the items up to `last`.
    pub fn confirmed(&mut self, server: &ServerName, time: Millis, first: Index, last: Index) -> Option<Change> {
        if first > last {
            return None;
        }
        self.took(server, DeliveredSpan { time, first, last, blind: false })
    }

    fn took(&mut self, server: &ServerName, span: DeliveredSpan) -> Option<Change> {
        self.blind |= span.blind;
        if span.last <= self.delivered_to {
            return None;
        }
        self.delivered_to = span.last;
        self.delivered.push(span);
        if self.delivered.len() < DELIVERED_SPANS_IN_ROW {
            return None;
        }
        Some(Change::Delivered { server: server.clone(), spans: std::mem::take(&mut self.delivered) })
    }

    /// Records that the peer accepted a batch, even one with ephemeral items only.
    pub fn succeeded(&mut self, time: Millis) {
        self.last_error = None;
        self.last_success = Some(time);
    }

    /// Sets the error of the newest attempt.
    pub fn failed(&mut self, error: impl Into<AttemptError>) {
        self.last_error = Some(error.into());
    }

    /// Records that the peer requests a wait, and its reason if it states one.
    pub fn asked(&mut self, why: Option<&str>) {
        self.asked = why.filter(|why| !why.is_empty()).map(Box::from);
    }

    /// Returns the reason that the peer stated for its last wait.
    pub fn why_it_asked(&self) -> Option<&str> {
        self.asked.as_deref()
    }

    /// Returns whether a delivery was acknowledged by a response that is not JSON.
    pub const fn has_unparsed_ack(&self) -> bool {
        self.blind
    }

    /// Returns the error of the last failed attempt, until one succeeds.
    pub fn last_error(&self) -> Option<&str> {
        self.last_error.as_ref().map(|error| &*error.words)
    }

    /// Returns the code of that error, if it has one.
    pub fn last_code(&self) -> Option<FailureCode> {
        self.last_error.as_ref().and_then(|error| error.code)
    }

    /// Returns the time at which the peer last accepted a batch.
    pub const fn last_success(&self) -> Option<Millis> {
        self.last_success
    }
}

#[cfg(test)]
mod tests;
