//! From what a messenger read to the history's plain words.

use actors::model::{FeedEntry, FeedItem, ParkedWhat, ServerName};
use serde::Deserialize;

use crate::history::{Event, Name, What};
use crate::messenger::{Text, named};
use crate::network::short;

#[derive(Deserialize)]
struct Token {
    token: String,
}

/// The short name of one of these servers.
pub(crate) fn name(server: &ServerName, names: &[Name]) -> Name {
    names.iter().copied().find(|name| *name == short(server)).expect("one of us")
}

/// One entry of a feed.
pub(crate) fn event(entry: &FeedEntry, names: &[Name]) -> Event {
    let list = |references: &[actors::model::PduRef]| references.iter().map(named).collect::<Vec<_>>();
    let what = match &entry.item {
        FeedItem::Pdu(pdu) if pdu.shown.again => What::Again { pdu: named(&pdu.reference) },
        FeedItem::Pdu(pdu) => What::Pdu {
            pdu: named(&pdu.reference),
            room: pdu.context.to_string(),
            prev: list(&Text::of(pdu).prev()),
            gap: list(&pdu.shown.gap),
            history: pdu.shown.history,
            late: pdu.shown.late,
        },
        FeedItem::Update { from, n, bytes, .. } => {
            let Token { token } = serde_json::from_slice(bytes).expect("an update of ours");
            What::Update { from: name(from, names), n: *n, token }
        }
        FeedItem::Gap { missing, .. } => What::Gap { missing: list(missing) },
        FeedItem::Delivery { message, server, state, .. } => {
            What::Delivery { message: message.to_string(), server: name(server, names), state: (*state).to_owned() }
        }
        FeedItem::Parked(parked) => What::Parked {
            pdu: match &parked.what {
                ParkedWhat::Pdu { origin: Some(origin), id: Some(id), .. } => {
                    Some(format!("{}/{id}", origin.split('.').next().unwrap_or(origin)))
                }
                _ => None,
            },
        },
        FeedItem::Notice { server, .. } => What::Notice { about: server.as_ref().map(|server| name(server, names)) },
        _ => What::Other,
    };
    Event { position: entry.position.0, what }
}
