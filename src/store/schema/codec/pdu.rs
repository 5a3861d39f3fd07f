//! Codec of PDU rows: references, and the columns beside the bytes.

use actors::model::{
    Delivery, FeedFlags, FeedPdu, HeldPdu, Millis, ParkedWhat, PduRef, PduState, PendingParents, Seq, ServerName,
    StoredPdu,
};
use actors::ports::{PduStatus, ServedPdu};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::state::slot_from_row;
use super::text::{narrowed_to, stated_depth};
use super::value::{BadRow, context_id, interned, name, refs_from_row};
use crate::store::schema::codec::columns::{HeldValue, PduValue};

/// An owned copy of a row of `pdus`: a row cannot be changed while it is borrowed from the table.
pub(crate) struct OwnedPdu {
    context: String,
    delivered: bool,
    depth: u64,
    sender: String,
    verified: String,
    since: u64,
    prev: Vec<u8>,
    bytes: Vec<u8>,
}

impl OwnedPdu {
    pub(crate) fn from_row(row: PduValue<'_>) -> Self {
        let PduValue { context, delivered, depth, sender, verified, since, prev, bytes } = row;
        Self {
            context: context.to_owned(),
            delivered,
            depth,
            sender: sender.to_owned(),
            verified: verified.to_owned(),
            since,
            prev: prev.to_vec(),
            bytes: bytes.to_vec(),
        }
    }

    pub(crate) fn row(&self) -> PduValue<'_> {
        let Self { context, delivered, depth, sender, verified, since, prev, bytes } = self;
        let (delivered, depth, since) = (*delivered, *depth, *since);
        PduValue { context, delivered, depth, sender, verified, since, prev, bytes }
    }

    /// Returns whether the PDU is held in this context.
    pub(crate) fn waits_in(&self, context: &str) -> bool {
        !self.delivered && self.context == context
    }

    /// Marks the PDU as delivered at this time.
    pub(crate) fn deliver(&mut self, delivery: &Delivery, at: u64) {
        (self.delivered, self.depth, self.since) = (true, delivery_depth(delivery), at);
    }

    /// Returns whether the PDU was delivered in this context before that time and still has its text.
    pub(crate) fn may_be_forgotten(&self, context: &str, before: u64) -> bool {
        self.delivered && self.context == context && self.since < before && !self.bytes.is_empty()
    }

    /// Sets the delivery time to this time, because the PDU is queued once more.
    pub(crate) fn again(&mut self, at: u64) {
        self.since = at;
    }
}

/// Encodes a PDU. `prev` is [`refs_to_row`] of its parents; `at` is the delivery time, used if it is delivered.
pub(crate) fn pdu_to_row<'a>(stored: &'a StoredPdu, prev: &'a [u8], at: u64) -> PduValue<'a> {
    let (delivered, depth, since) = match &stored.standing {
        PduState::Delivered(delivery) => (true, delivery_depth(delivery), at),
        PduState::Held(_) => (false, 0, stored.received.0),
        // A `Named` PDU comes without a text, so its row is that of a pruned one.
        PduState::Named { depth } => (true, *depth, at),
    };
    let sender = stored.sender.as_ref().map_or("", ServerName::as_str);
    let (pdu, verified) = (&stored.pdu, stored.verified);
    PduValue { context: pdu.context.as_str(), delivered, depth, sender, verified, since, prev, bytes: &pdu.bytes }
}

/// Returns the row of a pruned PDU: only context, status, depth and time remain.
pub(crate) fn forgotten(row: PduValue<'_>) -> PduValue<'_> {
    PduValue { sender: "", verified: "", prev: &[], bytes: &[], ..row }
}

/// Returns whether a PDU has been pruned: all others have a text.
pub(crate) fn is_forgotten(row: PduValue<'_>) -> bool {
    row.bytes.is_empty()
}

pub(crate) fn known(row: PduValue<'_>) -> Result<PduStatus, BadRow> {
    let PduValue { context, delivered, depth, .. } = row;
    let context = context_id("pdus", context)?;
    let history = depth & MARK != 0;
    Ok(if delivered {
        PduStatus::Delivered { context, depth: unmarked(depth), history }
    } else {
        PduStatus::Held { context }
    })
}

/// Decodes a PDU for a peer; `None` if it is pruned.
pub(crate) fn served(row: PduValue<'_>) -> Result<Option<ServedPdu>, BadRow> {
    if is_forgotten(row) {
        return Ok(None);
    }
    let PduValue { context, delivered, depth, bytes, .. } = row;
    let context = context_id("pdus", context)?;
    let (to, bytes) = (narrowed_to(bytes), Bytes::copy_from_slice(bytes));
    Ok(Some(ServedPdu { context, depth: unmarked(depth), delivered, to, bytes }))
}

/// Decodes the parents of a PDU, in its order.
pub(crate) fn parents(row: PduValue<'_>) -> Result<Vec<PduRef>, BadRow> {
    refs_from_row("pdus", row.prev)
}

pub(crate) fn fed(reference: PduRef, shown: FeedFlags, row: PduValue<'_>) -> Result<FeedPdu, BadRow> {
    let PduValue { context, depth, sender, verified, bytes, .. } = row;
    Ok(FeedPdu {
        reference,
        context: context_id("pdus", context)?,
        depth: unmarked(depth),
        sender: server(sender)?,
        verified: verified.to_owned(),
        shown,
        bytes: Bytes::copy_from_slice(bytes),
    })
}

/// The highest bit of the column `depth`: in `pdus` it marks a PDU delivered as history, in `held` one fetched for state.
/// No context is that deep.
const MARK: u64 = 1 << 63;

fn marked(depth: u64, mark: bool) -> u64 {
    if mark { depth | MARK } else { unmarked(depth) }
}

/// Returns the depth in a column without its mark.
pub(crate) const fn unmarked(depth: u64) -> u64 {
    depth & !MARK
}

fn delivery_depth(delivery: &Delivery) -> u64 {
    marked(delivery.depth, delivery.is_history())
}

/// Returns the column `depth` of a row of `held`.
pub(crate) fn hold_depth(hold: &PendingParents) -> u64 {
    marked(hold.depth, hold.for_state)
}

/// Returns whether the PDU of a row was delivered as new, not as history.
pub(crate) const fn is_news(row: PduValue<'_>) -> bool {
    row.delivered && row.depth & MARK == 0
}

pub(crate) fn held(
    reference: PduRef,
    context: &str,
    hold: HeldValue<'_>,
    row: PduValue<'_>,
) -> Result<HeldPdu, BadRow> {
    let PduValue { sender, since, prev, bytes, .. } = row;
    if row.context != context || row.delivered {
        return Err(BadRow::new("held", &format!("{reference} does not wait in {context}")));
    }
    let HeldValue { edge, depth, slot, missing, .. } = hold;
    Ok(HeldPdu {
        prev: refs_from_row("pdus", prev)?,
        hold: PendingParents {
            missing: refs_from_row("held", missing)?,
            depth: unmarked(depth),
            edge,
            for_state: depth & MARK != 0,
        },
        state: slot_from_row(&reference, slot)?,
        received: Millis(since),
        sender: server(sender)?,
        narrowed: narrowed_to(bytes).is_some(),
        stated: stated_depth(bytes),
        on_news: false,
        reference,
    })
}

fn server(text: &str) -> Result<Option<ServerName>, BadRow> {
    (!text.is_empty()).then(|| name("pdus", text)).transpose()
}

/// The identity of a quarantined PDU; each field may be missing in what was received.
#[derive(Serialize, Deserialize)]
struct WhatRow {
    origin: Option<String>,
    id: Option<String>,
    context: Option<String>,
    /// Method by which it, or its sender, was authenticated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    verified: Option<String>,
}

/// Encodes the identity of a quarantined item: the number of an update, of a forward also its origin, or the identity and the
/// proof of a PDU, whose number is 0.
pub(crate) fn what_to_row(what: &ParkedWhat, verified: Option<&str>) -> (u64, Vec<u8>) {
    match what {
        ParkedWhat::Update(seq) => (seq.0, Vec::new()),
        ParkedWhat::Forward(seq, origin) => {
            let row = WhatRow { origin: Some(origin.to_string()), id: None, context: None, verified: None };
            (seq.0, serde_json::to_vec(&row).expect("texts always serialize"))
        }
        ParkedWhat::Pdu { origin, id, context } => {
            let context = context.as_ref().map(ToString::to_string);
            let verified = verified.map(str::to_owned);
            let row = WhatRow { origin: origin.clone(), id: id.clone(), context, verified };
            (0, serde_json::to_vec(&row).expect("texts always serialize"))
        }
    }
}

pub(crate) fn what_from_row(
    table: &'static str,
    seq: u64,
    row: &[u8],
) -> Result<(ParkedWhat, Option<&'static str>), BadRow> {
    if row.is_empty() {
        return Ok((ParkedWhat::Update(Seq(seq)), None));
    }
    let row: WhatRow = serde_json::from_slice(row).map_err(|error| BadRow::new(table, &error))?;
    if let (1.., Some(origin)) = (seq, &row.origin) {
        return Ok((ParkedWhat::Forward(Seq(seq), name(table, origin)?), None));
    }
    let context = row.context.map(|context| context_id(table, &context)).transpose()?;
    Ok((ParkedWhat::Pdu { origin: row.origin, id: row.id, context }, row.verified.as_deref().map(interned)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::schema::codec::value::{reference, refs_to_row};

    #[test]
    fn damaged_reference_row_is_error() {
        let long = "x".repeat(255);
        let references: Vec<_> = ["$1", "\u{e9} /", &long]
            .map(|id| reference("pdus", "red.example", id).expect("an id"))
            .into_iter()
            .collect();
        let row = refs_to_row(&references);
        assert_eq!(refs_from_row("pdus", &row).expect("readable"), references);
        for end in [1, 5, row.len() - 1] {
            assert!(refs_from_row("pdus", &row[..end]).is_err(), "cut at {end}");
        }
        assert!(refs_from_row("pdus", &[1, 0xff, 1, b'a']).is_err());
        assert!(refs_from_row("pdus", &[]).expect("none").is_empty());
    }

    #[test]
    fn quarantine_row_round_trips() {
        let named = ParkedWhat::Pdu {
            origin: Some("no name".to_owned()),
            id: None,
            context: Some("c".parse().expect("an id")),
        };
        let nameless = ParkedWhat::Pdu { origin: None, id: None, context: None };
        let forward = ParkedWhat::Forward(Seq(8), "red.example".parse().expect("valid"));
        for what in
            [(named, Some("pdu-signature")), (nameless, None), (ParkedWhat::Update(Seq(7)), None), (forward, None)]
        {
            let (seq, row) = what_to_row(&what.0, what.1);
            assert_eq!(what_from_row("quarantine", seq, &row).expect("readable"), what);
        }
        let earlier = what_from_row("quarantine", 0, br#"{"origin":"red","id":"1","context":"c"}"#).expect("readable");
        assert_eq!(earlier.1, None, "a row of an earlier version");
    }
}
