//! Events as the messenger reads them: one JSON text a page, written once.

use actors::model::{FeedEntry, FeedItem, Parked, ParkedWhat, PduRef, Position};
use serde::Serialize;

use super::answer::rfc3339;

/// `{"events":[..],"next":N}`: `next` is the position to pass as the next `after`.
///
/// Updates are copied into it as they came; read as JSON and written anew, a number of 30 digits would be another number.
pub(super) fn render(after: Position, entries: &[FeedEntry]) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + entries.iter().map(size_guess).sum::<usize>());
    out.extend_from_slice(b"{\"events\":[");
    for (place, entry) in entries.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        event(&mut out, entry);
    }
    let next = entries.last().map_or(after, |entry| entry.position);
    out.extend_from_slice(b"],");
    name(&mut out, "next");
    value(&mut out, &next.0);
    out.push(b'}');
    out
}

/// Enough for most, so that a page is seldom moved while it grows.
fn size_guess(entry: &FeedEntry) -> usize {
    const AROUND: usize = 256;
    match &entry.item {
        FeedItem::Update { bytes, .. } => AROUND + bytes.len(),
        FeedItem::Notice { text, .. } => AROUND + text.len(),
        FeedItem::Parked(parked) => AROUND + parked.reason.len(),
        FeedItem::Pdu(pdu) => AROUND + pdu.bytes.len(),
        FeedItem::Gap { .. } | FeedItem::GapFilled { .. } | FeedItem::Delivery { .. } | FeedItem::Peer { .. } => AROUND,
    }
}

/// One event. The order of its members is always the same.
fn event(out: &mut Vec<u8>, entry: &FeedEntry) {
    out.push(b'{');
    name(out, "position");
    value(out, &entry.position.0);
    member(out, "kind", kind(&entry.item));
    member(out, "id", &id(entry));
    member(out, "time", &rfc3339(entry.time));
    match &entry.item {
        FeedItem::Update { from, seq, verified, bytes, .. } => {
            member(out, "from", from.as_str());
            member(out, "seq", &seq.0);
            out.push(b',');
            name(out, "update");
            out.extend_from_slice(bytes);
            member(out, "verified", verified);
        }
        FeedItem::Pdu(pdu) => {
            member(out, "context", pdu.context.as_str());
            out.push(b',');
            name(out, "pdu");
            out.extend_from_slice(&pdu.bytes);
            member(out, "verified", &pdu.verified);
        }
        FeedItem::Gap { context, missing, children } | FeedItem::GapFilled { context, missing, children } => {
            member(out, "context", context.as_str());
            member(out, "missing", &pairs(missing));
            member(out, "children", &pairs(children));
        }
        FeedItem::Delivery { message, server, state, reason } => {
            member(out, "message", message.as_str());
            member(out, "server", server.as_str());
            member(out, "state", state);
            if let Some(reason) = reason {
                member(out, "reason", reason);
            }
        }
        FeedItem::Parked(Parked { from, what, code, reason, .. }) => {
            let seq = match what {
                ParkedWhat::Update(seq) => Some(seq.0),
                ParkedWhat::Pdu { .. } => None,
            };
            member(out, "what", if seq.is_some() { "update" } else { "pdu" });
            member(out, "from", from.as_str());
            if let Some(seq) = seq {
                member(out, "seq", &seq);
            }
            member(out, "code", code.as_str());
            member(out, "reason", reason);
        }
        FeedItem::Peer { server, state, reason } => {
            member(out, "server", server.as_str());
            member(out, "state", state);
            if let Some(reason) = reason {
                member(out, "reason", reason);
            }
        }
        FeedItem::Notice { text, server } => {
            member(out, "text", text);
            if let Some(server) = server {
                member(out, "server", server.as_str());
            }
        }
    }
    out.push(b'}');
}

fn kind(item: &FeedItem) -> &'static str {
    match item {
        FeedItem::Update { .. } => "update",
        FeedItem::Pdu(_) => "pdu",
        FeedItem::Gap { .. } => "gap",
        FeedItem::GapFilled { .. } => "gap_filled",
        FeedItem::Delivery { .. } => "delivery",
        FeedItem::Parked(_) => "parked",
        FeedItem::Peer { .. } => "peer",
        FeedItem::Notice { .. } => "notice",
    }
}

/// Stable over redelivery: of an update, its count among those of its sender; of all else, its place.
fn id(entry: &FeedEntry) -> String {
    match &entry.item {
        FeedItem::Update { from, n, .. } => format!("{from}#{n}"),
        FeedItem::Pdu(pdu) => pdu.reference.to_string(),
        _ => format!("e{}", entry.position),
    }
}

fn pairs(references: &[PduRef]) -> Vec<[&str; 2]> {
    references.iter().map(|reference| [reference.origin.as_str(), reference.id.as_str()]).collect()
}

fn member<T: Serialize + ?Sized>(out: &mut Vec<u8>, key: &'static str, what: &T) {
    out.push(b',');
    name(out, key);
    value(out, what);
}

fn name(out: &mut Vec<u8>, key: &'static str) {
    debug_assert!(key.bytes().all(|b| b.is_ascii_lowercase()), "needs no escape");
    out.push(b'"');
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b"\":");
}

fn value<T: Serialize + ?Sized>(out: &mut Vec<u8>, what: &T) {
    serde_json::to_writer(out, what).expect("texts and numbers into memory");
}

#[cfg(test)]
mod tests {
    use actors::model::{Millis, ParkedCode, Seq, ServerName};
    use bytes::Bytes;

    use super::*;

    fn entry(position: u64, item: FeedItem) -> FeedEntry {
        FeedEntry { position: Position(position), time: Millis(1_718_454_896_007), item }
    }

    fn blue() -> ServerName {
        "blue.example".parse().expect("valid")
    }

    fn rendered(after: u64, entries: &[FeedEntry]) -> String {
        let text = String::from_utf8(render(Position(after), entries)).expect("text");
        serde_json::from_str::<serde_json::Value>(&text).expect("JSON");
        text
    }

    #[test]
    fn an_update_is_given_on_byte_for_byte() {
        let bytes = Bytes::from_static(b"{\"n\": 1208925819614629174706177, \"x\":1.0e2,\"a\":\"\\u00e9\"}");
        let update = FeedItem::Update { from: blue(), n: 7, seq: Seq(9), verified: "mtls", bytes };
        assert_eq!(
            rendered(40, &[entry(41, update)]),
            concat!(
                r#"{"events":[{"position":41,"kind":"update","id":"blue.example#7","time":"2024-06-15T12:34:56.007Z","#,
                r#""from":"blue.example","seq":9,"update":{"n": 1208925819614629174706177, "x":1.0e2,"a":"\u00e9"},"#,
                r#""verified":"mtls"}],"next":41}"#
            )
        );
    }

    #[test]
    fn other_events_carry_their_place_as_their_id() {
        let parked = FeedItem::Parked(Parked {
            from: blue(),
            what: ParkedWhat::Update(Seq(3)),
            code: ParkedCode::NotAnObject,
            reason: "a \"number\"".into(),
            bytes: Bytes::from_static(b"17"),
        });
        let suspended = FeedItem::Peer { server: blue(), state: "suspended", reason: Some("refused") };
        let back = FeedItem::Peer { server: blue(), state: "idle", reason: None };
        let about = FeedItem::Notice { text: "restored".into(), server: Some(blue()) };
        let general = FeedItem::Notice { text: "line\nbreak".into(), server: None };
        let entries = [entry(1, parked), entry(2, suspended), entry(3, back), entry(4, about), entry(5, general)];
        assert_eq!(
            rendered(0, &entries).replace(r#","time":"2024-06-15T12:34:56.007Z""#, ""),
            concat!(
                r#"{"events":["#,
                r#"{"position":1,"kind":"parked","id":"e1","what":"update","from":"blue.example","seq":3,"#,
                r#""code":"NOT_AN_OBJECT","reason":"a \"number\""},"#,
                r#"{"position":2,"kind":"peer","id":"e2","server":"blue.example","state":"suspended","reason":"refused"},"#,
                r#"{"position":3,"kind":"peer","id":"e3","server":"blue.example","state":"idle"},"#,
                r#"{"position":4,"kind":"notice","id":"e4","text":"restored","server":"blue.example"},"#,
                r#"{"position":5,"kind":"notice","id":"e5","text":"line\nbreak"}],"next":5}"#
            )
        );
    }

    #[test]
    fn an_empty_page_points_where_it_was_asked() {
        assert_eq!(rendered(12, &[]), r#"{"events":[],"next":12}"#);
    }
}
