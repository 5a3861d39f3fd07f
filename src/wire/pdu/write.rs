//! Writes PDUs in the form in which they are stored and sent.

use actors::limits::PairOrder;
use actors::model::{ContextId, PduRef};
use bytes::Bytes;

use super::PARENTS_MAX;
use crate::json::reader;
use crate::json::reader::{put, put_text};
use crate::json::scanner::ScannedValue;

/// A PDU to be written.
pub(super) struct WrittenPdu<'a> {
    pub(super) reference: &'a PduRef,
    pub(super) context: &'a ContextId,
    /// Time as a JSON number.
    pub(super) ts: &'a str,
    pub(super) kind: &'a str,
    pub(super) prev: &'a [PduRef],
    pub(super) depth: Option<u64>,
    pub(super) state: Option<WrittenState<'a>>,
    /// True if `is_state` stays absent, because the PDU was signed without it.
    pub(super) omits_is_state: bool,
    /// JSON list of the recipients, if the PDU is narrowed.
    pub(super) to: Option<&'a str>,
    /// Content as a JSON text.
    pub(super) content: &'a [u8],
}

/// The state that a PDU sets.
pub(super) struct WrittenState<'a> {
    pub(super) key: &'a str,
    pub(super) power: Option<i64>,
    pub(super) prev: Option<&'a PduRef>,
}

impl WrittenPdu<'_> {
    /// Returns the JSON text. `further` are keys and values as JSON texts; `about` is an estimate of the length.
    pub(super) fn bytes<'f>(&self, further: impl Iterator<Item = (&'f [u8], &'f [u8])>, about: usize) -> Bytes {
        const AROUND: usize = 64;
        let mut out = Vec::with_capacity(about + AROUND);
        out.extend_from_slice(b"{\"pdu_id\":");
        put_text(&mut out, self.reference.id.as_str());
        key(&mut out, b"origin");
        put_text(&mut out, self.reference.origin.as_str());
        key(&mut out, b"context");
        put_text(&mut out, self.context.as_str());
        key(&mut out, b"ts");
        out.extend_from_slice(self.ts.as_bytes());
        key(&mut out, b"pdu_type");
        put_text(&mut out, self.kind);
        key(&mut out, b"prev_pdus");
        parents(&mut out, self.prev);
        if let Some(depth) = self.depth {
            key(&mut out, b"depth");
            put(&mut out, &depth);
        }
        if !self.omits_is_state {
            key(&mut out, b"is_state");
            put(&mut out, &self.state.is_some());
        }
        if let Some(state) = &self.state {
            state.write(&mut out);
        }
        if let Some(to) = self.to {
            key(&mut out, b"to");
            out.extend_from_slice(to.as_bytes());
        }
        key(&mut out, b"content");
        out.extend_from_slice(self.content);
        for (written, value) in further {
            out.push(b',');
            out.extend_from_slice(written);
            out.push(b':');
            out.extend_from_slice(value);
        }
        out.push(b'}');
        out.into()
    }
}

impl WrittenState<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        key(out, b"state_key");
        put_text(out, self.key);
        if let Some(power) = self.power {
            key(out, b"power_level");
            put(out, &power);
        }
        if let Some(prev) = self.prev {
            key(out, b"prev_state_id");
            put_text(out, prev.id.as_str());
            key(out, b"prev_state_origin");
            put_text(out, prev.origin.as_str());
        }
    }
}

fn key(out: &mut Vec<u8>, key: &[u8]) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(key);
    out.extend_from_slice(b"\":");
}

fn parents(out: &mut Vec<u8>, parents: &[PduRef]) {
    out.push(b'[');
    for (place, parent) in parents.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        out.push(b'[');
        put_text(out, parent.origin.as_str());
        out.push(b',');
        put_text(out, parent.id.as_str());
        out.push(b']');
    }
    out.push(b']');
}

/// Returns a stored PDU as it is sent to one peer: with its pairs in the order that this peer reads, and with this
/// depth if its own text has none (servers of 2014 drop a PDU without a depth). All other bytes stay as stored.
pub fn shown(pdu: &Bytes, depth: Option<u64>, pairs: PairOrder) -> Bytes {
    if depth.is_none() && pairs == PairOrder::OriginFirst {
        return pdu.clone();
    }
    let text = std::str::from_utf8(pdu).ok();
    let Some(members) = text.and_then(|text| reader::members(text).ok()) else { return pdu.clone() };
    let depth = depth.filter(|_| reader::get(&members, "depth").is_none());
    if depth.is_none() && pairs == PairOrder::OriginFirst {
        return pdu.clone();
    }
    let mut out = Vec::with_capacity(pdu.len() + 32);
    for member in &members {
        out.push(if out.is_empty() { b'{' } else { b',' });
        out.extend_from_slice(member.written.as_bytes());
        out.push(b':');
        match member.key.as_ref() {
            "prev_pdus" => {
                swapped(&mut out, member.value, pairs);
                if let Some(depth) = depth {
                    key(&mut out, b"depth");
                    put(&mut out, &depth);
                }
            }
            _ => out.extend_from_slice(member.value.get().as_bytes()),
        }
    }
    out.push(b'}');
    out.into()
}

/// Writes the pairs in the requested order: as stored, or each swapped.
fn swapped(out: &mut Vec<u8>, stored: ScannedValue<'_>, pairs: PairOrder) {
    let pair = |value| match reader::items(value, 2) {
        Some((elements, 2)) => Some([elements[1], elements[0]]),
        _ => None,
    };
    let listed = reader::items(stored, PARENTS_MAX).filter(|_| pairs == PairOrder::IdFirst);
    let turned = listed.and_then(|(listed, _)| listed.into_iter().map(pair).collect::<Option<Vec<_>>>());
    match turned {
        Some(turned) => {
            out.push(b'[');
            for (place, [first, second]) in turned.iter().enumerate() {
                out.extend_from_slice(if place > 0 { b",[" } else { b"[" });
                out.extend_from_slice(first.text.as_bytes());
                out.push(b',');
                out.extend_from_slice(second.text.as_bytes());
                out.push(b']');
            }
            out.push(b']');
        }
        None => out.extend_from_slice(stored.get().as_bytes()),
    }
}
