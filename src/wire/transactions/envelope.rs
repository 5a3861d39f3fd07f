//! A transaction as JSON. Its envelope is read before the items in it are checked; items are written as they are
//! stored.

use actors::model::{
    BatchId, CountedNoun, Digest, Edu, InboundTransaction, Item, Millis, OutboundBatch, PeerReceipts, ServerName,
};
use bytes::Bytes;
use serde_json::error::Category;

use crate::http::json_error;
use crate::json::reader;
use crate::json::reader::{ObjectMember, digest, put};
use crate::json::scanner::ScannedValue;
use crate::wire::pdu::{PDU_NESTING_MAX, PairOrder, PduReader, shown};
use crate::wire::receipts::OF_TRANSACTIONS;

/// Maximum bytes of a transaction id and of the name of an ephemeral type.
const ID_BYTES_MAX: usize = 255;

/// Maximum number of earlier transactions that a transaction names; one is usual.
const PREV_IDS_MAX: usize = 20;

/// Maximum number of servers to which one transaction is passed on.
const RELAY_TO_MAX: usize = 16;

/// Maximum number of ephemeral items read from one transaction; further ones are ignored, because ephemeral items are
/// the first to be dropped anyway.
const EDUS_MAX: usize = 1000;

/// Error: a body is not accepted as a transaction.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadTransaction {
    /// The bytes are not JSON.
    #[error("the body is not JSON: {0}")]
    NotJson(String),
    /// The JSON is not a transaction.
    #[error("the body is not a transaction: {0}")]
    NotATransaction(String),
    /// There are more PDUs than the limit.
    #[error("a transaction holds at most {} (peers.intake_items), this one has {count}", CountedNoun((*.max).into(), "PDU"))]
    TooLong {
        /// Number of PDUs in the transaction.
        count: usize,
        /// Maximum number of PDUs.
        max: u32,
    },
}

/// A body that is a transaction; its items are not checked yet.
#[derive(Debug)]
pub struct TransactionEnvelope<'a> {
    members: Vec<ObjectMember<'a>>,
    /// List of PDUs; absent means empty.
    pdus: Option<ScannedValue<'a>>,
}

impl<'a> TransactionEnvelope<'a> {
    /// Reads the envelope of a transaction from its bytes.
    pub fn read(body: &'a [u8]) -> Result<Self, BadTransaction> {
        let text = std::str::from_utf8(body).map_err(|bad| BadTransaction::NotJson(json_error::utf8(&bad)))?;
        let members = reader::members(text).map_err(|error| match error.classify() {
            Category::Data => BadTransaction::NotATransaction(json_error::words(&error)),
            Category::Syntax | Category::Eof | Category::Io => BadTransaction::NotJson(json_error::words(&error)),
        })?;
        if let Some(key) = reader::first_duplicate_key(&members) {
            let shown: String = key.chars().take(40).collect();
            return Err(BadTransaction::NotATransaction(format!("the key {shown:?} is there twice")));
        }
        let pdus = reader::get(&members, "pdus");
        if pdus.is_some_and(|pdus| !pdus.get().starts_with('[')) {
            return Err(BadTransaction::NotATransaction("pdus is not an array".to_owned()));
        }
        Ok(Self { members, pdus })
    }

    /// Returns the server that the transaction claims to come from.
    pub fn origin(&self) -> Result<ServerName, BadTransaction> {
        let bad = |why: String| BadTransaction::NotATransaction(why);
        let value = reader::get(&self.members, "origin").ok_or_else(|| bad("origin is missing".to_owned()))?;
        let text = reader::text(value.text).ok_or_else(|| bad("origin is not a text".to_owned()))?;
        text.parse().map_err(|why| bad(format!("origin: {why}")))
    }

    /// Returns the transaction's own id if it is a number.
    pub fn number(&self) -> Option<u64> {
        reader::text(reader::get(&self.members, "transaction_id")?.text)?.parse().ok()
    }

    /// Returns whether this is a page that is followed by others.
    pub fn has_more(&self) -> bool {
        reader::get(&self.members, "more").is_some_and(|more| more.get() == "true")
    }

    /// Returns the texts of the PDUs; more than `max` are an error.
    pub(crate) fn pdus(&self, max: u32) -> Result<Vec<ScannedValue<'a>>, BadTransaction> {
        let Some(pdus) = self.pdus else { return Ok(Vec::new()) };
        let (kept, count) = reader::items(pdus, max as usize)
            .ok_or_else(|| BadTransaction::NotATransaction("pdus is not an array".to_owned()))?;
        if count > kept.len() {
            return Err(BadTransaction::TooLong { count, max });
        }
        Ok(kept)
    }

    /// Returns the texts of the first PDUs, at most `max`; further ones are ignored.
    pub(crate) fn first_pdus(&self, max: u32) -> Result<Vec<ScannedValue<'a>>, BadTransaction> {
        let Some(pdus) = self.pdus else { return Ok(Vec::new()) };
        let not_an_array = || BadTransaction::NotATransaction("pdus is not an array".to_owned());
        reader::items(pdus, max as usize).map(|(kept, _)| kept).ok_or_else(not_an_array)
    }

    /// Returns the transaction for the core: each PDU checked on its own, and the ephemeral items that are valid.
    pub async fn transaction(
        &self,
        id: String,
        max: u32,
        reader: &PduReader<'_>,
        verified: &'static str,
    ) -> Result<InboundTransaction, BadTransaction> {
        let pdus = reader.read_all(self.pdus(max)?).await;
        Ok(InboundTransaction {
            id,
            digest: self.digest(),
            prev_ids: self.prev_ids(),
            pdus,
            edus: self.edus(reader.sender),
            relay_to: vec![],
            receipts: self.receipts(),
            verified,
            nonce: None,
        })
    }

    /// Returns the digest of the text of `pdus`; an absent list counts as an empty one.
    fn digest(&self) -> Digest {
        digest(self.pdus.map_or(b"[]", |pdus| pdus.get().as_bytes()))
    }

    /// Returns the servers to which the sender asks us to pass its PDUs on, at most `RELAY_TO_MAX`.
    pub fn relay_to(&self) -> Vec<ServerName> {
        let listed = reader::get(&self.members, "relay_to").and_then(|names| reader::items(names, RELAY_TO_MAX));
        let texts = listed.into_iter().flat_map(|(names, _)| names).filter_map(|name| reader::text(name.text));
        let mut servers: Vec<ServerName> = texts.filter_map(|name| name.parse().ok()).collect();
        servers.sort_unstable();
        servers.dedup();
        servers
    }

    fn receipts(&self) -> PeerReceipts {
        OF_TRANSACTIONS.read(|key| reader::get(&self.members, key))
    }

    /// Returns the ids of earlier transactions. They are only a hint, so unusable ones are left out.
    fn prev_ids(&self) -> Vec<String> {
        let listed = reader::get(&self.members, "prev_ids").and_then(|ids| reader::items(ids, PREV_IDS_MAX));
        let texts = listed.into_iter().flat_map(|(ids, _)| ids).filter_map(|id| reader::text(id.text));
        texts.filter(|id| is_id(id)).map(Into::into).collect()
    }

    fn edus(&self, origin: &ServerName) -> Vec<Edu> {
        let listed = reader::get(&self.members, "edus").and_then(|edus| reader::items(edus, EDUS_MAX));
        let Some((listed, count)) = listed else { return Vec::new() };
        let edus: Vec<Edu> = listed.into_iter().filter_map(|text| edu(text, origin)).collect();
        if edus.len() < count {
            tracing::debug!(%origin, dropped = count - edus.len(), "ephemeral items of a transaction are unusable");
        }
        edus
    }
}

/// Returns whether a text can be a transaction id. Its meaning is up to the sender.
pub fn is_id(text: &str) -> bool {
    (1..=ID_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// Reads an ephemeral item; `None` if it is invalid or names another server than the transaction's.
fn edu(text: ScannedValue<'_>, origin: &ServerName) -> Option<Edu> {
    if text.nests_deeper_than(PDU_NESTING_MAX) {
        return None;
    }
    let members = reader::members(text.get()).ok()?;
    if reader::first_duplicate_key(&members).is_some() {
        return None;
    }
    let claimed: ServerName = reader::text(reader::get(&members, "origin")?.text)?.parse().ok()?;
    let kind = reader::text(reader::get(&members, "edu_type")?.text)?;
    // The content is copied, because an item that waits in a buffer must not keep the whole body in memory.
    let content = reader::get(&members, "content").map_or("null", ScannedValue::get).as_bytes();
    let sound = claimed == *origin && is_id(&kind);
    sound.then(|| Edu { kind: kind.into_owned(), content: Bytes::copy_from_slice(content) })
}

/// Writes a transaction to a peer that reads pairs in this order. All items must be PDUs.
pub fn encode(us: &ServerName, frame: &OutboundBatch, pairs: PairOrder) -> Bytes {
    const AROUND: usize = 256;
    let items: usize = frame.items.iter().map(|item| item.bytes().len() + 1).sum();
    let weak: usize = frame.weak.iter().map(|edu| edu.content.len() + AROUND).sum();
    let mut out = Vec::with_capacity(AROUND + items + weak);
    let (id, prev, ts) = match frame.label {
        BatchId::Transaction { id, prev, ts } => (id, prev, ts),
        BatchId::SeqRange { last, .. } => (last.0, None, Millis(0)),
    };
    out.extend_from_slice(format!("{{\"transaction_id\":\"{id}\",\"ts\":{ts},\"origin\":").as_bytes());
    put(&mut out, us.as_str());
    out.extend_from_slice(b",\"destination\":");
    put(&mut out, frame.to.as_str());
    out.extend_from_slice(b",\"prev_ids\":");
    put(&mut out, &prev.map(|prev| prev.to_string()).as_slice());
    out.extend_from_slice(b",\"pdus\":");
    list(&mut out, frame.items.iter().map(|item| shown(item.bytes(), None, pairs)));
    if let Some(route) = frame.items.first().and_then(Item::route) {
        out.extend_from_slice(b",\"relay_to\":");
        put(&mut out, &[route.destination.as_str()]);
    }
    if !frame.weak.is_empty() {
        edus(&mut out, us, frame);
    }
    OF_TRANSACTIONS.write(&mut out, &frame.receipts);
    out.push(b'}');
    out.into()
}

fn edus(out: &mut Vec<u8>, us: &ServerName, frame: &OutboundBatch) {
    out.extend_from_slice(b",\"edus\":[");
    for (place, edu) in frame.weak.iter().enumerate() {
        out.extend_from_slice(if place > 0 { b",{\"edu_type\":" } else { b"{\"edu_type\":" });
        put(out, &edu.kind);
        out.extend_from_slice(b",\"content\":");
        out.extend_from_slice(&edu.content);
        out.extend_from_slice(b",\"origin\":");
        put(out, us.as_str());
        out.extend_from_slice(b",\"destination\":");
        put(out, frame.to.as_str());
        out.push(b'}');
    }
    out.push(b']');
}

/// Writes the response to a GET of a peer that reads pairs in this order: PDUs with their computed depths.
pub fn encode_reply(us: &ServerName, now: Millis, pdus: &[(Bytes, u64)], pairs: PairOrder) -> Bytes {
    encode_page(us, now, pdus, pairs, None)
}

/// Writes such a response as a page: `more_after` is its last transaction if more follow.
pub fn encode_page(
    us: &ServerName,
    now: Millis,
    pdus: &[(Bytes, u64)],
    pairs: PairOrder,
    more_after: Option<u64>,
) -> Bytes {
    let mut out = Vec::with_capacity(192 + pdus.iter().map(|(pdu, _)| pdu.len() + 32).sum::<usize>());
    out.extend_from_slice(b"{\"origin\":");
    put(&mut out, us.as_str());
    out.extend_from_slice(format!(",\"ts\":{now}").as_bytes());
    if let Some(last) = more_after {
        out.extend_from_slice(format!(",\"transaction_id\":\"{last}\",\"more\":true").as_bytes());
    }
    out.extend_from_slice(b",\"pdus\":");
    list(&mut out, pdus.iter().map(|(pdu, depth)| shown(pdu, Some(*depth), pairs)));
    out.push(b'}');
    out.into()
}

fn list(out: &mut Vec<u8>, texts: impl Iterator<Item = Bytes>) {
    out.push(b'[');
    for (place, text) in texts.enumerate() {
        if place > 0 {
            out.push(b',');
        }
        out.extend_from_slice(&text);
    }
    out.push(b']');
}
