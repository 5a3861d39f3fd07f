//! A push as JSON: its updates are read without being copied and written unchanged.

use std::collections::{HashSet, VecDeque};
use std::fmt;

use actors::model::{BatchId, CountedNoun, InboundPush, Item, OutboundBatch, Seq, StrongBody, StrongUpdate};
use bytes::{BufMut, Bytes, BytesMut};
use serde::Deserializer;
use serde::de::{Error, IgnoredAny, MapAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::scanned_push::{SEQ_MAX, ScannedPush, WEAK_KEPT_MAX};
use super::strong;
use crate::http::json_error;
use crate::json::nesting::BodyNestingLimit;
use crate::json::reader::{ArrayItems, LastArrayItems};
use crate::wire::pdu::PduReader;
use crate::wire::pdu::forward_text::carrying_update;
use crate::wire::receipts::OF_UPDATES;

/// Error: a body is not accepted as a push.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadPush {
    /// The bytes are not JSON.
    #[error("the body is not JSON: {0}")]
    NotJson(String),
    /// The bytes are not a message of the schema.
    #[error("the body is not a Protobuf push: {0}")]
    NotProtobuf(String),
    /// An update nests too deep.
    #[error("{0}")]
    TooDeep(String),
    /// The JSON is not a push.
    #[error("the body is not a push: {0}")]
    NotAPush(String),
    /// There are more strong updates than the limit.
    #[error("a push holds at most {} (peers.intake_items), this one has {count}", CountedNoun((*.max).into(), "strong update"))]
    TooLong {
        /// Number of strong updates.
        count: usize,
        /// Maximum number of strong updates.
        max: u32,
    },
}

/// Reads a push that nests within the limit. At most `max` strong updates are kept; memory does not grow with further ones.
///
/// A push that is valid and written as usual is read in one pass. Any other is read again by the parser, which says what is wrong.
pub async fn decode_within(
    body: &Bytes,
    (max, nesting): (u32, &BodyNestingLimit),
    pdus: &PduReader<'_>,
    verified: &'static str,
) -> Result<InboundPush, BadPush> {
    let Some(push) = ScannedPush::read(body, max as usize, nesting.levels()) else {
        nesting.check(body).map_err(|deep| BadPush::TooDeep(deep.to_string()))?;
        return decode(body, max, pdus, verified).await;
    };
    let ScannedPush { strong: scanned, weak, weak_count, seq, from_seq, receipts } = push;
    let mut strong: Vec<StrongUpdate> = Vec::with_capacity(scanned.len());
    for update in &scanned {
        let before = strong.last().and_then(|before| match &before.body {
            StrongBody::Pdu(pdu) => Some(&**pdu),
            _ => None,
        });
        let next = strong::read_scanned(body, update, pdus, before).await;
        strong.push(next);
    }
    let receipts = OF_UPDATES.read(|key| receipts.iter().find(|(name, _)| *name == key).map(|(_, value)| *value));
    Ok(InboundPush {
        from_seq,
        seq,
        strong,
        weak: weak_count,
        ephemeral: ephemeral(weak),
        receipts,
        verified,
        nonce: None,
    })
}

/// Returns the weak updates that are objects. They are copied, because an item that waits for a reader must not keep the whole body in
/// memory.
fn ephemeral<'a>(weak: impl IntoIterator<Item = &'a str>) -> Vec<Bytes> {
    let objects = weak.into_iter().filter(|text| text.starts_with('{'));
    objects.map(|text| Bytes::copy_from_slice(text.as_bytes())).collect()
}

/// Reads a push, whatever its depth: nothing here recurses. At most `max` strong updates are kept; memory does not grow with further ones.
pub async fn decode(
    body: &Bytes,
    max: u32,
    pdus: &PduReader<'_>,
    verified: &'static str,
) -> Result<InboundPush, BadPush> {
    let text = std::str::from_utf8(body).map_err(|bad| BadPush::NotJson(json_error::utf8(&bad)))?;
    let mut parser = serde_json::Deserializer::from_str(text);
    let envelope = parser
        .deserialize_map(PushReading { max: max as usize })
        .and_then(|envelope| parser.end().map(|()| envelope))
        .map_err(|error| match error.classify() {
            Category::Data => BadPush::NotAPush(json_error::words(&error)),
            Category::Syntax | Category::Eof | Category::Io => BadPush::NotJson(json_error::words(&error)),
        })?;
    if envelope.strong_count > envelope.strong.len() {
        return Err(BadPush::TooLong { count: envelope.strong_count, max });
    }
    let mut strong = Vec::with_capacity(envelope.strong.len());
    for raw in envelope.strong {
        strong.push(strong::read(body, raw.into(), pdus).await);
    }
    let receipts =
        OF_UPDATES.read(|key| envelope.receipts.iter().find(|(name, _)| name == key).map(|(_, value)| (*value).into()));
    let PushEnvelope { from_seq, seq, weak, weak_count, .. } = envelope;
    let ephemeral = ephemeral(weak.into_iter().map(RawValue::get));
    Ok(InboundPush { from_seq, seq, strong, weak: weak_count, ephemeral, receipts, verified, nonce: None })
}

struct PushEnvelope<'a> {
    strong: Vec<&'a RawValue>,
    strong_count: usize,
    /// The last weak updates.
    weak: VecDeque<&'a RawValue>,
    weak_count: usize,
    seq: Seq,
    from_seq: Option<Seq>,
    /// Members that may be receipts.
    receipts: Vec<(String, &'a RawValue)>,
}

/// Reads the envelope by hand: derived code would accept an unknown key twice, and two readers could then see two
/// different pushes in one body.
struct PushReading {
    max: usize,
}

impl<'de> Visitor<'de> for PushReading {
    type Value = PushEnvelope<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with seq, strong and weak")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut strong, mut strong_count, mut weak_count) = (Vec::new(), 0, 0);
        let (mut seq, mut from_seq, mut weak) = (None, None, VecDeque::new());
        let mut keys: HashSet<String> = HashSet::new();
        let mut receipts = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "strong" => strong_count = map.next_value_seed(ArrayItems { keep: self.max, kept: &mut strong })?,
                "weak" => weak_count = map.next_value_seed(LastArrayItems { keep: WEAK_KEPT_MAX, kept: &mut weak })?,
                "seq" => seq = Some(number(map.next_value()?, "seq")?),
                "from_seq" => from_seq = Some(number(map.next_value()?, "from_seq")?),
                name if OF_UPDATES.has(name) => receipts.push((name.to_owned(), map.next_value()?)),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            if let Some(twice) = keys.replace(key) {
                return Err(A::Error::custom(format_args!("the key {twice:?} is there twice")));
            }
        }
        let seq = seq.ok_or_else(|| A::Error::missing_field("seq"))?;
        Ok(PushEnvelope { strong, strong_count, weak, weak_count, seq, from_seq, receipts })
    }
}

fn number<E: Error>(given: &RawValue, key: &str) -> Result<Seq, E> {
    let read = given.get().parse::<u64>().ok().filter(|n| *n <= SEQ_MAX);
    read.map(Seq).ok_or_else(|| E::custom(format_args!("{key} is an integer from 0 to {SEQ_MAX}")))
}

/// Writes a push. Submitted updates are sent byte for byte; a PDU is wrapped in the update that carries it.
pub fn encode(frame: &OutboundBatch) -> Bytes {
    const AROUND: usize = 80;
    let items: usize = frame.items.iter().map(|item| item.bytes().len() + AROUND).sum();
    let weak: usize = frame.weak.iter().map(|weak| weak.content.len() + 1).sum();
    let mut body = BytesMut::with_capacity(items + weak + AROUND);
    body.put_u8(b'{');
    if !frame.weak.is_empty() {
        body.put_slice(b"\"weak\":[");
        list(&mut body, frame.weak.iter(), |body, weak| body.put_slice(&weak.content));
        body.put_slice(b"],");
    }
    body.put_slice(b"\"strong\":[");
    list(&mut body, frame.items.iter(), |body, item| match item {
        Item::Update(update) => body.put_slice(update),
        Item::Forward(_, text) => body.put_slice(&carrying_update(text)),
        Item::Pdu(_, pdu) => {
            body.put_slice(b"{\"update\":\"pdu\",\"pdu\":");
            body.put_slice(pdu);
            body.put_u8(b'}');
        }
    });
    let (first, last) = match frame.label {
        BatchId::SeqRange { first, last } => (first, last),
        BatchId::Transaction { id, .. } => (None, Seq(id)),
    };
    body.put_slice(format!("],\"seq\":{last}").as_bytes());
    if let Some(first) = first {
        body.put_slice(format!(",\"from_seq\":{first}").as_bytes());
    }
    let mut receipts = Vec::new();
    OF_UPDATES.write(&mut receipts, &frame.receipts);
    body.put_slice(&receipts);
    body.put_u8(b'}');
    body.freeze()
}

fn list<T>(body: &mut BytesMut, items: impl Iterator<Item = T>, write: impl Fn(&mut BytesMut, T)) {
    for (place, item) in items.enumerate() {
        if place > 0 {
            body.put_u8(b',');
        }
        write(body, item);
    }
}
