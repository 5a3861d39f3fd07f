//! Events as the messenger reads them: one JSON text per page, written directly.

use actors::model::{FeedEntry, FeedItem, Millis, ParkedItem, ParkedWhat, Position};
use actors::ports::ArchiveError;

use crate::api::pdus::pairs;
use crate::json::writer::RawObjectWriter;
use crate::messenger::answer::rfc3339;
use crate::messenger::events::render_pdu::PduEvent;

/// Writes `{"events":[..],"next":N}`; `next` is the position to pass as the next `after`.
///
/// Updates and contents are copied as received, because parsing and serializing would change a number of 30 digits.
pub(crate) fn render(after: Position, entries: &[FeedEntry]) -> Result<Vec<u8>, ArchiveError> {
    let mut out = Vec::with_capacity(64 + entries.iter().map(size_guess).sum::<usize>());
    out.extend_from_slice(b"{\"events\":[");
    let mut times = EventTimes::default();
    for (place, entry) in entries.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        render_event(&mut out, entry, &mut times)?;
    }
    let next = entries.last().map_or(after, |entry| entry.position);
    out.extend_from_slice(format!("],\"next\":{next}}}").as_bytes());
    Ok(out)
}

/// The time of the event before, as text: many events of a page have the same.
#[derive(Debug, Default)]
pub(crate) struct EventTimes(Option<(Millis, String)>);

impl EventTimes {
    fn text(&mut self, moment: Millis) -> &str {
        let known = self.0.take_if(|(known, _)| *known == moment);
        &self.0.insert(known.unwrap_or_else(|| (moment, rfc3339(moment)))).1
    }
}

/// Returns an estimate that is enough for most events, so that a page is rarely reallocated while it grows.
fn size_guess(entry: &FeedEntry) -> usize {
    const AROUND: usize = 256;
    match &entry.item {
        FeedItem::Update { bytes, .. } => AROUND + bytes.len(),
        FeedItem::Notice { text, .. } => AROUND + text.len(),
        FeedItem::Parked(parked) => AROUND + parked.reason.len(),
        FeedItem::Pdu(pdu) => AROUND + pdu.bytes.len(),
        FeedItem::Gap { .. }
        | FeedItem::GapFilled { .. }
        | FeedItem::UpdateGap { .. }
        | FeedItem::Delivery { .. }
        | FeedItem::Peer { .. } => AROUND,
    }
}

/// Writes one event, and returns its kind. The order of its members is always the same.
pub(crate) fn render_event(
    out: &mut Vec<u8>,
    entry: &FeedEntry,
    times: &mut EventTimes,
) -> Result<&'static str, ArchiveError> {
    let event = RawObjectWriter::begin(out);
    let time = times.text(entry.time);
    let kind = match &entry.item {
        FeedItem::Pdu(fed) => {
            let pdu = PduEvent::new(fed)?;
            let kind = pdu.kind();
            let mut event = begun(event, entry, time, kind);
            pdu.write(&mut event);
            event.end();
            kind
        }
        FeedItem::Update { from, seq, verified, bytes, .. } => {
            let mut event = begun(event, entry, time, "update");
            event.member("from", from.as_str());
            event.member("seq", &seq.0);
            event.raw("update", bytes);
            event.member("verified", verified);
            event.end();
            "update"
        }
        FeedItem::Gap { context, missing, children } | FeedItem::GapFilled { context, missing, children } => {
            let opened = matches!(entry.item, FeedItem::Gap { .. });
            let kind = if opened { "gap" } else { "gap_filled" };
            let mut event = begun(event, entry, time, kind);
            event.member("context", context.as_str());
            event.member("missing", &pairs(missing));
            event.member("children", &pairs(children));
            event.end();
            kind
        }
        FeedItem::UpdateGap { from, server, first, last } => {
            let mut event = begun(event, entry, time, "gap");
            event.member("from", from.as_str());
            event.member("server", server.as_str());
            event.member("seq_from", &first.0);
            event.member("seq_to", &last.0);
            event.end();
            "gap"
        }
        FeedItem::Delivery { message, server, state, reason } => {
            let mut event = begun(event, entry, time, "delivery");
            event.member("message", message.as_str());
            event.member("server", server.as_str());
            event.member("state", state);
            event.optional("reason", reason.as_deref());
            event.end();
            "delivery"
        }
        FeedItem::Parked(parked) => {
            write_parked(begun(event, entry, time, "parked"), parked);
            "parked"
        }
        FeedItem::Peer { server, state, reason } => {
            let mut event = begun(event, entry, time, "peer");
            event.member("server", server.as_str());
            event.member("state", state);
            event.optional("reason", *reason);
            event.end();
            "peer"
        }
        FeedItem::Notice { text, server } => {
            let mut event = begun(event, entry, time, "notice");
            event.member("text", text);
            event.optional("server", server.as_ref().map(|server| server.as_str()));
            event.end();
            "notice"
        }
    };
    Ok(kind)
}

/// Writes the members that all events have.
fn begun<'a>(mut event: RawObjectWriter<'a>, entry: &FeedEntry, time: &str, kind: &str) -> RawObjectWriter<'a> {
    event.member("position", &entry.position.0);
    event.plain("kind", kind);
    match &entry.item {
        // The names of servers need no escapes.
        FeedItem::Update { from, n, .. } => event.plain("id", format_args!("{from}#{n}")),
        _ => event.text("id", &id(entry)),
    }
    event.plain("time", time);
    event
}

/// Returns the id of an event that is no update, which is stable over redelivery: the identity of a PDU; otherwise the position. A PDU that is emitted again because it became current state again gets an id
/// by position: with its own identity it would look like a repeat.
fn id(entry: &FeedEntry) -> String {
    match &entry.item {
        FeedItem::Pdu(pdu) if !pdu.shown.again => pdu.reference.to_string(),
        FeedItem::Pdu(_)
        | FeedItem::Update { .. }
        | FeedItem::Parked(_)
        | FeedItem::Gap { .. }
        | FeedItem::GapFilled { .. }
        | FeedItem::UpdateGap { .. }
        | FeedItem::Delivery { .. }
        | FeedItem::Peer { .. }
        | FeedItem::Notice { .. } => format!("e{}", entry.position),
    }
}

fn write_parked(mut event: RawObjectWriter<'_>, parked: &ParkedItem) {
    let ParkedItem { from, what, code, reason, .. } = parked;
    match what {
        ParkedWhat::Update(seq) => {
            event.member("what", "update");
            event.member("from", from.as_str());
            event.member("seq", &seq.0);
        }
        ParkedWhat::Forward(seq, origin) => {
            event.member("what", "update");
            event.member("from", from.as_str());
            event.member("origin", origin.as_str());
            event.member("seq", &seq.0);
        }
        ParkedWhat::Pdu { origin, id, context } => {
            event.member("what", "pdu");
            event.member("from", from.as_str());
            event.optional("origin", origin.as_deref());
            event.optional("pdu_id", id.as_deref());
            event.optional("context", context.as_ref().map(|context| context.as_str()));
        }
    }
    event.member("code", code.as_str());
    event.member("reason", reason);
    event.end();
}

#[cfg(test)]
mod tests {
    use actors::model::{FeedFlags, FeedPdu, Millis, ParkedCode, PduRef, Seq, ServerName};
    use bytes::Bytes;

    use super::*;
    use crate::api::feed::EventsPage;

    fn entry(position: u64, item: FeedItem) -> FeedEntry {
        FeedEntry { position: Position(position), time: Millis(1_718_454_896_007), item }
    }

    fn blue() -> ServerName {
        "blue.example".parse().expect("valid")
    }

    fn rendered(after: u64, entries: &[FeedEntry]) -> String {
        let text = String::from_utf8(render(Position(after), entries).expect("sound")).expect("text");
        serde_json::from_str::<serde_json::Value>(&text).expect("JSON");
        text
    }

    #[test]
    fn update_event_keeps_exact_bytes() {
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
    fn other_events_use_position_as_id() {
        let parked = FeedItem::Parked(ParkedItem {
            from: blue(),
            what: ParkedWhat::Update(Seq(3)),
            code: ParkedCode::NotAnObject,
            reason: "a \"number\"".into(),
            verified: None,
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

    fn pdu(id: &str) -> PduRef {
        PduRef { origin: blue(), id: id.parse().expect("valid") }
    }

    #[test]
    fn context_events_serialize_completely() {
        let context = || "#room".parse().expect("valid");
        let fed = FeedPdu {
            reference: pdu("p1"),
            context: context(),
            depth: 2,
            sender: Some(blue()),
            verified: "mtls".into(),
            shown: FeedFlags::default(),
            bytes: Bytes::from_static(br#"{"ts":7,"pdu_type":"t","content":1208925819614629174706176,"prev_pdus":[]}"#),
        };
        let message = "m-1".parse().expect("valid");
        let parked = |what| {
            let (code, reason) = (ParkedCode::NotAParticipant, "who?".into());
            FeedItem::Parked(ParkedItem { from: blue(), what, code, reason, verified: None, bytes: Bytes::new() })
        };
        let whole = ParkedWhat::Pdu { origin: Some("grey".into()), id: Some("g".into()), context: Some(context()) };
        let items = [
            FeedItem::Pdu(Box::new(fed)),
            FeedItem::Gap { context: context(), missing: vec![pdu("a")], children: vec![pdu("b"), pdu("c")] },
            FeedItem::GapFilled { context: context(), missing: vec![pdu("a")], children: vec![] },
            FeedItem::Delivery { message, server: blue(), state: "parked", reason: Some("outbox_full".into()) },
            parked(whole),
            parked(ParkedWhat::Pdu { origin: None, id: None, context: None }),
        ];
        let entries: Vec<_> = (1..).zip(items).map(|(position, item)| entry(position, item)).collect();
        assert_eq!(
            rendered(0, &entries).replace(r#","time":"2024-06-15T12:34:56.007Z""#, ""),
            concat!(
                r#"{"events":["#,
                r##"{"position":1,"kind":"message","id":"blue.example/p1","context":"#room","origin":"blue.example","pdu_id":"p1","##,
                r#""type":"t","content":1208925819614629174706176,"prev":[],"depth":2,"ts":7,"extra":{},"#,
                r#""sender":"blue.example","verified":"mtls"},"#,
                r##"{"position":2,"kind":"gap","id":"e2","context":"#room","missing":[["blue.example","a"]],"##,
                r#""children":[["blue.example","b"],["blue.example","c"]]},"#,
                r##"{"position":3,"kind":"gap_filled","id":"e3","context":"#room","missing":[["blue.example","a"]],"children":[]},"##,
                r#"{"position":4,"kind":"delivery","id":"e4","message":"m-1","server":"blue.example","state":"parked","#,
                r#""reason":"outbox_full"},"#,
                r#"{"position":5,"kind":"parked","id":"e5","what":"pdu","from":"blue.example","origin":"grey","pdu_id":"g","#,
                r##""context":"#room","code":"NOT_A_PARTICIPANT","reason":"who?"},"##,
                r#"{"position":6,"kind":"parked","id":"e6","what":"pdu","from":"blue.example","code":"NOT_A_PARTICIPANT","#,
                r#""reason":"who?"}],"next":6}"#
            )
        );
    }

    #[test]
    fn rendered_events_have_described_shapes() {
        let context = || "#room".parse().expect("valid");
        let fed = |text: &'static str, shown| {
            let sender = Some(blue());
            let bytes = Bytes::from_static(text.as_bytes());
            let (reference, context) = (pdu("p1"), context());
            FeedItem::Pdu(Box::new(FeedPdu {
                reference,
                context,
                depth: 2,
                sender,
                verified: "mtls".into(),
                shown,
                bytes,
            }))
        };
        let parked = |what| {
            let (code, reason) = (ParkedCode::NotAParticipant, "who?".into());
            FeedItem::Parked(ParkedItem { from: blue(), what, code, reason, verified: None, bytes: Bytes::new() })
        };
        let flags = FeedFlags { gap: vec![pdu("g")], late: true, history: true, current: true, again: true };
        let state = concat!(
            r#"{"ts":1,"pdu_type":"t","content":[],"prev_pdus":[["red","r"]],"is_state":true,"state_key":"","#,
            r#""power_level":-1,"prev_state_id":"p0","prev_state_origin":"red","to":["red"],"zeta":{"a":null}}"#
        );
        let (from, server) = (blue(), "green.example".parse().expect("valid"));
        let items = [
            fed(r#"{"ts":7,"pdu_type":"t","content":null,"prev_pdus":[]}"#, FeedFlags::default()),
            fed(state, flags),
            fed(
                r#"{"ts":1,"pdu_type":"t","content":{},"prev_pdus":[],"is_state":true,"state_key":"k"}"#,
                FeedFlags::default(),
            ),
            FeedItem::Update {
                from: blue(),
                n: 1,
                seq: Seq(9),
                verified: "mtls",
                bytes: Bytes::from_static(b"{\"a\":1}"),
            },
            FeedItem::Gap { context: context(), missing: vec![pdu("a")], children: vec![pdu("b")] },
            FeedItem::GapFilled { context: context(), missing: vec![pdu("a")], children: vec![] },
            FeedItem::UpdateGap { from, server, first: Seq(3), last: Seq(4) },
            FeedItem::Delivery { message: "m".parse().expect("valid"), server: blue(), state: "parked", reason: None },
            FeedItem::Peer { server: blue(), state: "suspended", reason: Some("refused") },
            parked(ParkedWhat::Update(Seq(3))),
            parked(ParkedWhat::Pdu { origin: Some("grey".into()), id: Some("g".into()), context: Some(context()) }),
            parked(ParkedWhat::Pdu { origin: None, id: None, context: None }),
            FeedItem::Notice { text: "restored".into(), server: Some(blue()) },
        ];
        for item in items {
            let text = rendered(0, &[entry(1, item)]);
            let read: EventsPage = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
            let written: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            assert_eq!(serde_json::to_value(read).expect("plain"), written, "a key is not described, or missing");
        }
    }

    #[test]
    fn empty_page_keeps_requested_position() {
        assert_eq!(rendered(12, &[]), r#"{"events":[],"next":12}"#);
    }
}
