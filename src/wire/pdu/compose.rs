//! Composes PDUs from the messenger's messages, and signs them.

use actors::model::{
    BridgedMessage, GraphPosition, GroupId, Item, Membership, MembershipSource, Pdu, PduDraft, PduRef, PlainForm, Seq,
    ServerName, SubmissionId,
};
use actors::ports::PduText;
use bytes::Bytes;

use super::membership;
use super::plain;
use super::read::{is_taken, read_normalized};
use super::signer::PduSigner;
use super::write::{WrittenPdu, WrittenState};
use crate::json::reader::put;
use crate::json::scanner::whole_value;

/// Composes PDUs in the form in which they are stored and sent.
#[derive(Default)]
pub struct ContentText {
    /// Signer of the PDUs; without one, none is signed.
    signer: Option<PduSigner>,
}

impl ContentText {
    /// Returns a composer that signs the PDUs for which the core asks it.
    pub fn signed_by(signer: PduSigner) -> Self {
        Self { signer: Some(signer) }
    }
}

impl PduText for ContentText {
    fn compose(&self, us: &ServerName, draft: &PduDraft, berth: &GraphPosition) -> Bytes {
        let reference = PduRef { origin: us.clone(), id: draft.id.clone() };
        let further = further(draft);
        let to = berth.to.as_ref().map(|to| {
            let mut list = Vec::new();
            put(&mut list, &to.iter().map(ServerName::as_str).collect::<Vec<_>>());
            String::from_utf8(list).expect("JSON is text")
        });
        let written = WrittenPdu {
            reference: &reference,
            context: &berth.context,
            ts: &draft.accepted.to_string(),
            kind: &draft.kind,
            prev: &berth.prev,
            depth: Some(berth.depth),
            state: draft.state.as_ref().map(|(key, power)| WrittenState {
                key,
                power: Some(*power),
                prev: berth.prev_state.as_ref(),
            }),
            omits_is_state: false,
            to: to.as_deref(),
            content: &draft.content,
        };
        let about = draft.content.len()
            + to.as_ref().map_or(0, String::len)
            + 512
            + further.iter().map(|(key, text)| key.len() + text.len()).sum::<usize>();
        let pdu = written.bytes(further.iter().map(|(key, text)| (&key[..], &text[..])), about);
        match self.signer.as_ref().filter(|_| berth.sign) {
            Some(signer) => signer.signed(us, &reference, pdu),
            None => pdu,
        }
    }

    fn membership(&self, key: &str, text: MembershipSource<'_>) -> Option<Membership> {
        membership::read(key, text)
    }

    fn plain(&self, reference: &PduRef, pdu: &Bytes, to: &ServerName, group: GroupId) -> PlainForm {
        plain::plain(reference, pdu, to, group)
    }

    fn bridged(&self, from: &ServerName, message: &BridgedMessage) -> Bytes {
        plain::bridged(from, message)
    }

    fn copies_id(&self, reference: &PduRef) -> SubmissionId {
        plain::copies_id(reference)
    }

    fn forward(&self, us: &ServerName, to: &ServerName, number: Seq, item: &Item) -> Option<(Box<str>, Bytes)> {
        self.signer.as_ref()?.forward(us, to, number, item)
    }

    fn read(&self, _: &ServerName, bytes: &Bytes) -> Option<Pdu> {
        read_normalized(whole_value(std::str::from_utf8(bytes).ok()?)?).ok()
    }
}

/// Returns the extra keys of a draft as JSON texts. Keys that every PDU has would occur twice, and null values would be
/// dropped by every receiver, so both are left out.
fn further(draft: &PduDraft) -> Vec<(Vec<u8>, &Bytes)> {
    let kept = draft.extra.iter().filter(|(key, value)| !is_taken(key) && value.trim_ascii() != b"null");
    let written = |key: &str| {
        let mut out = Vec::with_capacity(key.len() + 2);
        put(&mut out, key);
        out
    };
    kept.map(|(key, value)| (written(key), value)).collect()
}
