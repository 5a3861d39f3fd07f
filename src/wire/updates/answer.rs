//! The three responses to a push as JSON: `ok`, `hole_detected`, `wait`.

use std::time::Duration;

use actors::model::{
    Ack, BatchId, DeadLetterReason, ItemObjection, OutboundBatch, PushFailure, PushResponse, Receipt, Seq,
};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::http::error::whole_seconds;
use crate::http::json_error;
use crate::json::reader::put;
use crate::wire::receipts::OF_UPDATES;
use crate::wire::updates::scanned_push::SEQ_MAX;

/// Maximum characters of a peer's code that are kept.
const CODE_MAX: usize = 40;
const REASON_MAX: usize = 200;

/// Longest wait that is read: a peer that asks for more means "for ever", and our own limits cut it anyway.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(u32::MAX as u64);

/// Writes a response. `window` is the number of strong updates that we accept in a push; a `wait` says nothing about
/// the next push.
pub fn encode(Receipt { ack, parked, receipts, .. }: &Receipt, window: u32) -> String {
    match *ack {
        Ack::Ok(seq) => {
            let mut out = format!(r#"{{"receive":"ok","seq":{seq},"window":{window}"#).into_bytes();
            if !parked.is_empty() {
                let parked: Vec<(u64, &str)> = parked.iter().map(|(number, code)| (number.0, *code)).collect();
                out.extend_from_slice(b",\"parked\":");
                put(&mut out, &parked);
            }
            OF_UPDATES.write(&mut out, receipts);
            out.push(b'}');
            String::from_utf8_lossy(&out).into_owned()
        }
        Ack::Hole { expected, conflict: false } => {
            format!(r#"{{"receive":"hole_detected","seq":{expected},"window":{window}}}"#)
        }
        Ack::Hole { expected, conflict: true } => {
            format!(r#"{{"receive":"hole_detected","seq":{expected},"conflict":true,"window":{window}}}"#)
        }
        // These never occur as the response to a push; if they did, a retry would cost nothing.
        Ack::Taken | Ack::AcceptedUnparsedBody => encode(&Ack::Wait(Duration::from_secs(1)).into(), window),
        Ack::Wait(wait) => format!(r#"{{"receive":"wait","wait":{}}}"#, whole_seconds(wait)),
    }
}

/// Writes a `wait` with its reason, so that the peer's operator sees which limit was met. Readers that do not know
/// `reason` ignore it.
pub fn encode_wait(wait: Duration, reason: &str) -> String {
    let mut out = format!(r#"{{"receive":"wait","wait":{},"reason":"#, whole_seconds(wait)).into_bytes();
    put(&mut out, reason);
    out.push(b'}');
    String::from_utf8_lossy(&out).into_owned()
}

#[derive(Deserialize)]
struct PushAnswerJson<'a> {
    receive: String,
    seq: Option<Value>,
    wait: Option<Value>,
    window: Option<Value>,
    conflict: Option<Value>,
    parked: Option<Value>,
    reason: Option<Value>,
    #[serde(borrow)]
    delivered: Option<&'a RawValue>,
    #[serde(borrow)]
    delivered_pdus: Option<&'a RawValue>,
    #[serde(borrow)]
    rejected: Option<&'a RawValue>,
    #[serde(borrow)]
    rejected_pdus: Option<&'a RawValue>,
}

/// Reads the response to a batch. A value that could advance the cursor must be exact. `window`, `conflict`, `parked` and
/// `reason` with another type than ours count as absent, because other implementations may use these names differently.
pub fn decode(frame: &OutboundBatch, body: &Bytes) -> Result<PushResponse, PushFailure> {
    let wire: PushAnswerJson<'_> = json_error::object(body).map_err(|why| unreadable(format_args!("{why}")))?;
    let ack = match wire.receive.as_str() {
        "ok" => Ack::Ok(seq(wire.seq.as_ref())?),
        "hole_detected" => {
            Ack::Hole { expected: seq(wire.seq.as_ref())?, conflict: wire.conflict == Some(Value::Bool(true)) }
        }
        "wait" => Ack::Wait(wait(wire.wait.as_ref())?),
        other => return Err(unreadable(format_args!("receive is {:?}", shortened(other)))),
    };
    let parked = wire.parked.filter(|_| matches!(ack, Ack::Ok(_)));
    let entry = |entry: &Value| Some((entry.get(0)?.as_u64()?, entry.get(1)?.as_str()?.to_owned()));
    let entries = parked.as_ref().and_then(Value::as_array).into_iter().flatten().filter_map(entry);
    let refused = parked_items(frame, entries);
    let waits = matches!(ack, Ack::Wait(_));
    let reason =
        wire.reason.as_ref().filter(|_| waits).and_then(Value::as_str).map(|words| in_a_log(words, REASON_MAX));
    let receipts = OF_UPDATES.read(|key| match key {
        "delivered" => wire.delivered.map(Into::into),
        "delivered_pdus" => wire.delivered_pdus.map(Into::into),
        "rejected" => wire.rejected.map(Into::into),
        "rejected_pdus" => wire.rejected_pdus.map(Into::into),
        _ => None,
    });
    Ok(PushResponse { ack, window: wire.window.as_ref().and_then(window), refused, receipts, reason })
}

/// Returns the items of the batch that the peer has quarantined, by their numbers and codes. Numbers that the batch does not have
/// are ignored.
pub(super) fn parked_items(frame: &OutboundBatch, entries: impl Iterator<Item = (u64, String)>) -> Vec<ItemObjection> {
    let BatchId::SeqRange { last, .. } = frame.label else { return Vec::new() };
    let item = |(number, code): (u64, String)| {
        let behind = usize::try_from(last.0.checked_sub(number)?).ok()?;
        let place = frame.items.len().checked_sub(behind + 1)?;
        Some(ItemObjection { place, fate: DeadLetterReason::ParkedByPeer, reason: in_a_log(&code, CODE_MAX) })
    };
    entries.filter_map(item).collect()
}

/// Returns a peer's text, short enough for the trace and without control characters for the log.
fn in_a_log(words: &str, most: usize) -> String {
    words.chars().take(most).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

pub(super) fn unreadable(why: std::fmt::Arguments<'_>) -> PushFailure {
    PushFailure::Unreadable(why.to_string())
}

pub(super) fn shortened(text: &str) -> String {
    text.chars().take(CODE_MAX).collect()
}

fn seq(given: Option<&Value>) -> Result<Seq, PushFailure> {
    let read = given.and_then(Value::as_u64).filter(|n| *n <= SEQ_MAX);
    read.map(Seq).ok_or_else(|| unreadable(format_args!("seq is not an integer from 0 to {SEQ_MAX}")))
}

fn wait(given: Option<&Value>) -> Result<Duration, PushFailure> {
    let seconds = given.and_then(Value::as_f64).filter(|seconds| *seconds >= 0.0);
    let seconds = seconds.ok_or_else(|| unreadable(format_args!("wait is not a number of seconds")))?;
    Ok(Duration::try_from_secs_f64(seconds.ceil()).map_or(WAIT_MAX, |wait| wait.min(WAIT_MAX)))
}

fn window(given: &Value) -> Option<u32> {
    let window = given.as_u64().filter(|window| *window > 0)?;
    Some(u32::try_from(window).unwrap_or(u32::MAX))
}
