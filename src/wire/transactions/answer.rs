//! The response to a transaction as JSON: one result per PDU.

use actors::model::{
    Ack, DeadLetterReason, ForwardRoute, Item, ItemObjection, OutboundBatch, PduRef, PduVerdict, PeerReceipts,
    PushResponse, ServerName,
};
use bytes::Bytes;
use serde_json::value::RawValue;

use crate::json::reader;
use crate::json::reader::{ObjectMember, put};
use crate::json::scanner::ScannedValue;
use crate::wire::receipts::OF_TRANSACTIONS;

/// Maximum length of the reason of a refused PDU.
const WORDS_MAX: usize = 200;

/// The identity of a PDU in the response, as far as it could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PduIdentity {
    /// Id of the PDU.
    pub id: Option<String>,
    /// Origin of the PDU.
    pub origin: Option<String>,
}

/// The limits of a transaction that we state in the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnnouncedLimits {
    /// Maximum number of PDUs.
    pub pdus: u32,
    /// Maximum bytes of the whole body.
    pub bytes: usize,
}

/// Writes a response: one entry per PDU, in the order of the request.
pub fn encode<'a>(
    verdicts: impl Iterator<Item = (&'a PduIdentity, &'a PduVerdict)>,
    limits: AnnouncedLimits,
) -> Vec<u8> {
    let mut out = b"{\"pdus\":[".to_vec();
    for (place, (named, verdict)) in verdicts.enumerate() {
        if place > 0 {
            out.push(b',');
        }
        entry(&mut out, named, verdict);
    }
    let AnnouncedLimits { pdus, bytes } = limits;
    out.extend_from_slice(format!("],\"limits\":{{\"pdus\":{pdus},\"bytes\":{bytes}}}}}").as_bytes());
    out
}

/// Adds the servers to which the PDUs of the transaction are not passed on, each with the code.
pub fn with_refused_relays(mut answer: Vec<u8>, refused: &[(String, &'static str)]) -> Vec<u8> {
    if !refused.is_empty() && answer.pop() == Some(b'}') {
        answer.extend_from_slice(b",\"relay_refused\":");
        put(&mut answer, refused);
        answer.push(b'}');
    }
    answer
}

/// Adds receipts for items of the sender.
pub fn with_receipts(mut answer: Vec<u8>, receipts: &PeerReceipts) -> Vec<u8> {
    if !receipts.is_empty() && answer.pop() == Some(b'}') {
        OF_TRANSACTIONS.write(&mut answer, receipts);
        answer.push(b'}');
    }
    answer
}

fn entry(out: &mut Vec<u8>, named: &PduIdentity, verdict: &PduVerdict) {
    let status = |status| [("status", status)].to_vec();
    let said: Vec<(&str, &str)> = match verdict {
        PduVerdict::Accepted => status("accepted"),
        PduVerdict::Held => status("held"),
        PduVerdict::Duplicate => status("duplicate"),
        PduVerdict::Parked { code } => vec![("status", "parked"), ("code", code)],
        PduVerdict::Refused { code, reason } => vec![("error", reason), ("code", code)],
    };
    let names = [("pdu_id", &named.id), ("origin", &named.origin)];
    let names = names.into_iter().filter_map(|(key, name)| Some((key, name.as_deref()?)));
    out.push(b'{');
    for (place, (key, text)) in names.chain(said).enumerate() {
        if place > 0 {
            out.push(b',');
        }
        put(out, key);
        out.push(b':');
        put(out, text);
    }
    out.push(b'}');
}

/// Reads the response to a transaction of ours. A 200 accepts the transaction; the body only adds which PDUs were refused
/// or parked, and why. An entry that names a PDU of the request is about this PDU; otherwise its position counts. A body
/// that is not JSON accepts the transaction too, because old servers may send anything, but it is reported separately,
/// because a wrong server at the address answers 200 as well.
pub fn decode(frame: &OutboundBatch, body: &Bytes) -> PushResponse {
    let is_said = body.is_empty() || serde_json::from_slice::<&RawValue>(body).is_ok();
    let ack = if is_said { Ack::Taken } else { Ack::AcceptedUnparsedBody };
    let (refused, receipts) = (refused(frame, body).unwrap_or_default(), receipts(body).unwrap_or_default());
    PushResponse { ack, window: stated_window(body), refused, receipts, reason: None }
}

/// Returns the number of PDUs that the peer accepts in a transaction, if it states one.
fn stated_window(body: &Bytes) -> Option<u32> {
    let members = reader::members(std::str::from_utf8(body).ok()?).ok()?;
    let limits = reader::members(reader::get(&members, "limits")?.get()).ok()?;
    let stated = reader::get(&limits, "pdus")?.get().parse::<u64>().ok().filter(|pdus| *pdus > 0)?;
    Some(u32::try_from(stated).unwrap_or(u32::MAX))
}

fn receipts(body: &Bytes) -> Option<PeerReceipts> {
    let whole: &RawValue = serde_json::from_slice(body).ok()?;
    let members = reader::members(whole.get()).ok()?;
    Some(OF_TRANSACTIONS.read(|key| reader::get(&members, key)))
}

fn refused(frame: &OutboundBatch, body: &Bytes) -> Option<Vec<ItemObjection>> {
    let whole: &RawValue = serde_json::from_slice(body).ok()?;
    let members = reader::members(whole.get()).unwrap_or_default();
    if let Some(code) = frame.items.first().and_then(Item::route).and_then(|route| relay_refusal(&members, route)) {
        let all = 0..frame.items.len();
        let objection = |place| ItemObjection { place, fate: DeadLetterReason::Refused, reason: code.clone() };
        return Some(all.map(objection).collect());
    }
    let sent: Vec<(usize, &PduRef)> = frame
        .items
        .iter()
        .enumerate()
        .filter_map(|(place, item)| match item {
            Item::Pdu(reference, _) => Some((place, reference)),
            Item::Update(_) | Item::Forward(..) => None,
        })
        .collect();
    let list = if whole.get().starts_with('[') { whole.into() } else { reader::get(&members, "pdus")? };
    let (entries, count) = reader::items(list, sent.len())?;
    let about = |place: usize, members: &[ObjectMember<'_>]| {
        let named = sent.iter().find(|(_, reference)| is_named(reference, members));
        let meant = named.or_else(|| sent.get(place).filter(|_| count == sent.len() && is_nameless(members)));
        meant.map(|(place, _)| *place)
    };
    let read = |(place, entry): (usize, ScannedValue<'_>)| {
        let members = reader::members(entry.get()).ok()?;
        let error = reader::get(&members, "error").filter(|error| error.get() != "null");
        let (fate, reason) = match error {
            Some(error) => (DeadLetterReason::Refused, words(error, &members)),
            None if text_of(&members, "status").as_deref() == Some("parked") => (
                DeadLetterReason::ParkedByPeer,
                short(&text_of(&members, "code").unwrap_or_else(|| "PARKED".to_owned())),
            ),
            None => return None,
        };
        Some(ItemObjection { place: about(place, &members)?, fate, reason })
    };
    Some(entries.into_iter().enumerate().filter_map(read).collect())
}

/// Returns the code with which the peer refuses to pass on to the destination, if it does.
fn relay_refusal(members: &[ObjectMember<'_>], route: &ForwardRoute) -> Option<String> {
    let refused: Vec<(String, String)> = serde_json::from_str(reader::get(members, "relay_refused")?.get()).ok()?;
    let is_this = |server: &String| server.parse::<ServerName>().is_ok_and(|name| name == route.destination);
    refused.into_iter().find(|(server, _)| is_this(server)).map(|(_, code)| short(&code))
}

fn text_of(members: &[ObjectMember<'_>], key: &str) -> Option<String> {
    reader::text(reader::get(members, key)?.text).map(Into::into)
}

fn is_named(reference: &PduRef, members: &[ObjectMember<'_>]) -> bool {
    text_of(members, "pdu_id").as_deref() == Some(reference.id.as_str())
        && text_of(members, "origin").is_some_and(|origin| origin.eq_ignore_ascii_case(reference.origin.as_str()))
}

/// Returns whether an entry names no PDU: old servers name none, so only the position identifies it.
fn is_nameless(members: &[ObjectMember<'_>]) -> bool {
    reader::get(members, "pdu_id").is_none()
}

/// Returns the peer's message, short enough for the trace and without control characters for the log.
fn words(error: ScannedValue<'_>, members: &[ObjectMember<'_>]) -> String {
    let said = reader::text(error.text).unwrap_or_else(|| error.get().into());
    let code = text_of(members, "code").map(|code| format!("{code}: ")).unwrap_or_default();
    short(&format!("{code}{said}"))
}

fn short(line: &str) -> String {
    line.chars().map(|c| if c.is_control() { ' ' } else { c }).take(WORDS_MAX).collect()
}
