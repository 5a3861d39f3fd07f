//! Codec of feed rows: one layout for all kinds. A row only names a PDU; the PDU's bytes are in `pdus`.

use std::borrow::Cow;

use actors::model::{FeedFlags, FeedItem, ParkedCode, ParkedItem, PduRef, Seq, ServerName};
use actors::ports::SearchedEvent;
use bytes::Bytes;

use super::pdu::{what_from_row, what_to_row};
use super::value::{BadRow, context_id, interned, name, reference, refs_from_row, refs_to_row};
use crate::store::schema::codec::columns::FeedValue;

const UPDATE: u8 = 1;
const PARKED: u8 = 2;
const PEER: u8 = 3;
const NOTICE: u8 = 4;
const PDU: u8 = 5;
const GAP: u8 = 6;
const GAP_FILLED: u8 = 7;
const DELIVERY: u8 = 8;
const UPDATE_GAP: u8 = 9;

const LATE: u64 = 1;
const HISTORY: u64 = 2;
const CURRENT: u64 = 4;
const AGAIN: u64 = 8;

/// A row without its time. The content of each column depends on the kind.
pub(crate) struct FeedRow<'a> {
    kind: u8,
    /// The update's number among its sender's updates; the flags of a PDU; the number of missing parents of a gap; the
    /// length of the identity of a quarantined PDU.
    n: u64,
    seq: u64,
    server: &'a str,
    word: &'a str,
    note: &'a str,
    body: Cow<'a, [u8]>,
}

impl FeedRow<'_> {
    pub(crate) fn row(&self, time: u64) -> FeedValue<'_> {
        let Self { kind, n, seq, server, word, note, ref body } = *self;
        FeedValue { kind, time, n, seq, server, word, note, body }
    }
}

/// A decoded row: a whole item, or the identity of a PDU that must be looked up.
#[derive(Debug, PartialEq)]
pub(crate) enum DecodedFeedRow {
    Whole(FeedItem),
    Pdu(PduRef, FeedFlags),
}

pub(crate) fn shown_to_row<'a>(reference: &'a PduRef, shown: &FeedFlags) -> FeedRow<'a> {
    let flags = [(shown.late, LATE), (shown.history, HISTORY), (shown.current, CURRENT), (shown.again, AGAIN)];
    let flags = flags.into_iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| flag).sum();
    let (origin, id) = (reference.origin.as_str(), reference.id.as_str());
    let body = Cow::Owned(refs_to_row(&shown.gap));
    FeedRow { kind: PDU, n: flags, seq: 0, server: origin, word: "", note: id, body }
}

pub(crate) fn feed_to_row(item: &FeedItem) -> FeedRow<'_> {
    let plain = FeedRow { kind: NOTICE, n: 0, seq: 0, server: "", word: "", note: "", body: Cow::Borrowed(&[]) };
    match item {
        FeedItem::Update { from, n, seq, verified, bytes } => {
            let body = Cow::Borrowed(&bytes[..]);
            FeedRow { kind: UPDATE, n: *n, seq: seq.0, server: from.as_str(), word: verified, body, ..plain }
        }
        FeedItem::Parked(ParkedItem { from, what, code, reason, verified, bytes }) => {
            let (seq, named) = what_to_row(what, *verified);
            let n = named.len() as u64;
            let body =
                if named.is_empty() { Cow::Borrowed(&bytes[..]) } else { Cow::Owned([&named, &bytes[..]].concat()) };
            FeedRow { kind: PARKED, n, seq, server: from.as_str(), word: code.as_str(), note: reason, body }
        }
        FeedItem::Pdu(pdu) => shown_to_row(&pdu.reference, &pdu.shown),
        FeedItem::Gap { context, missing, children } => gap(GAP, context.as_str(), missing, children),
        FeedItem::GapFilled { context, missing, children } => gap(GAP_FILLED, context.as_str(), missing, children),
        FeedItem::UpdateGap { from, server, first, last } => {
            let (n, seq) = (first.0, last.0);
            FeedRow { kind: UPDATE_GAP, n, seq, server: server.as_str(), note: from.as_str(), ..plain }
        }
        FeedItem::Delivery { message, server, state, reason } => FeedRow {
            kind: DELIVERY,
            server: server.as_str(),
            word: state,
            note: reason.as_deref().unwrap_or(""),
            body: Cow::Borrowed(message.as_str().as_bytes()),
            ..plain
        },
        FeedItem::Peer { server, state, reason } => {
            FeedRow { kind: PEER, server: server.as_str(), word: state, note: reason.unwrap_or(""), ..plain }
        }
        FeedItem::Notice { text, server } => {
            FeedRow { server: server.as_ref().map_or("", ServerName::as_str), note: text, ..plain }
        }
    }
}

fn gap<'a>(kind: u8, context: &'a str, missing: &[PduRef], children: &[PduRef]) -> FeedRow<'a> {
    let body = Cow::Owned(refs_to_row(missing.iter().chain(children)));
    FeedRow { kind, n: missing.len() as u64, seq: 0, server: "", word: "", note: context, body }
}

/// Decodes a row. `near` is a server that the row may name, because many rows in a row name the same: then its name is not parsed again.
pub(crate) fn feed_from_row(row: FeedValue<'_>, near: Option<&ServerName>) -> Result<DecodedFeedRow, BadRow> {
    let FeedValue { kind, n, seq, server, word, note, body, .. } = row;
    let server_name = || match near {
        Some(near) if near.as_str() == server => Ok(near.clone()),
        _ => name("feed", server),
    };
    let optional = |text: &str| (!text.is_empty()).then(|| interned(text));
    Ok(DecodedFeedRow::Whole(match kind {
        UPDATE => {
            let bytes = Bytes::copy_from_slice(body);
            FeedItem::Update { from: server_name()?, n, seq: Seq(seq), verified: interned(word), bytes }
        }
        PARKED => {
            let split = usize::try_from(n).ok().and_then(|length| body.split_at_checked(length));
            let (named, bytes) = split.ok_or_else(|| BadRow::new("feed", &"a parked item that ends early"))?;
            let (what, verified) = what_from_row("feed", seq, named)?;
            FeedItem::Parked(ParkedItem {
                from: server_name()?,
                what,
                verified,
                code: parked_code("feed", word)?,
                reason: note.to_owned(),
                bytes: Bytes::copy_from_slice(bytes),
            })
        }
        PDU => {
            let gap = refs_from_row("feed", body)?;
            let is_set = |flag| n & flag != 0;
            let (late, history, current, again) = (is_set(LATE), is_set(HISTORY), is_set(CURRENT), is_set(AGAIN));
            let shown = FeedFlags { gap, late, history, current, again };
            return Ok(DecodedFeedRow::Pdu(reference("feed", server, note)?, shown));
        }
        GAP | GAP_FILLED => {
            let (context, mut missing) = (context_id("feed", note)?, refs_from_row("feed", body)?);
            let children = missing.split_off(missing.len().min(usize::try_from(n).unwrap_or(usize::MAX)));
            match kind {
                GAP => FeedItem::Gap { context, missing, children },
                _ => FeedItem::GapFilled { context, missing, children },
            }
        }
        DELIVERY => {
            let message = str::from_utf8(body).ok().and_then(|id| id.parse().ok());
            let message = message.ok_or_else(|| BadRow::new("feed", &"a submission's id that is none"))?;
            let reason = (!note.is_empty()).then(|| note.to_owned());
            FeedItem::Delivery { message, server: server_name()?, state: interned(word), reason }
        }
        UPDATE_GAP => {
            let (from, server) = (name("feed", note)?, server_name()?);
            FeedItem::UpdateGap { from, server, first: Seq(n), last: Seq(seq) }
        }
        PEER => FeedItem::Peer { server: server_name()?, state: interned(word), reason: optional(note) },
        NOTICE if server.is_empty() => FeedItem::Notice { text: note.to_owned(), server: None },
        NOTICE => FeedItem::Notice { text: note.to_owned(), server: Some(server_name()?) },
        other => return Err(BadRow::new("feed", &format!("kind {other}"))),
    }))
}

/// Returns whether a row is this event.
pub(crate) fn is_event(row: &FeedValue<'_>, event: &SearchedEvent) -> bool {
    match event {
        SearchedEvent::Pdu(pdu) => (row.kind, row.server, row.note) == (PDU, pdu.origin.as_str(), pdu.id.as_str()),
        SearchedEvent::Update(server, n) => (row.kind, row.server, row.n) == (UPDATE, server.as_str(), *n),
    }
}

pub(crate) fn parked_code(table: &'static str, word: &str) -> Result<ParkedCode, BadRow> {
    ParkedCode::from_word(word).ok_or_else(|| BadRow::new(table, &format!("code {word}")))
}

#[cfg(test)]
mod tests {
    use actors::model::{ContextId, FeedPdu, ParkedWhat};

    use super::*;

    fn red() -> ServerName {
        "red.example".parse().expect("valid")
    }

    fn pdu(id: &str) -> PduRef {
        PduRef { origin: red(), id: id.parse().expect("valid") }
    }

    fn back(item: &FeedItem) -> DecodedFeedRow {
        feed_from_row(feed_to_row(item).row(6), Some(&red())).expect("readable")
    }

    #[test]
    fn feed_row_round_trips_every_kind() {
        let bytes = Bytes::from_static(b"{ \"a\" : 1 }");
        let context: ContextId = "c".parse().expect("valid");
        let parked = |what, code, reason: &str| {
            FeedItem::Parked(ParkedItem {
                from: red(),
                what,
                code,
                reason: reason.to_owned(),
                verified: None,
                bytes: bytes.clone(),
            })
        };
        let unnamed = ParkedWhat::Pdu { origin: None, id: Some("$7".to_owned()), context: Some(context.clone()) };
        let each_code = ParkedCode::ALL.iter().map(|&code| parked(unnamed.clone(), code, "no origin"));
        let others = [
            FeedItem::Update { from: red(), n: 3, seq: Seq(4), verified: "certificate", bytes: bytes.clone() },
            parked(ParkedWhat::Update(Seq(4)), ParkedCode::NotAnObject, "a number"),
            FeedItem::Gap { context: context.clone(), missing: vec![pdu("a")], children: vec![pdu("b"), pdu("c")] },
            FeedItem::GapFilled { context, missing: vec![pdu("a"), pdu("b")], children: vec![] },
            FeedItem::Delivery {
                message: "m1".parse().expect("valid"),
                server: red(),
                state: "parked",
                reason: Some("outbox_full".to_owned()),
            },
            FeedItem::UpdateGap {
                from: red(),
                server: "blue".parse().expect("valid"),
                first: Seq(3),
                last: Seq(u64::MAX),
            },
            FeedItem::Peer { server: red(), state: "suspended", reason: Some("admin") },
            FeedItem::Peer { server: red(), state: "idle", reason: None },
            FeedItem::Notice { text: "the disk is nearly full".to_owned(), server: None },
            FeedItem::Notice { text: "its clock is off".to_owned(), server: Some(red()) },
        ];
        for item in others.into_iter().chain(each_code) {
            assert_eq!(back(&item), DecodedFeedRow::Whole(item));
        }
    }

    #[test]
    fn feed_row_references_pdu() {
        for shown in [
            FeedFlags::default(),
            FeedFlags { gap: vec![pdu("x"), pdu("y")], late: true, current: true, ..FeedFlags::default() },
            FeedFlags { history: true, ..FeedFlags::default() },
            FeedFlags { current: true, again: true, ..FeedFlags::default() },
        ] {
            let item = FeedItem::Pdu(Box::new(FeedPdu {
                reference: pdu("p"),
                context: "c".parse().expect("valid"),
                depth: 3,
                sender: None,
                verified: "network".to_owned(),
                shown: shown.clone(),
                bytes: Bytes::from(vec![b'x'; 10_000]),
            }));
            assert_eq!(back(&item), DecodedFeedRow::Pdu(pdu("p"), shown));
            assert!(feed_to_row(&item).body.len() < 100);
        }
    }

    #[test]
    fn future_feed_row_is_error() {
        let empty = FeedValue { kind: 0, time: 0, n: 0, seq: 0, server: "", word: "", note: "", body: &[] };
        assert!(feed_from_row(FeedValue { kind: 99, ..empty }, None).is_err());
        assert!(
            feed_from_row(
                FeedValue { kind: PARKED, n: 9, server: "red.example", word: "POISON", body: b"{}", ..empty },
                None
            )
            .is_err()
        );
        let bad = FeedValue { kind: PDU, server: "red.example", note: "p", body: &[4], ..empty };
        assert!(feed_from_row(bad, None).is_err());
    }
}
