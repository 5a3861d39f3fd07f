//! A push as Protobuf.

use std::collections::VecDeque;

use actors::model::{BatchId, InboundPush, Item, OutboundBatch, ParkedCode, Seq, StrongBody, StrongUpdate};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::encoding::{
    DecodeContext, WireType, check_wire_type, decode_key, decode_varint, encode_key, encode_varint, encoded_len_varint,
    skip_field,
};
use prost::{DecodeError, Message};
use serde_json::value::RawValue;

use crate::json::nesting::BodyNestingLimit;
use crate::json::reader::{digest, put as put_json};
use crate::wire::pdu::PduReader;
use crate::wire::pdu::forward_text::carrying_update;
use crate::wire::updates::envelope::BadPush;
use crate::wire::updates::protobuf::answer::{ranges, reasons, receipts};
use crate::wire::updates::protobuf::messages::{RangeMessage, ReasonMessage};
use crate::wire::updates::scanned_push::{SEQ_MAX, WEAK_KEPT_MAX};
use crate::wire::updates::strong;

const WEAK: u32 = 1;
const STRONG: u32 = 2;
const SEQ: u32 = 3;
const FROM_SEQ: u32 = 4;
const DELIVERED: u32 = 5;
const REJECTED: u32 = 6;

/// Maximum number of entries that are read of each list of receipts.
const RECEIPTS_MAX: usize = 1_000;

/// Maximum bytes that are kept of a strong update that is not JSON.
const SHOWN_MAX: usize = 4 << 10;

/// Text around a PDU in the update that carries it.
const PDU_BEFORE: &[u8] = b"{\"update\":\"pdu\",\"pdu\":";
const PDU_AFTER: &[u8] = b"}";

/// The fields of a push, with no more updates than are accepted.
#[derive(Default)]
struct PushFields {
    strong: Vec<Bytes>,
    strong_count: usize,
    weak: VecDeque<Bytes>,
    weak_count: usize,
    seq: u64,
    from_seq: Option<u64>,
    delivered: Vec<RangeMessage>,
    rejected: Vec<ReasonMessage>,
}

/// Reads a push. At most `max` strong updates are kept; memory does not grow with further ones. A number that is absent is 0.
pub async fn decode(
    body: &Bytes,
    max: u32,
    nesting: &BodyNestingLimit,
    pdus: &PduReader<'_>,
    verified: &'static str,
) -> Result<InboundPush, BadPush> {
    let fields = read_fields(body.clone(), max as usize).map_err(|error| BadPush::NotProtobuf(error.to_string()))?;
    if fields.strong_count > fields.strong.len() {
        return Err(BadPush::TooLong { count: fields.strong_count, max });
    }
    let seq = number(fields.seq, "seq")?;
    let from_seq = fields.from_seq.map(|first| number(first, "from_seq")).transpose()?;
    let mut strong = Vec::with_capacity(fields.strong.len());
    for item in fields.strong {
        nesting.check(&item).map_err(|deep| BadPush::TooDeep(deep.to_string()))?;
        strong.push(match json_text(&item) {
            Some(raw) => strong::read(&item, raw.into(), pdus).await,
            None => not_json(&item),
        });
    }
    let objects = fields.weak.iter().filter(|item| nesting.check(item).is_ok()).filter_map(json_text);
    // They are copied, because an item that waits for a reader must not keep the whole body in memory.
    let ephemeral = objects.map(|raw| raw.get().as_bytes()).filter(|text| text.starts_with(b"{"));
    let ephemeral = ephemeral.map(Bytes::copy_from_slice).collect();
    let receipts = receipts(fields.delivered, fields.rejected);
    Ok(InboundPush { from_seq, seq, strong, weak: fields.weak_count, ephemeral, receipts, verified, nonce: None })
}

/// Reads the fields; unknown ones are skipped, and of a number that is there twice the last counts.
fn read_fields(mut body: Bytes, max: usize) -> Result<PushFields, DecodeError> {
    let mut fields = PushFields::default();
    while body.has_remaining() {
        let (tag, wire_type) = decode_key(&mut body)?;
        match tag {
            WEAK => {
                fields.weak_count += 1;
                if fields.weak.len() == WEAK_KEPT_MAX {
                    fields.weak.pop_front();
                }
                fields.weak.push_back(bytes_field(wire_type, &mut body)?);
            }
            STRONG => {
                let item = bytes_field(wire_type, &mut body)?;
                fields.strong_count += 1;
                if fields.strong.len() < max {
                    fields.strong.push(item);
                }
            }
            SEQ => fields.seq = number_field(wire_type, &mut body)?,
            FROM_SEQ => fields.from_seq = Some(number_field(wire_type, &mut body)?),
            DELIVERED => {
                let range = RangeMessage::decode(bytes_field(wire_type, &mut body)?)?;
                fields.delivered.push(range);
                fields.delivered.truncate(RECEIPTS_MAX);
            }
            REJECTED => {
                let reason = ReasonMessage::decode(bytes_field(wire_type, &mut body)?)?;
                fields.rejected.push(reason);
                fields.rejected.truncate(RECEIPTS_MAX);
            }
            _ => skip_field(wire_type, tag, &mut body, DecodeContext::default())?,
        }
    }
    Ok(fields)
}

/// Reads a field of bytes as a part of the body, without a copy.
fn bytes_field(wire_type: WireType, body: &mut Bytes) -> Result<Bytes, DecodeError> {
    check_wire_type(WireType::LengthDelimited, wire_type)?;
    let length = decode_varint(body)?;
    match usize::try_from(length) {
        Ok(length) if length <= body.len() => Ok(body.split_to(length)),
        // The library has no public constructor for its errors; a read beyond the end gives the fitting one.
        _ => Err(cut_message()),
    }
}

fn cut_message() -> DecodeError {
    let mut cut: &[u8] = &[0x80];
    decode_varint(&mut cut).expect_err("a varint without its last byte")
}

fn number_field(wire_type: WireType, body: &mut Bytes) -> Result<u64, DecodeError> {
    check_wire_type(WireType::Varint, wire_type)?;
    decode_varint(body)
}

fn number(given: u64, key: &str) -> Result<Seq, BadPush> {
    match given <= SEQ_MAX {
        true => Ok(Seq(given)),
        false => Err(BadPush::NotAPush(format!("{key} is an integer from 0 to {SEQ_MAX}"))),
    }
}

/// Returns the JSON value that an item is, without white space around it.
fn json_text(item: &Bytes) -> Option<&RawValue> {
    serde_json::from_slice(item).ok()
}

/// Returns a strong update that is no JSON. It lies in quarantine as a JSON string, because its bytes would break the JSON in
/// which an operator reads them.
fn not_json(item: &Bytes) -> StrongUpdate {
    let body = StrongBody::Unsound(ParkedCode::NotAnObject, "a strong update is a JSON object, this one is not JSON");
    let mut shown = Vec::new();
    put_json(&mut shown, &*String::from_utf8_lossy(&item[..item.len().min(SHOWN_MAX)]));
    StrongUpdate { digest: digest(item), bytes: shown.into(), body }
}

/// Writes a push. Submitted updates are sent byte for byte; a PDU is wrapped in the update that carries it.
pub fn encode(frame: &OutboundBatch) -> Bytes {
    const AROUND: usize = 40;
    let items: usize = frame.items.iter().map(|item| item.bytes().len() + AROUND).sum();
    let weak: usize = frame.weak.iter().map(|weak| weak.content.len() + AROUND).sum();
    let mut body = BytesMut::with_capacity(items + weak + AROUND);
    for weak in &frame.weak {
        put(&mut body, WEAK, &[&weak.content]);
    }
    for item in &frame.items {
        match item {
            Item::Update(update) => put(&mut body, STRONG, &[update]),
            Item::Forward(_, text) => put(&mut body, STRONG, &[&carrying_update(text)]),
            Item::Pdu(_, pdu) => put(&mut body, STRONG, &[PDU_BEFORE, pdu, PDU_AFTER]),
        }
    }
    let (first, last) = match frame.label {
        BatchId::SeqRange { first, last } => (first, last),
        BatchId::Transaction { id, .. } => (None, Seq(id)),
    };
    if last.0 > 0 {
        encode_key(SEQ, WireType::Varint, &mut body);
        encode_varint(last.0, &mut body);
    }
    // It is `optional` in the schema, so that 0 is written.
    if let Some(first) = first {
        encode_key(FROM_SEQ, WireType::Varint, &mut body);
        encode_varint(first.0, &mut body);
    }
    for range in ranges(&frame.receipts) {
        put(&mut body, DELIVERED, &[&range.encode_to_vec()]);
    }
    for reason in reasons(&frame.receipts) {
        put(&mut body, REJECTED, &[&reason.encode_to_vec()]);
    }
    body.freeze()
}

/// Writes a field of bytes in parts.
fn put(body: &mut BytesMut, tag: u32, parts: &[&[u8]]) {
    let length = parts.iter().map(|part| part.len() as u64).sum();
    body.reserve(encoded_len_varint(length) + 1);
    encode_key(tag, WireType::LengthDelimited, body);
    encode_varint(length, body);
    parts.iter().for_each(|part| body.put_slice(part));
}
