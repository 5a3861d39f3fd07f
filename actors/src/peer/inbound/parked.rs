//! Items of a peer's batches that go to quarantine: their identity there, and the numbers of their updates, so that a
//! repeated push gets the same answer.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::change::Change;
use crate::limits::PeerLimits;
use crate::model::{BadPdu, ParkedCode, ParkedItem, ParkedWhat, Pdu, PduRef, PduVerdict, Seq, ServerName, StrongBody};
use crate::peer::effect::EffectCollector;
use crate::peer::inbound::batch_queue::BatchInProgress;
use crate::peer::inbound::received_sequence::DIGESTS_MAX;

/// Maximum number of numbers remembered in memory: as many as digests, which detect repeats.
const PARKED_MAX: usize = DIGESTS_MAX;

/// Maximum number of numbers in the record, which is written whole with each push.
const IN_RECORD_MAX: usize = 64;

/// The newest numbers, oldest first.
#[derive(Debug, Clone, Default)]
pub(super) struct ParkedNumbers(VecDeque<(Seq, &'static str)>);

impl ParkedNumbers {
    /// Returns the numbers that were loaded from the store.
    pub(super) fn new(kept: &[(Seq, &'static str)]) -> Self {
        Self(kept.iter().copied().collect())
    }

    /// Records that an update was quarantined under this code.
    pub(super) fn note(&mut self, number: Seq, code: &'static str) {
        if self.0.len() >= PARKED_MAX {
            self.0.pop_front();
        }
        self.0.push_back((number, code));
    }

    /// Forgets the numbers from this one on, because the peer assigns them to other updates.
    pub(super) fn renumbered(&mut self, first: Seq) {
        self.0.retain(|(number, _)| *number < first);
    }

    /// Returns the parked numbers of a push.
    pub(super) fn within(&self, first: Seq, last: Seq) -> Vec<(Seq, &'static str)> {
        self.0.iter().filter(|(number, _)| first <= *number && *number <= last).copied().collect()
    }

    /// Returns the numbers that survive a restart.
    pub(super) fn kept(&self) -> Vec<(Seq, &'static str)> {
        self.0.iter().skip(self.0.len().saturating_sub(IN_RECORD_MAX)).copied().collect()
    }
}

/// The quarantine of one peer's items.
#[derive(Debug, Clone)]
pub(super) struct PeerQuarantine {
    from: ServerName,
    /// Maximum number of items.
    keep: u64,
}

impl PeerQuarantine {
    pub(super) fn new(from: ServerName, limits: &PeerLimits) -> Self {
        Self { from, keep: limits.quarantine_items }
    }

    /// Returns the peer.
    pub(super) const fn peer(&self) -> &ServerName {
        &self.from
    }

    /// Changes the maximum number of quarantined items.
    pub(super) const fn change_keep(&mut self, keep: u64) {
        self.keep = keep;
    }

    /// Quarantines an item.
    pub(super) fn park(
        &self,
        what: ParkedWhat,
        code: ParkedCode,
        reason: String,
        bytes: &Bytes,
        out: &mut EffectCollector,
    ) {
        let parked = ParkedItem { from: self.from.clone(), what, code, reason, verified: None, bytes: bytes.clone() };
        out.change(Change::Quarantined { parked, keep: self.keep });
    }

    /// Quarantines the PDUs of a batch that are poison or belong to a faulty context.
    pub(super) fn park_undeliverable(
        &self,
        pdus: &[Result<Pdu, BadPdu>],
        busy: &BatchInProgress,
        out: &mut EffectCollector,
    ) {
        for (place, pdu) in pdus.iter().enumerate() {
            if let (Ok(pdu), (_, Some(code))) = (pdu, busy.verdict(place)) {
                self.park(what(pdu), code, words(code), &pdu.bytes, out);
            }
        }
    }
}

/// Returns the code under which an update of a push is quarantined, if it is: the context's actor has quarantined it, or
/// the peer's actor does, because an update cannot be refused in another way.
pub(super) fn parked_as(
    body: &StrongBody,
    (verdict, parked): (Option<&PduVerdict>, Option<ParkedCode>),
) -> Option<&'static str> {
    match (body, verdict, parked) {
        // A forward has verdicts of its own.
        (StrongBody::Plain | StrongBody::Forward(_), ..) => None,
        (StrongBody::Group(_), _, Some(code)) => Some(code.as_str()),
        (StrongBody::Group(_), Some(PduVerdict::Parked { code }), None) => Some(code),
        (StrongBody::Group(_), ..) => None,
        (StrongBody::Unsound(code, _), ..) => Some(code.as_str()),
        (StrongBody::BadPdu(_), ..) => Some(ParkedCode::BadPdu.as_str()),
        (StrongBody::Pdu(_), _, Some(code)) => Some(code.as_str()),
        (StrongBody::Pdu(_), Some(PduVerdict::Parked { code }), None) => Some(code),
        // The PDU is not stored.
        (
            StrongBody::Pdu(_),
            Some(PduVerdict::Refused { code: PduVerdict::SENDER_NOT_A_PARTICIPANT | PduVerdict::NOT_FOR_US, .. }),
            None,
        ) => None,
        (StrongBody::Pdu(_), Some(PduVerdict::Refused { code, .. }), None) => {
            Some(ParkedCode::of_refusal(code).as_str())
        }
        (StrongBody::Pdu(_), ..) => None,
    }
}

/// Returns the identity of a PDU for its quarantine row.
pub(super) fn what(pdu: &Pdu) -> ParkedWhat {
    let PduRef { origin, id } = &pdu.reference;
    ParkedWhat::Pdu { origin: Some(origin.to_string()), id: Some(id.to_string()), context: Some(pdu.context.clone()) }
}

/// Returns the reason why an item is in quarantine, for people.
pub(super) fn words(code: ParkedCode) -> String {
    match code {
        ParkedCode::Poison => "the actor of its context crashed on it twice".to_owned(),
        ParkedCode::ContextFaulty => "the actor of its context is suspended as faulty; see the log".to_owned(),
        ParkedCode::NotAnObject
        | ParkedCode::TooDeep
        | ParkedCode::BadPdu
        | ParkedCode::NotAParticipant
        | ParkedCode::RelayedNotAccepted
        | ParkedCode::PduNotSigned
        | ParkedCode::UnknownKey
        | ParkedCode::BadPduSignature
        | ParkedCode::BadForward
        | ParkedCode::BadSignature
        | ParkedCode::KeysUnknown => code.as_str().to_lowercase(),
    }
}
