//! An ephemeral item as the messenger sees it.

use std::time::Duration;

use actors::model::{InboundEphemeral, Millis, ServerName};
use bytes::Bytes;
use tokio::time::Instant;

use crate::json::reader;
use crate::json::scanner::ScannedValue;
use crate::json::writer::RawObjectWriter;
use crate::messenger::answer::rfc3339;

/// Members that identify the subject of an item: of items that agree in all of them, only the newest is shown.
const SUBJECT: [&str; 3] = ["user_id", "peer", "room_id"];

/// An event of the kind `ephemeral`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct EphemeralEvent {
    /// Peer that sent the item.
    pub(super) from: ServerName,
    /// Key of the item: a newer one with the same key replaces it. `None`: none does.
    pub(super) key: Option<Box<str>>,
    /// Time after which the item is not shown any more; `None`: it is the end of an item.
    pub(super) until: Option<Instant>,
    /// The event as JSON.
    pub(crate) text: Bytes,
}

/// An item with what has been read of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EphemeralItemRead {
    item: InboundEphemeral,
    /// Kind of the item, `update` or `edu_type`.
    pub(super) kind: Option<Box<str>>,
    /// Key of the item among those of its sender.
    pub(super) key: Option<Box<str>>,
    /// True if it states that something has ended.
    pub(super) is_end: bool,
    /// Lifetime that the sender states.
    ttl: Option<Duration>,
}

impl EphemeralItemRead {
    /// Reads an item. Of a content that is no object nothing is known.
    pub(super) fn new(item: InboundEphemeral) -> Self {
        let content = match &item {
            InboundEphemeral::Update(update) => update,
            InboundEphemeral::Edu(edu) => &edu.content,
        };
        let text = std::str::from_utf8(content).unwrap_or_default();
        let members = reader::members(text).unwrap_or_default();
        let member = |name: &str| reader::get(&members, name);
        let kind: Option<Box<str>> = match &item {
            InboundEphemeral::Update(_) => {
                member("update").and_then(|kind| reader::text(kind.text)).map(|kind| kind.into())
            }
            InboundEphemeral::Edu(edu) => Some(edu.kind.as_str().into()),
        };
        let key = match member("key").and_then(|key| reader::text(key.text)) {
            // JSON texts contain no NUL, so the parts cannot be confused.
            Some(key) => Some(format!("key\0{key}").into()),
            None => {
                let subject: Vec<(&str, ScannedValue<'_>)> =
                    SUBJECT.into_iter().filter_map(|name| Some((name, member(name)?))).collect();
                (!subject.is_empty()).then(|| {
                    let mut key = format!("kind\0{}", kind.as_deref().unwrap_or_default());
                    subject.iter().for_each(|(name, value)| key.extend(["\0", *name, "\0", value.get()]));
                    key.into()
                })
            }
        };
        let is_end = member("typing").is_some_and(|typing| typing.get() == "false");
        let ttl = member("ttl").and_then(|ttl| read_lifetime(ttl.text));
        Self { kind, key, is_end, ttl, item }
    }

    /// Returns the bytes of the item.
    pub(super) fn size(&self) -> usize {
        match &self.item {
            InboundEphemeral::Update(update) => update.len(),
            InboundEphemeral::Edu(edu) => edu.content.len(),
        }
    }

    /// Returns the time for which the item is shown: what it states, and at most that of its peer.
    pub(super) fn lifetime(&self, most: Duration) -> Duration {
        self.ttl.map_or(most, |ttl| ttl.min(most))
    }

    /// Returns the event of the item.
    pub(super) fn event(&self, from: &ServerName, time: Millis, until: Instant) -> EphemeralEvent {
        EphemeralEvent { until: Some(until), ..self.shown(from, time, false) }
    }

    /// Returns the event that the item has ended.
    pub(super) fn ended(&self, from: &ServerName, time: Millis) -> EphemeralEvent {
        self.shown(from, time, true)
    }

    fn shown(&self, from: &ServerName, time: Millis, ended: bool) -> EphemeralEvent {
        let mut text = Vec::new();
        let mut event = RawObjectWriter::begin(&mut text);
        event.member("kind", "ephemeral");
        event.member("from", from.as_str());
        event.member("time", &rfc3339(time));
        match &self.item {
            InboundEphemeral::Update(update) => event.raw("update", update),
            InboundEphemeral::Edu(edu) => {
                event.member("type", &edu.kind);
                event.raw("content", &edu.content);
            }
        }
        if ended {
            event.member("ended", &true);
        }
        event.end();
        EphemeralEvent { from: from.clone(), key: self.key.clone(), until: None, text: text.into() }
    }
}

/// Reads a lifetime: a text with a unit, or a number of seconds above 0.
pub(crate) fn read_lifetime(written: &str) -> Option<Duration> {
    let text: Result<String, _> = serde_json::from_str(written);
    let ttl = match text {
        Ok(text) => humantime::parse_duration(&text).ok(),
        Err(_) => serde_json::from_str(written).ok().map(Duration::from_secs),
    };
    ttl.filter(|ttl| !ttl.is_zero())
}
