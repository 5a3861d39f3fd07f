//! The body of a message: decoded without copying, and checked against the limits of its recipients.

use std::collections::HashSet;
use std::sync::Arc;

use actix_web::http::StatusCode;
use actors::errors::DraftError;
use actors::model::{ContextId, Digest, Millis, PduDraft, PduId, ServerName, SubmissionId};
use actors::ports::PeerConfig;
use bytes::Bytes;

use crate::http::error::ApiError;
use crate::http::json_error;
use crate::json::canonical::{NamedValue, split_object, write_canonical};
use crate::json::nesting::NESTING_MAX;
use crate::json::reader::is_plain;
use crate::json::scanner::ScannedValue;
use crate::messenger::lists::NameList;
use crate::messenger::submission;

/// Bytes reserved for the PDU around the content and the texts of a message: parents, names, numbers.
const ENVELOPE_BYTES: u64 = 1024;
/// Maximum nesting of a value of a message: on the wire it is in a PDU in an update in a list in an object. In a
/// transaction it is one level less.
const VALUE_NESTING_MAX: usize = NESTING_MAX - 4;

/// Bytes of the names of a message's members in its canonical text, normally.
const CANONICAL_NAMES_BYTES: usize = 128;

/// Maximum bytes of a type or a state key.
const NAME_BYTES_MAX: usize = 255;

/// Maximum number of keys in `extra`: far more than needed, and fewer than peers accept.
const EXTRA_MAX: usize = 100;

/// Top-level keys of a PDU that this gateway writes or that receivers remove: the `extra` of a message must not contain
/// them.
const RESERVED: &[&str] = &[
    "pdu_id",
    "origin",
    "context",
    "ts",
    "pdu_type",
    "content",
    "prev_pdus",
    "depth",
    "is_state",
    "state_key",
    "power_level",
    "prev_state_id",
    "prev_state_origin",
    "to",
    "hashes",
    "signatures",
    "outlier",
    "destinations",
    "transaction_id",
];

/// The decoded body: `{"context","type","content","state_key"?,"power_level"?,"to"?,"extra"?,"receipt"?}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MessageBody {
    /// Context of the message.
    pub(crate) context: ContextId,
    /// Digest of the canonical text: it recognizes a repeat in any spelling, even after the PDU was pruned.
    pub(crate) digest: Digest,
    kind: Arc<str>,
    content: Bytes,
    state: Option<(String, i64)>,
    to: Option<Vec<ServerName>>,
    extra: Vec<(String, Bytes)>,
    /// True if the messenger asks for a delivery event.
    receipt: bool,
    /// Total bytes of its texts.
    size: u64,
}

/// The keys of a message.
const KEYS: &[&str] = &["context", "type", "content", "state_key", "power_level", "to", "extra", "receipt"];

/// The members of the body, each as its text.
#[derive(Default)]
struct RawMessageFields<'a> {
    context: Option<ScannedValue<'a>>,
    kind: Option<ScannedValue<'a>>,
    content: Option<ScannedValue<'a>>,
    state_key: Option<ScannedValue<'a>>,
    power_level: Option<ScannedValue<'a>>,
    to: Option<ScannedValue<'a>>,
    extra: Option<ScannedValue<'a>>,
    receipt: Option<ScannedValue<'a>>,
}

impl<'a> RawMessageFields<'a> {
    /// Sorts the members by key. An unknown key is refused: if a misspelt `to` were ignored, the message would go to
    /// everybody.
    fn sort(members: &[NamedValue<'a>]) -> Result<Self, ApiError> {
        let mut given = Self::default();
        for (name, value) in members {
            let place = match &**name {
                "context" => &mut given.context,
                "type" => &mut given.kind,
                "content" => &mut given.content,
                "state_key" => &mut given.state_key,
                "power_level" => &mut given.power_level,
                "to" => &mut given.to,
                "extra" => &mut given.extra,
                "receipt" => &mut given.receipt,
                _ => return Err(ApiError::unknown_key(name, "a message", KEYS)),
            };
            if place.replace(*value).is_some() {
                return Err(ApiError::bad_request("BAD_JSON", format!("{name:?} is given twice")));
            }
        }
        Ok(given)
    }
}

impl MessageBody {
    /// Decodes a body without reference to the configuration. `members` must be slices of `body`. `before`: another message of the same
    /// call, with which it shares what is the same.
    pub(crate) fn decode(body: &Bytes, members: Vec<NamedValue<'_>>, before: Option<&Self>) -> Result<Self, ApiError> {
        let given = RawMessageFields::sort(&members)?;
        let slice = |text: ScannedValue<'_>| body.slice_ref(text.get().as_bytes());
        let content = given.content.ok_or_else(|| bad("BAD_CONTENT", "\"content\" is missing"))?;
        check_nesting("content", content)?;
        if content.get() == "null" {
            return Err(bad("BAD_CONTENT", "\"content\" is null, which a PDU treats as missing"));
        }
        let content = slice(content);
        let extra = given.extra.map_or(Ok(vec![]), |extra| extra_keys(extra, slice))?;
        let texts = [given.context, given.kind, given.content, given.state_key, given.to, given.extra];
        let size = texts.iter().flatten().map(|text| text.get().len() as u64).sum();
        let context = match before.filter(|before| is_text(given.context, before.context.as_str())) {
            Some(before) => before.context.clone(),
            None => context(given.context)?,
        };
        let kind = match before.filter(|before| is_text(given.kind, &before.kind)) {
            Some(before) => before.kind.clone(),
            None => kind(given.kind)?,
        };
        let state = state(given.state_key, given.power_level)?;
        let to = given.to.map(recipients).transpose()?;
        let receipt = submission::wants_receipt(given.receipt.map(ScannedValue::get))?;
        // The names are in it too, with quotes and commas.
        let mut canonical = Vec::with_capacity(size as usize + CANONICAL_NAMES_BYTES);
        write_canonical(&mut canonical, members);
        let digest = Digest::sha256(&canonical);
        Ok(Self { context, digest, kind, content, state, to, extra, receipt, size })
    }

    /// Checks that the message may be sent to its recipients and fits their limits: an accepted message must not fail
    /// later.
    pub(crate) fn check(&self, audience: &MessageAudience<'_>, us: &ServerName) -> Result<(), ApiError> {
        let MessageAudience { participants, roster, smallest } = audience;
        let smallest = match &self.to {
            None => *smallest,
            Some(to) => {
                let others: Vec<_> = to.iter().filter(|server| *server != us).collect();
                if others.is_empty() {
                    return Err(bad("BAD_TO", "\"to\" names only this server"));
                }
                for server in &others {
                    self.check_named(server, participants, *roster)?;
                }
                smallest_batch(others, *roster)
            }
        };
        match smallest {
            Some((max, server)) if self.size + ENVELOPE_BYTES > max => {
                let words = format!(
                    "the message has {} bytes; with {ENVELOPE_BYTES} bytes for its envelope it exceeds batch_bytes of \
                     {server} ({max})",
                    self.size
                );
                Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "TOO_LARGE", words).by_limit("peers.batch_bytes"))
            }
            _ => Ok(()),
        }
    }

    fn check_named(
        &self,
        server: &ServerName,
        participants: &HashSet<&ServerName>,
        roster: &dyn PeerConfig,
    ) -> Result<(), ApiError> {
        if !participants.contains(server) {
            return Err(DraftError::NotAParticipant { server: server.clone(), context: self.context.clone() }.into());
        }
        // A participant that is not a peer (any more) gets nothing, so a message to it alone could not be sent.
        Ok(roster.peer_limits(server).map(drop)?)
    }

    /// Returns the draft for the context.
    pub(crate) fn draft(self, submission: SubmissionId, id: PduId, accepted: Millis, us: &ServerName) -> PduDraft {
        let to = self.to.map(|mut to| {
            to.retain(|server| server != us);
            to
        });
        let Self { digest, kind, content, state, extra, receipt, .. } = self;
        PduDraft { submission, digest, accepted, id, kind, content, state, to, extra, receipt }
    }
}

/// The participants of a context as the messages of one call are checked against them.
pub(crate) struct MessageAudience<'a> {
    participants: HashSet<&'a ServerName>,
    roster: &'a dyn PeerConfig,
    /// The smallest batch limit among the participants, and the peer that has it.
    smallest: Option<(u64, &'a ServerName)>,
}

impl<'a> MessageAudience<'a> {
    pub(crate) fn new(participants: &'a [ServerName], roster: &'a dyn PeerConfig) -> Self {
        Self { participants: participants.iter().collect(), roster, smallest: smallest_batch(participants, roster) }
    }
}

/// Returns the smallest batch limit among these peers; servers that are no peers get nothing and are ignored.
fn smallest_batch<'a>(
    servers: impl IntoIterator<Item = &'a ServerName>,
    roster: &dyn PeerConfig,
) -> Option<(u64, &'a ServerName)> {
    let limits = servers.into_iter().filter_map(|server| Some((roster.limits(server)?.batch_bytes, server)));
    limits.min()
}

fn bad(code: &'static str, words: impl Into<std::borrow::Cow<'static, str>>) -> ApiError {
    ApiError::unprocessable(code, words)
}

/// Refuses a value that peers would always refuse, because it would block the queue.
fn check_nesting(name: &str, value: ScannedValue<'_>) -> Result<(), ApiError> {
    if value.nests_deeper_than(VALUE_NESTING_MAX) {
        return Err(bad("NESTS_TOO_DEEP", format!("{name:?} nests deeper than {VALUE_NESTING_MAX} levels")));
    }
    Ok(())
}

/// Returns whether a value is this text, written without escapes.
fn is_text(given: Option<ScannedValue<'_>>, text: &str) -> bool {
    given.is_some_and(|given| is_plain(given.get(), text))
}

fn text(name: &str, code: &'static str, given: ScannedValue<'_>) -> Result<String, ApiError> {
    serde_json::from_str(given.get())
        .map_err(|error| bad(code, format!("{name:?} is not a string: {}", json_error::words(&error))))
}

/// Refuses a name that is longer than peers accept.
fn short(name: &str, code: &'static str, text: &str) -> Result<(), ApiError> {
    if text.len() > NAME_BYTES_MAX {
        return Err(bad(code, format!("{name:?} has more than {NAME_BYTES_MAX} bytes")));
    }
    Ok(())
}

fn context(given: Option<ScannedValue<'_>>) -> Result<ContextId, ApiError> {
    let given = given.ok_or_else(|| bad("BAD_CONTEXT", "\"context\" is missing"))?;
    text("context", "BAD_CONTEXT", given)?.parse().map_err(|error| bad("BAD_CONTEXT", format!("\"context\": {error}")))
}

fn kind(given: Option<ScannedValue<'_>>) -> Result<Arc<str>, ApiError> {
    let given = given.ok_or_else(|| bad("BAD_TYPE", "\"type\" is missing"))?;
    let kind = text("type", "BAD_TYPE", given)?;
    if kind.is_empty() {
        return Err(bad("BAD_TYPE", "\"type\" is empty"));
    }
    short("type", "BAD_TYPE", &kind)?;
    Ok(kind.into())
}

fn state(
    key: Option<ScannedValue<'_>>,
    power_level: Option<ScannedValue<'_>>,
) -> Result<Option<(String, i64)>, ApiError> {
    let power = power_level.map(|given| {
        serde_json::from_str::<i64>(given.get())
            .map_err(|_| bad("BAD_POWER_LEVEL", "\"power_level\" is not an integer of 64 bits"))
    });
    let power = power.transpose()?;
    match (key, power) {
        (Some(key), power) => {
            let key = text("state_key", "BAD_STATE_KEY", key)?;
            short("state_key", "BAD_STATE_KEY", &key)?;
            Ok(Some((key, power.unwrap_or(0))))
        }
        (None, None) => Ok(None),
        (None, Some(_)) => Err(bad("BAD_POWER_LEVEL", "\"power_level\" requires \"state_key\"")),
    }
}

fn recipients(given: ScannedValue<'_>) -> Result<Vec<ServerName>, ApiError> {
    let NameList(names) = serde_json::from_str(given.get()).map_err(|error| {
        bad("BAD_TO", format!("\"to\" is not a list of server names: {}", json_error::words(&error)))
    })?;
    if names.is_empty() { Err(bad("BAD_TO", "\"to\" is empty")) } else { Ok(names) }
}

fn extra_keys(
    given: ScannedValue<'_>,
    slice: impl Fn(ScannedValue<'_>) -> Bytes,
) -> Result<Vec<(String, Bytes)>, ApiError> {
    let members = split_object(given.get().as_bytes())
        .map_err(|error| bad("BAD_EXTRA", format!("\"extra\" is not an object: {}", json_error::words(&error))))?;
    if members.len() > EXTRA_MAX {
        return Err(bad("BAD_EXTRA", format!("\"extra\" has more than {EXTRA_MAX} keys")));
    }
    let mut seen = HashSet::new();
    for (name, value) in &members {
        check_nesting(name, *value)?;
        if value.get() == "null" {
            return Err(bad("BAD_EXTRA", format!("{name:?} in \"extra\" is null, which a PDU treats as missing")));
        }
        if RESERVED.contains(&&**name) {
            return Err(bad("BAD_EXTRA", format!("{name:?} in \"extra\" is reserved, because every PDU has this key")));
        }
        if !seen.insert(&**name) {
            return Err(bad("BAD_EXTRA", format!("{name:?} is given twice in \"extra\"")));
        }
    }
    Ok(members.into_iter().map(|(name, value)| (name.into_owned(), slice(value))).collect())
}

#[cfg(test)]
mod tests {
    use actors::limits::PeerLimits;
    use actors::testkit::TestPeers;

    use super::*;
    use crate::json::nesting::nests_deeper_than;

    fn name(text: &str) -> ServerName {
        text.parse().expect("valid")
    }

    fn decoded(body: &str) -> Result<MessageBody, ApiError> {
        let body = Bytes::copy_from_slice(body.as_bytes());
        let members = split_object(&body).expect("an object");
        MessageBody::decode(&body, members, None)
    }

    /// Decodes a valid message with these members added.
    fn with(members: &str) -> Result<MessageBody, ApiError> {
        decoded(&format!(r#"{{"context":"c","type":"t","content":{{}}{members}}}"#))
    }

    #[test]
    fn message_content_keeps_exact_bytes() {
        let body = concat!(
            r##"{"context":"#r\u00f6om","type":"m.text","content":{ "n": 1208925819614629174706176, "z":1.0e2,"a":"\u00e9\/" },"##,
            r#""extra":{"zeta":[ 1E400 ],"\u0061lpha":false}}"#
        );
        let message = decoded(body).expect("sound");
        assert_eq!(message.context.as_str(), "#r\u{f6}om");
        let draft = message.draft("m-1".parse().expect("valid"), "p".parse().expect("valid"), Millis(7), &name("red"));
        assert_eq!(&*draft.kind, "m.text");
        assert_eq!(draft.content, r#"{ "n": 1208925819614629174706176, "z":1.0e2,"a":"\u00e9\/" }"#);
        let extra: Vec<_> = draft.extra.iter().map(|(name, text)| (name.as_str(), &**text)).collect();
        assert_eq!(extra, [("zeta", &b"[ 1E400 ]"[..]), ("alpha", b"false")]);
        assert_eq!((draft.state, draft.to, draft.accepted), (None, None, Millis(7)));
    }

    #[test]
    fn state_key_makes_message_state() {
        for content in ["0", "\"\"", "[]", "true"] {
            decoded(&format!(r#"{{"context":"c","type":"t","content":{content}}}"#)).expect(content);
        }
        let state = |members| with(members).expect(members).state;
        assert_eq!(state(r#","state_key":"""#), Some((String::new(), 0)));
        assert_eq!(state(r#","power_level":-9223372036854775808,"state_key":"k""#), Some(("k".into(), i64::MIN)));
        assert_eq!(state(r#","power_level":9223372036854775807,"state_key":"k""#), Some(("k".into(), i64::MAX)));
    }

    #[test]
    fn message_body_errors_map_to_codes() {
        for (members, status, code) in [
            (r#","contents":{}"#, 400, "UNKNOWN_KEY"),
            (r#","id":"m""#, 400, "UNKNOWN_KEY"),
            (r#","content":1"#, 400, "BAD_JSON"),
            (r#","state_key":7"#, 422, "BAD_STATE_KEY"),
            (r#","state_key":null"#, 422, "BAD_STATE_KEY"),
            (r#","state_key":"\ud800""#, 422, "BAD_STATE_KEY"),
            (r#","power_level":1"#, 422, "BAD_POWER_LEVEL"),
            (r#","state_key":"","power_level":"1""#, 422, "BAD_POWER_LEVEL"),
            (r#","state_key":"","power_level":1.0"#, 422, "BAD_POWER_LEVEL"),
            (r#","state_key":"","power_level":9223372036854775808"#, 422, "BAD_POWER_LEVEL"),
            (r#","to":null"#, 422, "BAD_TO"),
            (r#","to":[]"#, 422, "BAD_TO"),
            (r#","to":"blue""#, 422, "BAD_TO"),
            (r#","to":["b/c"]"#, 422, "BAD_TO"),
            (r#","extra":[]"#, 422, "BAD_EXTRA"),
            (r#","extra":{"a":null}"#, 422, "BAD_EXTRA"),
            (r#","extra":{"a":1,"a":1}"#, 422, "BAD_EXTRA"),
        ] {
            let refused = with(members).expect_err(members);
            assert_eq!((refused.status().as_u16(), refused.code()), (status, code), "{members}");
        }
        for (body, code) in [
            (r#"{"type":"t","content":1}"#, "BAD_CONTEXT"),
            (r#"{"context":"","type":"t","content":1}"#, "BAD_CONTEXT"),
            (r#"{"context":7,"type":"t","content":1}"#, "BAD_CONTEXT"),
            (r#"{"context":"c","content":1}"#, "BAD_TYPE"),
            (r#"{"context":"c","type":"","content":1}"#, "BAD_TYPE"),
            (r#"{"context":"c","type":null,"content":1}"#, "BAD_TYPE"),
            (r#"{"context":"c","type":"t"}"#, "BAD_CONTENT"),
            (r#"{"context":"c","type":"t","content":null}"#, "BAD_CONTENT"),
        ] {
            let refused = decoded(body).expect_err(body);
            assert_eq!((refused.status().as_u16(), refused.code()), (422, code), "{body}");
        }
    }

    #[test]
    fn deep_message_content_is_refused() {
        let deep = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        let push = format!(r#"{{"strong":[{{"update":"pdu","pdu":{{"content":{}}}}}],"seq":1}}"#, deep(96));
        assert!(!nests_deeper_than(NESTING_MAX, push.as_bytes()), "a peer accepts it");
        let content = |levels| decoded(&format!(r#"{{"context":"c","type":"t","content":{}}}"#, deep(levels)));
        let extra = |levels| with(&format!(r#","extra":{{"a":{}}}"#, deep(levels)));
        content(96).expect("the maximum depth");
        extra(96).expect("the maximum depth");
        for refused in [content(97), extra(97)] {
            let refused = refused.expect_err("too deep");
            assert_eq!((refused.status().as_u16(), refused.code()), (422, "NESTS_TOO_DEEP"), "{refused}");
        }
    }

    #[test]
    fn extra_rejects_reserved_pdu_keys() {
        for key in RESERVED {
            let refused = with(&format!(r#","extra":{{"{key}":1}}"#)).expect_err(key);
            assert_eq!((refused.status().as_u16(), refused.code()), (422, "BAD_EXTRA"), "{key}");
        }
        with(r#","extra":{"orig\u0069n":1}"#).expect_err("the same key, escaped");
        with(r#","extra":{"origins":1,"type":2,"for":3,"":4}"#).expect("keys with a meaning elsewhere only");
    }

    #[test]
    fn message_digest_ignores_json_formatting() {
        let digest = |body| decoded(body).expect(body).digest;
        let first = digest(r#"{"context":"c","type":"t","content":{"a":1,"b":"\u00e9"},"to":["blue"]}"#);
        assert_eq!(
            first,
            digest("{ \"to\":[\"blue\"],\"content\":{\"b\":\"\u{e9}\", \"a\":1},\"type\":\"t\",\"context\":\"c\"}")
        );
        for other in [
            r#"{"context":"c","type":"t","content":{"a":1,"b":"\u00e9"}}"#,
            r#"{"context":"c","type":"t","content":{"a":1,"b":"\u00e9"},"to":["green"]}"#,
            r#"{"context":"c","type":"t","content":{"a":1,"b":"\u00e9"},"to":["blue"],"state_key":""}"#,
            r#"{"context":"c","type":"t","content":{"a":1.0,"b":"\u00e9"},"to":["blue"]}"#,
            r#"{"context":"c","type":"t","content":{"a":1,"b":"\u00e9"},"to":["blue"],"extra":{}}"#,
        ] {
            assert_ne!(first, digest(other), "{other}");
        }
    }

    fn peers() -> TestPeers {
        let limits = |batch_bytes| PeerLimits { batch_bytes, ..PeerLimits::default() };
        TestPeers::none().accepting(name("blue"), limits(2_000)).accepting(name("green"), limits(1_050))
    }

    fn checked(participants: &[&str], body: &str) -> Result<(), String> {
        let participants: Vec<_> = participants.iter().map(|server| name(server)).collect();
        let peers = peers();
        let audience = MessageAudience::new(&participants, &peers);
        let checked = decoded(body).expect("sound").check(&audience, &name("red"));
        checked.map_err(|refused| format!("{} {} {refused}", refused.status().as_u16(), refused.code()))
    }

    #[test]
    fn oversized_message_names_limit_and_peer() {
        // 26 bytes of texts: 3 of "c" with its quotes, 3 of "t", 20 of content.
        let body = |rest| format!(r#"{{"context":"c","type":"t","content":"{:a<18}"{rest}}}"#, "");
        let extra = r#","extra":{}"#;
        assert_eq!(checked(&["blue", "green"], &body("")), Ok(()), "the maximum size");
        assert_eq!(
            checked(&["blue", "green", "grey"], &body(extra)),
            Err("413 TOO_LARGE the message has 28 bytes; with 1024 bytes for its envelope it exceeds batch_bytes of green (1050)"
                .into())
        );
        assert_eq!(checked(&["blue", "grey"], &body(extra)), Ok(()), "a server that is not a peer receives nothing");
        assert_eq!(checked(&["blue", "green"], &body(r#","extra":{},"to":["blue"]"#)), Ok(()), "only for blue");
        assert_eq!(checked(&[], &body(extra)), Ok(()), "no other participants");
    }

    #[test]
    fn recipient_must_be_participating_peer() {
        let to = |to| checked(&["blue", "grey"], &format!(r#"{{"context":"c","type":"t","content":1,"to":[{to}]}}"#));
        assert_eq!(to(r#""blue""#), Ok(()));
        assert_eq!(to(r#""blue","red""#), Ok(()), "this server always participates");
        assert_eq!(to(r#""red""#), Err("422 BAD_TO \"to\" names only this server".into()));
        assert_eq!(to(r#""blue","green""#), Err("422 NOT_A_PARTICIPANT green does not take part in c".into()));
        assert_eq!(to(r#""grey""#), Err("422 NOT_A_PEER grey is not a peer of this server".into()));
    }
}
