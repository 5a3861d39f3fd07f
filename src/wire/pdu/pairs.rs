//! `prev_pdus`: parents as pairs of an origin and an id, in either order.
//!
//! All pairs of a PDU have the same order. These indications are tried in turn: an element is the name of a known
//! server; a pair names a known PDU; an element is a participant of the context; an element looks like a server name;
//! an element can be a server name at all; the sender's usual order. A known PDU would be the better proof, but a known
//! name is nearly always present, costs no lookup and does not contradict it, because ids do not look like the names of
//! our peers.

use std::borrow::Cow;
use std::collections::HashSet;

use actors::limits::PairOrder;
use actors::model::{ContextId, Pdu, PduRef, ServerName};
use actors::ports::ArchiveError;

use crate::json::reader;
use crate::json::scanner::ScannedValue;
use crate::wire::pdu::{FieldError, PARENTS_MAX, PduReader, flaw};

/// The PDU that the pairs are part of.
pub(super) struct PairContext<'a> {
    pub(super) reader: &'a PduReader<'a>,
    pub(super) context: &'a ContextId,
    /// Server that created the PDU.
    pub(super) origin: &'a ServerName,
    /// The PDU before it in the batch.
    pub(super) before: Option<&'a Pdu>,
}

pub(super) type StringPair<'a> = (Cow<'a, str>, Cow<'a, str>);

/// Returns the pairs of texts.
pub(super) fn pairs(value: Option<ScannedValue<'_>>) -> Result<Vec<StringPair<'_>>, FieldError> {
    let Some(value) = value else { return Ok(Vec::new()) };
    let bad = || flaw("BAD_PREV_PDUS", "prev_pdus is not an array of pairs of texts");
    let (raw, count) = reader::items(value, PARENTS_MAX).ok_or_else(bad)?;
    if count > PARENTS_MAX {
        let words = format!("a PDU names at most {PARENTS_MAX} parents, this one names {count}");
        return Err(flaw("TOO_MANY_PARENTS", words));
    }
    raw.into_iter().map(pair).collect::<Option<_>>().ok_or_else(bad)
}

/// Returns the parents in pairs of this order, each once, in the order of their first occurrence.
pub(super) fn parents(
    pairs: &[StringPair<'_>],
    order: PairOrder,
    before: Option<&Pdu>,
) -> Result<Vec<PduRef>, FieldError> {
    let mut parents = Vec::with_capacity(pairs.len());
    for pair in pairs {
        let parent = named(pair, order, before).ok_or_else(|| {
            flaw("BAD_PREV_PDUS", "a pair in prev_pdus does not hold the name of a server and the id of a PDU")
        })?;
        if !parents.contains(&parent) {
            parents.push(parent);
        }
    }
    Ok(parents)
}

/// Returns the first two elements; later dialects put hashes into a third.
fn pair(value: ScannedValue<'_>) -> Option<StringPair<'_>> {
    let (elements, _) = reader::items(value, 2)?;
    match elements[..] {
        [first, second] => Some((reader::text(first.text)?, reader::text(second.text)?)),
        _ => None,
    }
}

/// Returns the PDU that a pair names if it is read in this order, most likely the one before.
fn named((first, second): &StringPair<'_>, order: PairOrder, before: Option<&Pdu>) -> Option<PduRef> {
    let (origin, id) = match order {
        PairOrder::OriginFirst => (first, second),
        PairOrder::IdFirst => (second, first),
    };
    if let Some(before) = before.filter(|before| is_of(&before.reference, origin, id)) {
        return Some(before.reference.clone());
    }
    Some(PduRef { origin: origin.parse().ok()?, id: id.parse().ok()? })
}

fn is_of(reference: &PduRef, origin: &str, id: &str) -> bool {
    reference.id.as_str() == id && reference.origin.as_str() == origin
}

/// Returns the order of the pairs. Without pairs it is arbitrary.
pub(super) async fn order(pairs: &[StringPair<'_>], around: &PairContext<'_>) -> PairOrder {
    let PairContext { reader, context, origin, before } = around;
    // A pair that names the PDU before it needs no look-up.
    if let (Some(Pdu { reference, .. }), [(first, second)]) = (before, pairs)
        && reference.origin == **origin
    {
        if is_of(reference, first, second) {
            return PairOrder::OriginFirst;
        }
        if is_of(reference, second, first) {
            return PairOrder::IdFirst;
        }
    }
    let server = |name: &str| -> Option<ServerName> { name.parse().ok() };
    let is_known = |name: &str| {
        name.eq_ignore_ascii_case(origin.as_str())
            || name.eq_ignore_ascii_case(reader.sender.as_str())
            || server(name).is_some_and(|name| reader.acquaintance.is_server(&name))
    };
    if let Some(order) = by_names(pairs, is_known) {
        return order;
    }
    if let Some(order) = by_known_pdus(pairs, around).await {
        return order;
    }
    let mut participants = HashSet::new();
    for name in pairs.iter().flat_map(|(first, second)| [first, second]) {
        let Some(server) = server(name) else { continue };
        if answered(reader.acquaintance.takes_part(context, &server).await).unwrap_or(false) {
            participants.insert(&**name);
        }
    }
    let looks_like_one = |name: &str| server(name).is_some() && (name.contains(['.', ':']) || name == "localhost");
    by_names(pairs, |name| participants.contains(name))
        .or_else(|| by_names(pairs, looks_like_one))
        .or_else(|| by_names(pairs, |name| server(name).is_some()))
        .unwrap_or(reader.usual)
}

/// Returns the majority over all pairs: a pair votes if one element is a server by this test and the other is not.
fn by_names(pairs: &[StringPair<'_>], is_server: impl Fn(&str) -> bool) -> Option<PairOrder> {
    majority(pairs.iter().map(|(first, second)| i32::from(is_server(first)) - i32::from(is_server(second))))
}

/// Returns the majority over all pairs: a pair votes if it names a known PDU in one order and not in the other.
async fn by_known_pdus(pairs: &[StringPair<'_>], around: &PairContext<'_>) -> Option<PairOrder> {
    let readings: Vec<_> = pairs
        .iter()
        .map(|pair| (named(pair, PairOrder::OriginFirst, None), named(pair, PairOrder::IdFirst, None)))
        .collect();
    let candidates: Vec<PduRef> = readings.iter().flat_map(|(one, other)| [one, other]).flatten().cloned().collect();
    let known = answered(around.reader.acquaintance.known(around.context, candidates).await).unwrap_or_default();
    let is_known = |reading: &Option<PduRef>| reading.as_ref().is_some_and(|reading| known.contains(reading));
    majority(readings.iter().map(|(one, other)| i32::from(is_known(one)) - i32::from(is_known(other))))
}

fn majority(votes: impl Iterator<Item = i32>) -> Option<PairOrder> {
    match votes.sum::<i32>() {
        0 => None,
        for_origin if for_origin > 0 => Some(PairOrder::OriginFirst),
        _ => Some(PairOrder::IdFirst),
    }
}

/// Turns a failed read into "no indication" and logs it. If the store is broken, the batch fails at its commit.
fn answered<T>(answer: Result<T, ArchiveError>) -> Option<T> {
    answer.inspect_err(|error| tracing::error!(%error, "the order of prev_pdus is guessed")).ok()
}
