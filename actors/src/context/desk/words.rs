//! Short words for long things, for traces.

use std::sync::Arc;

use bytes::Bytes;

use crate::model::PduText;
use crate::model::{Berth, ContextId, Digest, Draft, Millis, Pdu, PduRef, ServerName, StateSlot};

pub(in crate::context) fn server(name: &str) -> ServerName {
    name.parse().expect("valid")
}

pub(in crate::context) fn context(name: &str) -> ContextId {
    name.parse().expect("valid")
}

/// `red/1`
pub(in crate::context) fn at(text: &str) -> PduRef {
    let (origin, id) = text.split_once('/').expect("origin/id");
    PduRef { origin: server(origin), id: id.parse().expect("valid") }
}

/// `red/2<red/1,green/1` names two parents; `red/2=topic` sets a key.
pub(in crate::context) fn pdu(text: &str) -> Pdu {
    let (text, key) = text.split_once('=').map_or((text, None), |(text, key)| (text, Some(key)));
    let (reference, prev) = text.split_once('<').unwrap_or((text, ""));
    let prev = prev.split(',').filter(|parent| !parent.is_empty()).map(at).collect();
    let state = key.map(|key| StateSlot { key: key.to_owned(), power_level: 0, prev: None });
    let (depth, kind) = (None, Arc::from("text"));
    Pdu {
        reference: at(reference),
        context: context("room"),
        prev,
        depth,
        kind,
        state,
        bytes: Bytes::from(text.to_owned()),
    }
}

pub(in crate::context) fn pdus(text: &str) -> Vec<Pdu> {
    text.split_whitespace().map(pdu).collect()
}

/// `1`, `1=topic`, `1>red,blue`
pub(in crate::context) fn draft(text: &str) -> Draft {
    let (text, to) = text.split_once('>').map_or((text, None), |(text, to)| (text, Some(to)));
    let (id, key) = text.split_once('=').map_or((text, None), |(id, key)| (id, Some(key)));
    Draft {
        submission: format!("m{id}").parse().expect("valid"),
        digest: Digest([0; 16]),
        accepted: Millis(7),
        id: id.parse().expect("valid"),
        kind: Arc::from("text"),
        content: Bytes::from_static(b"{}"),
        state: key.map(|key| (key.to_owned(), 0)),
        to: to.map(|to| to.split(',').filter(|name| !name.is_empty()).map(server).collect()),
        extra: vec![],
    }
}

/// Writes what a PDU rests on.
pub(super) struct Text;

impl PduText for Text {
    fn compose(&self, us: &ServerName, draft: &Draft, berth: &Berth) -> Bytes {
        let Berth { prev, depth, prev_state, .. } = berth;
        Bytes::from(format!("{us}/{} prev {prev:?} depth {depth} replaces {prev_state:?}", draft.id))
    }
}
