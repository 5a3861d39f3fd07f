//! From what a messenger read to the history's plain words.

use std::collections::BTreeMap;

use actors::model::{FeedEntry, FeedItem, ParkedWhat, PduRef, ServerName, VERIFIED_BY_PDU_SIGNATURE};
use fixtures::messenger::{PduView, named};
use fixtures::network::short;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::history::{Event, Name, Parts, Stamp, What};

/// The name of an update: the token that its messenger gave it, or the PDU whose copy it is.
#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    id: Option<String>,
}

/// The token of an update.
pub(crate) fn token(update: &[u8]) -> String {
    let Token { token, id } = serde_json::from_slice(update).expect("an update of ours");
    token.or(id).expect("each has one of them")
}

/// The short name of one of these servers.
pub(crate) fn name(server: &ServerName, names: &[Name]) -> Name {
    names.iter().copied().find(|name| *name == short(server)).expect("one of us")
}

/// Keys of a PDU that are its place in a room, and nothing that was said.
const PLACE: [&str; 5] = ["pdu_id", "origin", "context", "prev_pdus", "depth"];

/// The members of a PDU, by key.
pub(crate) fn parts(bytes: &[u8]) -> Parts {
    let members: BTreeMap<String, &RawValue> = serde_json::from_slice(bytes).expect("a PDU");
    let said = members.into_iter().filter(|(key, _)| !PLACE.contains(&&**key));
    said.map(|(key, value)| (key, value.get().to_owned())).collect()
}

/// One entry of a feed, which was on disk then.
pub(crate) fn event(entry: &FeedEntry, at: Stamp, names: &[Name]) -> Event {
    let list = |references: &[PduRef]| references.iter().map(named).collect::<Vec<_>>();
    let what = match &entry.item {
        FeedItem::Pdu(pdu) if pdu.shown.again => What::Again { pdu: named(&pdu.reference) },
        FeedItem::Pdu(pdu) => What::Pdu {
            pdu: named(&pdu.reference),
            room: pdu.context.to_string(),
            prev: list(&PduView::of(pdu).prev()),
            gap: list(&pdu.shown.gap),
            history: pdu.shown.history,
            late: pdu.shown.late,
            parts: parts(&pdu.bytes),
        },
        FeedItem::Update { from, n, bytes, .. } => {
            let token = token(bytes);
            let text = String::from_utf8(bytes.to_vec()).expect("an update of ours");
            What::Update { from: name(from, names), n: *n, token, text }
        }
        FeedItem::Gap { context, missing, .. } => What::Gap { room: context.to_string(), missing: list(missing) },
        FeedItem::GapFilled { missing, .. } => What::GapFilled { missing: list(missing) },
        FeedItem::UpdateGap { server, first, last, .. } => {
            What::UpdateGap { server: name(server, names), first: first.0, last: last.0 }
        }
        FeedItem::Delivery { message, server, state, reason } => What::Delivery {
            message: message.to_string(),
            server: name(server, names),
            state: (*state).to_owned(),
            reason: reason.clone().unwrap_or_default(),
        },
        FeedItem::Parked(parked) => What::Parked {
            from: name(&parked.from, names),
            pdu: match &parked.what {
                ParkedWhat::Pdu { origin: Some(origin), id: Some(id), .. } => {
                    Some(format!("{}/{id}", origin.split('.').next().unwrap_or(origin)))
                }
                _ => None,
            },
            code: parked.code.as_str().to_owned(),
            text: String::from_utf8_lossy(&parked.bytes).into_owned(),
        },
        FeedItem::Notice { server, .. } => What::Notice { about: server.as_ref().map(|server| name(server, names)) },
        FeedItem::Peer { state, reason, .. } => {
            What::Peer { state: (*state).to_owned(), reason: reason.unwrap_or_default().to_owned() }
        }
    };
    Event { position: entry.position.0, at, wall: entry.time.0, what }
}

/// True if another server than its origin brought a PDU, and its signature was verified.
pub(crate) fn is_proved_by_signature(entry: &FeedEntry) -> bool {
    matches!(&entry.item, FeedItem::Pdu(pdu) if pdu.verified == VERIFIED_BY_PDU_SIGNATURE)
}

/// One entry of a feed in few words.
pub(crate) fn words(entry: &FeedEntry) -> String {
    let text = match &entry.item {
        FeedItem::Pdu(pdu) => format!("{} {:?}", named(&pdu.reference), pdu.shown),
        FeedItem::Update { from, n, bytes, .. } => {
            format!("{}#{n} {}", short(from), String::from_utf8_lossy(&bytes[..bytes.len().min(60)]))
        }
        FeedItem::Parked(parked) => format!("parked {:?} of {}: {:?}", parked.what, short(&parked.from), parked.code),
        other => format!("{other:?}"),
    };
    format!("{} {text}", entry.position)
}
