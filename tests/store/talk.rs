//! Short ways to say what conversations hand over.

use actors::change::Change;
use actors::model::{
    ContextId, ContextRecord, Delivery, Digest, FeedFlags, Gap, Millis, Pdu, PduRef, PduState, PduVerdict,
    PendingParents, PrevStateLink, SeenTransaction, ServerName, StateEntry, StateKey, StoredPdu, Submission,
    SubmittedContent,
};
use bytes::Bytes;

use crate::world::{id, red, server};

pub(crate) fn room(text: &str) -> ContextId {
    text.parse().unwrap()
}

/// A PDU of ours.
pub(crate) fn ours(id: &str) -> PduRef {
    PduRef { origin: server("blue.example"), id: id.parse().unwrap() }
}

/// A PDU of red's.
pub(crate) fn theirs(id: &str) -> PduRef {
    PduRef { origin: red(), id: id.parse().unwrap() }
}

/// What a PDU is made of here.
pub(crate) fn text(reference: &PduRef) -> Bytes {
    Bytes::from(format!("{{\"pdu\":\"{reference}\"}}"))
}

pub(crate) fn stored(context: &ContextId, reference: &PduRef, prev: &[PduRef], standing: PduState) -> Change {
    let pdu = Pdu {
        reference: reference.clone(),
        context: context.clone(),
        prev: prev.to_vec(),
        depth: None,
        kind: "message".into(),
        state: None,
        to: None,
        bytes: text(reference),
    };
    let sender = (reference.origin == red()).then(red);
    let received = Millis(77);
    Change::PduStored(Box::new(StoredPdu { pdu, sender, verified: "network", received, standing }))
}

pub(crate) fn at(position: impl TryInto<i64>, shown: Option<FeedFlags>) -> Delivery {
    let position = position.try_into().ok().unwrap();
    Delivery { position, depth: 100u64.saturating_add_signed(position), shown }
}

/// Of red's, delivered as soon as it came.
pub(crate) fn heard(context: &ContextId, reference: &PduRef, prev: &[PduRef], position: impl TryInto<i64>) -> Change {
    stored(context, reference, prev, PduState::Delivered(at(position, Some(FeedFlags::default()))))
}

/// Of red's, and its parents are missing.
pub(crate) fn waits(context: &ContextId, reference: &PduRef, missing: &[PduRef]) -> Change {
    let hold = PendingParents { missing: missing.to_vec(), edge: false, depth: 0, for_state: false };
    stored(context, reference, missing, PduState::Held(hold))
}

/// It need not wait any longer.
pub(crate) fn came(context: &ContextId, reference: &PduRef, delivery: Delivery) -> Change {
    Change::PduDelivered { reference: reference.clone(), context: context.clone(), delivery }
}

/// Our messenger says something to these servers; the submission is named as the PDU is.
pub(crate) fn said(
    context: &ContextId,
    reference: &PduRef,
    servers: &[ServerName],
    position: impl TryInto<i64>,
) -> Vec<Change> {
    let submission = Submission {
        id: id(reference.id.as_str()),
        digest: Digest([8; 16]),
        accepted: Millis(0),
        servers: servers.to_vec(),
        left_out: vec![],
        what: SubmittedContent::Pdu(reference.clone(), context.clone(), text(reference)),
    };
    let standing = PduState::Delivered(at(position, None));
    vec![stored(context, reference, &[], standing), Change::Submitted(submission)]
}

pub(crate) fn gap_opened(context: &ContextId, missing: &PduRef, children: &[PduRef]) -> Change {
    let gap = Gap { missing: missing.clone(), children: children.to_vec(), edge: false };
    Change::GapOpened { context: context.clone(), gap }
}

pub(crate) fn gap_closed(context: &ContextId, missing: &PduRef) -> Change {
    Change::GapClosed { context: context.clone(), missing: missing.clone() }
}

pub(crate) fn state_moved(context: &ContextId, key: &str, current: &PduRef) -> Change {
    let key = topic(key);
    Change::CurrentStateChanged { context: context.clone(), key, current: Some(piece(current, None, 0)) }
}

/// A key of state.
pub(crate) fn topic(key: &str) -> StateKey {
    ("topic".into(), key.to_owned())
}

/// What counts of a state PDU.
pub(crate) fn piece(reference: &PduRef, prev: Option<&PduRef>, power: i64) -> StateEntry {
    StateEntry { reference: reference.clone(), power, prev: prev.cloned(), bond: PrevStateLink::Sound, member: None }
}

pub(crate) fn state_kept(context: &ContextId, key: &str, piece: &StateEntry) -> Change {
    Change::StateEventStored { context: context.clone(), key: topic(key), piece: piece.clone() }
}

pub(crate) fn record(context: &ContextId, next: u64) -> ContextRecord {
    ContextRecord { next, ..ContextRecord::new(context.clone(), vec![red()], false) }
}

pub(crate) fn context_moved(context: &ContextId, next: u64) -> Change {
    Change::ContextRecordUpdated(Box::new(record(context, next)))
}

pub(crate) fn transaction(n: u64) -> SeenTransaction {
    let verdicts = vec![PduVerdict::Accepted, PduVerdict::Refused { code: "BAD_PDU", reason: format!("in {n}") }];
    SeenTransaction { id: n.to_string(), digest: Digest([u8::try_from(n).unwrap(); 16]), verdicts }
}

pub(crate) fn seen(n: u64, keep: u32) -> Change {
    Change::TransactionSeen { from: red(), seen: transaction(n), keep }
}
