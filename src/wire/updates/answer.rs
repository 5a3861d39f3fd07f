//! The three answers to a push as JSON: `ok`, `hole_detected`, `wait`.

use std::time::Duration;

use actors::model::{Ack, Answered, PushFailure, Seq};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use crate::http::json_error;
use crate::http::refusal::whole_seconds;
use crate::wire::json::put;

/// Numbers end here, so that every reader, whatever its integers, agrees on them.
const SEQ_MAX: u64 = i64::MAX as u64;

/// What a wait longer than this is read as; whoever asks for it means "for ever", and limits of our own cut it anyway.
const WAIT_MAX: Duration = Duration::from_secs(u32::MAX as u64);

/// Write an answer. `window` is how many strong updates we take in a push; a `wait` promises nothing about the next push.
pub fn encode(ack: Ack, window: u32) -> String {
    match ack {
        Ack::Ok(seq) => format!(r#"{{"receive":"ok","seq":{seq},"window":{window}}}"#),
        Ack::Hole { expected, conflict: false } => {
            format!(r#"{{"receive":"hole_detected","seq":{expected},"window":{window}}}"#)
        }
        Ack::Hole { expected, conflict: true } => {
            format!(r#"{{"receive":"hole_detected","seq":{expected},"conflict":true,"window":{window}}}"#)
        }
        // Never the answer to a push; should it be, asking again costs nothing.
        Ack::Taken | Ack::TakenBlindly => encode(Ack::Wait(Duration::from_secs(1)), window),
        Ack::Wait(wait) => format!(r#"{{"receive":"wait","wait":{}}}"#, whole_seconds(wait)),
    }
}

/// Write a `wait`, and why: whoever runs the peer sees which limit it meets. Readers that know no `reason` pass it over.
pub fn encode_wait(wait: Duration, reason: &str) -> String {
    let mut out = format!(r#"{{"receive":"wait","wait":{},"reason":"#, whole_seconds(wait)).into_bytes();
    put(&mut out, reason);
    out.push(b'}');
    String::from_utf8_lossy(&out).into_owned()
}

#[derive(Deserialize)]
struct Wire {
    receive: String,
    seq: Option<Value>,
    wait: Option<Value>,
    window: Option<Value>,
    conflict: Option<Value>,
}

/// Read an answer. Whatever could be taken for an advance must be exactly that; `window` and `conflict` of another type than
/// ours are as if absent, since peers that never heard of them may use the names.
pub fn decode(body: &Bytes) -> Result<Answered, PushFailure> {
    let wire: Wire = json_error::object(body).map_err(|why| unreadable(format_args!("{why}")))?;
    let ack = match wire.receive.as_str() {
        "ok" => Ack::Ok(seq(wire.seq.as_ref())?),
        "hole_detected" => {
            Ack::Hole { expected: seq(wire.seq.as_ref())?, conflict: wire.conflict == Some(Value::Bool(true)) }
        }
        "wait" => Ack::Wait(wait(wire.wait.as_ref())?),
        other => return Err(unreadable(format_args!("receive is {:?}", shortened(other)))),
    };
    Ok(Answered { ack, window: wire.window.as_ref().and_then(window), refused: Vec::new() })
}

fn unreadable(why: std::fmt::Arguments<'_>) -> PushFailure {
    PushFailure::Unreadable(why.to_string())
}

fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
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
