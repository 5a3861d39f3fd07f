//! PDUs of contexts as events: the columns of the store, and the members of the PDU's text as received.

use actors::model::{DEPTH_BUILT_UPON_MAX, FeedPdu, StateKey};
use actors::ports::ArchiveError;

use crate::api::pdus::pairs;
use crate::http::json_error;
use crate::json::canonical::{NamedValue, split_object};
use crate::json::scanner::ScannedValue;
use crate::json::writer::RawObjectWriter;

/// A feed PDU with its text split into members.
pub(crate) struct PduEvent<'a> {
    fed: &'a FeedPdu,
    parts: PduParts<'a>,
}

/// The members of a stored PDU, in which no member is repeated or null.
#[derive(Default)]
struct PduParts<'a> {
    ts: Option<ScannedValue<'a>>,
    kind: Option<ScannedValue<'a>>,
    content: Option<ScannedValue<'a>>,
    prev: Option<ScannedValue<'a>>,
    is_state: bool,
    state_key: Option<ScannedValue<'a>>,
    power_level: Option<ScannedValue<'a>>,
    prev_state_id: Option<ScannedValue<'a>>,
    prev_state_origin: Option<ScannedValue<'a>>,
    depth: Option<u64>,
    /// Recipients, if they are not all participants.
    to: Option<ScannedValue<'a>>,
    /// Group that the message came from.
    bridged: Option<ScannedValue<'a>>,
    /// Keys that the gateway does not interpret, in order.
    extra: Vec<NamedValue<'a>>,
}

impl<'a> PduParts<'a> {
    fn read(text: &'a [u8]) -> Result<Self, serde_json::Error> {
        let members = split_object(text)?;
        let mut parts = Self::default();
        for (name, value) in members {
            match &*name {
                "ts" => parts.ts = Some(value),
                "pdu_type" => parts.kind = Some(value),
                "content" => parts.content = Some(value),
                "prev_pdus" => parts.prev = Some(value),
                "is_state" => parts.is_state = value.get() == "true",
                "state_key" => parts.state_key = Some(value),
                "power_level" => parts.power_level = Some(value),
                "prev_state_id" => parts.prev_state_id = Some(value),
                "prev_state_origin" => parts.prev_state_origin = Some(value),
                "depth" => parts.depth = value.get().parse().ok().filter(|depth| *depth <= DEPTH_BUILT_UPON_MAX),
                "to" if value.get().starts_with('[') => parts.to = Some(value),
                "bridged" if value.get().starts_with('{') => parts.bridged = Some(value),
                // The event contains these under other names, or they are proofs for other gateways.
                "pdu_id" | "origin" | "context" | "hashes" | "signatures" => {}
                _ => parts.extra.push((name, value)),
            }
        }
        Ok(parts)
    }
}

impl<'a> PduEvent<'a> {
    /// Splits the text of a PDU.
    pub(crate) fn new(fed: &'a FeedPdu) -> Result<Self, ArchiveError> {
        let parts = PduParts::read(&fed.bytes).map_err(|error| {
            ArchiveError(format!("the stored text of {} is not a PDU: {}", fed.reference, json_error::words(&error)))
        })?;
        Ok(Self { fed, parts })
    }

    /// Returns the state key that the PDU sets; `None` if it is not state.
    pub(crate) fn sets(&self) -> Option<StateKey> {
        let text = |value: ScannedValue<'_>| serde_json::from_str::<String>(value.get()).ok();
        let key = self.parts.state_key.filter(|_| self.parts.is_state).and_then(text)?;
        Some((text(self.parts.kind?)?.into(), key))
    }

    /// Returns the kind of the event.
    pub(crate) fn kind(&self) -> &'static str {
        if self.parts.is_state { "state" } else { "message" }
    }

    /// Writes the event's members after those that all events have.
    pub(crate) fn write(&self, event: &mut RawObjectWriter<'_>) {
        let Self { fed, parts } = self;
        event.text("context", fed.context.as_str());
        event.text("origin", fed.reference.origin.as_str());
        event.text("pdu_id", fed.reference.id.as_str());
        event.raw("type", or(parts.kind, "\"\""));
        event.raw("content", or(parts.content, "null"));
        if parts.is_state {
            self.write_state(event);
        }
        event.raw("prev", or(parts.prev, "[]"));
        // The origin's depth if it is valid, for display only: events are not ordered by it.
        event.member("depth", &parts.depth.unwrap_or(fed.depth));
        event.raw("ts", or(parts.ts, "0"));
        let mut extra = event.object("extra");
        for (name, value) in &parts.extra {
            extra.raw(name, value.get());
        }
        extra.end();
        if let Some(to) = parts.to {
            event.raw("to", to.get());
        }
        event.optional("sender", fed.sender.as_ref().map(|sender| sender.as_str()));
        event.text("verified", &fed.verified);
        if let Some(bridged) = parts.bridged {
            event.raw("bridged", bridged.get());
        }
        if !fed.shown.gap.is_empty() {
            event.member("gap", &pairs(&fed.shown.gap));
        }
        event.optional("late", fed.shown.late.then_some(true));
        event.optional("history", fed.shown.history.then_some(true));
    }

    fn write_state(&self, event: &mut RawObjectWriter<'_>) {
        let Self { fed, parts } = self;
        event.raw("state_key", or(parts.state_key, "\"\""));
        event.raw("power_level", or(parts.power_level, "0"));
        match (parts.prev_state_origin, parts.prev_state_id) {
            (Some(origin), Some(id)) => event.raw("prev_state", format!("[{},{}]", origin.get(), id.get())),
            _ => event.member("prev_state", &()),
        }
        // The value at the time of the feed entry, so that a page that is read again is identical.
        event.member("current", &fed.shown.current);
        event.optional("again", fed.shown.again.then_some(true));
    }
}

fn or<'a>(text: Option<ScannedValue<'a>>, absent: &'a str) -> &'a str {
    text.map_or(absent, ScannedValue::get)
}

#[cfg(test)]
mod tests {
    use actors::model::{FeedFlags, PduRef};
    use bytes::Bytes;
    use serde_json::value::RawValue;

    use super::*;

    fn pdu(id: &str) -> PduRef {
        PduRef { origin: "blue".parse().expect("valid"), id: id.parse().expect("valid") }
    }

    fn fed(bytes: &'static str, shown: FeedFlags) -> FeedPdu {
        FeedPdu {
            reference: pdu("p1"),
            context: "#r\u{e9}d \"x\"".parse().expect("valid"),
            depth: 5,
            sender: Some("green".parse().expect("valid")),
            verified: "network".into(),
            shown,
            bytes: Bytes::from_static(bytes.as_bytes()),
        }
    }

    fn written(fed: &FeedPdu) -> Result<(&'static str, String), ArchiveError> {
        let pdu = PduEvent::new(fed)?;
        let mut out = Vec::new();
        let mut event = RawObjectWriter::begin(&mut out);
        pdu.write(&mut event);
        event.end();
        let text = String::from_utf8(out).expect("text");
        serde_json::from_str::<&RawValue>(&text).expect("JSON");
        Ok((pdu.kind(), text))
    }

    #[test]
    fn message_event_keeps_content_bytes() {
        let text = concat!(
            r#"{"pdu_id":"p1","origin":"blue","context":"x","ts":1404838188000,"pdu_type":"m.\u0074ext","#,
            r#""content":{ "n": 1208925819614629174706176, "z":1.0e2,"a":"\u00e9\/" },"prev_pdus":[["red","r1"],["blue","b0"]],"#,
            r#""depth":9,"is_state":false,"hashes":{"sha256":"x"},"signatures":{},"zeta":{"k":[1E400]},"al\"pha":"\ud83d\ude00"}"#
        );
        let (kind, event) = written(&fed(text, FeedFlags::default())).expect("sound");
        assert_eq!(kind, "message");
        assert_eq!(
            event,
            concat!(
                r##"{"context":"#réd \"x\"","origin":"blue","pdu_id":"p1","type":"m.\u0074ext","##,
                r#""content":{ "n": 1208925819614629174706176, "z":1.0e2,"a":"\u00e9\/" },"prev":[["red","r1"],["blue","b0"]],"#,
                r#""depth":9,"ts":1404838188000,"extra":{"zeta":{"k":[1E400]},"al\"pha":"\ud83d\ude00"},"#,
                r#""sender":"green","verified":"network"}"#
            )
        );
    }

    #[test]
    fn depth_shown_is_stated_one() {
        for (stated, shown) in
            [(r#""depth":0,"#, 0), (r#""depth":2147483647,"#, 2_147_483_647), (r#""depth":2147483648,"#, 5), ("", 5)]
        {
            let text = format!(r#"{{{stated}"ts":1,"pdu_type":"t","content":{{}},"prev_pdus":[]}}"#);
            let (_, event) = written(&FeedPdu { bytes: text.into(), ..fed("", FeedFlags::default()) }).expect("sound");
            assert!(event.contains(&format!(r#""depth":{shown},"#)), "{stated}: {event}");
        }
    }

    #[test]
    fn narrowed_message_names_its_recipients() {
        let text = r#"{"ts":1,"pdu_type":"t","to":["blue","red"],"content":{},"prev_pdus":[]}"#;
        let (_, event) = written(&fed(text, FeedFlags::default())).expect("sound");
        assert!(event.contains(r#""extra":{},"to":["blue","red"],"sender""#), "{event}");
        let (_, event) = written(&fed(r#"{"ts":1,"to":"blue"}"#, FeedFlags::default())).expect("sound");
        assert!(event.contains(r#""extra":{"to":"blue"},"sender""#), "a key without a meaning here: {event}");
    }

    #[test]
    fn bridged_message_names_its_group() {
        let text =
            r#"{"ts":1,"pdu_type":"t","content":{},"prev_pdus":[],"bridged":{"server":"gold","seq":4,"user_id":7}}"#;
        let (_, event) = written(&fed(text, FeedFlags::default())).expect("sound");
        let expected =
            r#""extra":{},"sender":"green","verified":"network","bridged":{"server":"gold","seq":4,"user_id":7}}"#;
        assert!(event.ends_with(expected), "{event}");
    }

    #[test]
    fn event_shows_gap_and_late() {
        let text = r#"{"ts":1,"pdu_type":"t","content":null,"prev_pdus":[["red","r1"]]}"#;
        let shown = FeedFlags { gap: vec![pdu("g1"), pdu("g2")], late: true, history: true, ..FeedFlags::default() };
        let (_, event) = written(&fed(text, shown)).expect("sound");
        let expected = concat!(
            r#""content":null,"prev":[["red","r1"]],"depth":5,"ts":1,"extra":{},"sender":"green","verified":"network","#,
            r#""gap":[["blue","g1"],["blue","g2"]],"late":true,"history":true}"#
        );
        assert!(event.ends_with(expected), "{event}");
    }

    #[test]
    fn state_event_shows_replacement_and_current() {
        let text = concat!(
            r#"{"ts":1,"pdu_type":"m.topic","content":[],"prev_pdus":[],"is_state":true,"state_key":"k\u00e9y","#,
            r#""power_level":-9223372036854775808,"prev_state_id":"p0","prev_state_origin":"red"}"#
        );
        let shown =
            |current, again| written(&fed(text, FeedFlags { current, again, ..FeedFlags::default() })).expect("sound");
        let (kind, event) = shown(true, false);
        assert_eq!(kind, "state");
        let expected = concat!(
            r#""type":"m.topic","content":[],"state_key":"k\u00e9y","power_level":-9223372036854775808,"#,
            r#""prev_state":["red","p0"],"current":true,"prev":[],"depth":5,"ts":1,"extra":{},"#
        );
        assert!(event.contains(expected), "{event}");
        assert!(shown(false, false).1.contains(r#""current":false,"prev""#));
        assert!(shown(true, true).1.contains(r#""current":true,"again":true,"prev""#));
    }

    #[test]
    fn first_state_has_null_prev_state() {
        let text = r#"{"ts":1,"pdu_type":"t","content":{},"prev_pdus":[],"is_state":true,"state_key":""}"#;
        let (_, event) = written(&fed(text, FeedFlags::default())).expect("sound");
        assert!(event.contains(r#""state_key":"","power_level":0,"prev_state":null,"current":false"#), "{event}");
    }

    #[test]
    fn non_pdu_text_is_reported() {
        let broken = written(&fed("[]", FeedFlags::default())).expect_err("no object");
        assert!(broken.0.starts_with("the stored text of blue/p1 is not a PDU"), "{broken}");
    }
}
