//! Short notation for PDUs and drafts in traces.

use std::sync::Arc;

use bytes::Bytes;

use crate::model::PduText;
use crate::model::{
    BridgedMessage, ContextId, Digest, GraphPosition, GroupId, Membership, MembershipSource, Millis, Pdu, PduDraft,
    PduProof, PduRef, PduVerdict, PlainForm, ServerName, StateSlot, SubmissionId,
};

pub(crate) fn server(name: &str) -> ServerName {
    name.parse().expect("valid")
}

pub(crate) fn context(name: &str) -> ContextId {
    name.parse().expect("valid")
}

/// `red/1`
pub(crate) fn at(text: &str) -> PduRef {
    let (origin, id) = text.split_once('/').expect("origin/id");
    PduRef { origin: server(origin), id: id.parse().expect("valid") }
}

/// `red/2<red/1,green/1` names two parents; `red/2=topic` sets a key, `red/2=topic*5^red/1` with power 5 in place of another;
/// `red/2=@a:blue+` lets a user of blue join, `red/2=@a:blue-` lets it leave; `red/2>red,us` is for these two only.
pub(crate) fn pdu(text: &str) -> Pdu {
    let (text, to) = text.split_once('>').map_or((text, None), |(text, to)| (text, Some(to)));
    let (text, key) = text.split_once('=').map_or((text, None), |(text, key)| (text, Some(key)));
    let (reference, prev) = text.split_once('<').unwrap_or((text, ""));
    let prev = prev.split(',').filter(|parent| !parent.is_empty()).map(at).collect();
    let state = key.map(slot);
    let (depth, kind) = (None, kind(key));
    Pdu {
        reference: at(reference),
        context: context("room"),
        prev,
        depth,
        kind,
        state,
        to: to.map(|to| to.split(',').map(server).collect()),
        bytes: Bytes::from(key.unwrap_or(text).to_owned()),
        proof: PduProof::Sender,
    }
}

fn slot(text: &str) -> StateSlot {
    let (text, prev) = text.split_once('^').map_or((text, None), |(text, prev)| (text, Some(at(prev))));
    let (text, power) = text.split_once('*').unwrap_or((text, "0"));
    let key = text.trim_end_matches(['+', '-']).to_owned();
    StateSlot { key, power_level: power.parse().expect("a number"), prev, member: None }
}

fn kind(key: Option<&str>) -> Arc<str> {
    Arc::from(if key.is_some_and(|key| key.starts_with('@')) { "m.room.member" } else { "text" })
}

pub(crate) fn pdus(text: &str) -> Vec<Pdu> {
    text.split_whitespace().map(pdu).collect()
}

/// `1`, `1=topic`, `1=topic*5`, `1=@a:blue+`, `1>red,blue`
pub(crate) fn draft(text: &str) -> PduDraft {
    let (text, to) = text.split_once('>').map_or((text, None), |(text, to)| (text, Some(to)));
    let (id, key) = text.split_once('=').map_or((text, None), |(id, key)| (id, Some(key)));
    PduDraft {
        receipt: false,
        submission: format!("m{id}").parse().expect("valid"),
        digest: Digest([0; 16]),
        accepted: Millis(7),
        id: id.parse().expect("valid"),
        kind: kind(key),
        content: Bytes::from(key.unwrap_or("{}").to_owned()),
        state: key.map(slot).map(|slot| (slot.key, slot.power_level)),
        to: to.map(|to| to.split(',').filter(|name| !name.is_empty()).map(server).collect()),
        extra: vec![],
    }
}

pub(super) fn word(verdict: &PduVerdict) -> String {
    match verdict {
        PduVerdict::Accepted => "accepted".to_owned(),
        PduVerdict::Held => "held".to_owned(),
        PduVerdict::Duplicate => "duplicate".to_owned(),
        PduVerdict::Parked { code } => format!("parked:{code}"),
        PduVerdict::Refused { code, .. } => format!("refused:{code}"),
    }
}

/// Prints the parents of a PDU; reads what [`pdu`] and [`draft`] write.
pub(super) struct PrintedStep;

impl PduText for PrintedStep {
    fn compose(&self, us: &ServerName, draft: &PduDraft, berth: &GraphPosition) -> Bytes {
        let GraphPosition { prev, depth, prev_state, to, .. } = berth;
        let only = to.as_ref().map(|to| format!(" only for {to:?}")).unwrap_or_default();
        let extra = draft.extra.iter().map(|(key, value)| format!(" {key} {}", String::from_utf8_lossy(value)));
        let extra: String = extra.collect();
        Bytes::from(format!("{us}/{} prev {prev:?} depth {depth} replaces {prev_state:?}{only}{extra}", draft.id))
    }

    /// A PDU whose text contains `=` is state, one with `~` has no form, and one with `from NAME` came from that peer.
    fn plain(&self, reference: &PduRef, pdu: &Bytes, to: &ServerName, group: GroupId) -> PlainForm {
        let text = std::str::from_utf8(pdu).expect("text");
        match text {
            _ if text.contains('=') || text.ends_with(&format!("from {to}")) => PlainForm::Withheld,
            _ if text.contains('~') => PlainForm::Missing,
            _ => PlainForm::Update(Bytes::from(format!("{reference} in {}", group.0))),
        }
    }

    fn bridged(&self, from: &ServerName, message: &BridgedMessage) -> Bytes {
        Bytes::from(format!("{} from {from}", message.seq))
    }

    fn copies_id(&self, reference: &PduRef) -> SubmissionId {
        format!("{}~{}", reference.origin, reference.id).parse().expect("valid")
    }

    fn read(&self, _: &ServerName, _: &Bytes) -> Option<Pdu> {
        None
    }

    fn membership(&self, key: &str, text: MembershipSource<'_>) -> Option<Membership> {
        let (MembershipSource::Pdu(text) | MembershipSource::Content(text)) = text;
        let text = std::str::from_utf8(text).expect("text").split(['*', '^']).next()?;
        let (_, server) = key.split_once(':')?;
        Some(Membership { server: server.parse().ok()?, joins: text.ends_with('+') })
    }
}
