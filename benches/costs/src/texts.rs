//! Updates, PDUs and the bodies that carry them, of the size of a message.

use actors::limits::{PairOrder, PeerLimits};
use actors::model::{
    BatchId, DialectSpec, Index, Item, Millis, OutboundBatch, OutboxRow, PduRef, PeerReceipts, Seq, ServerName,
};
use bytes::Bytes;
use fernpost::wire::{transactions, updates};
use fixtures::peers::{red, server};

/// Characters of the text in a message, so that an update has 600 bytes.
const TEXT: usize = 470;

/// Returns update number `n`.
pub fn update(n: u64) -> Bytes {
    let text = "x".repeat(TEXT);
    Bytes::from(format!(
        r##"{{"update":"bench","number":{n},"room":"#example.green","sender":"@alice:green","edited":false,"body":"{text}"}}"##
    ))
}

/// Returns the reference of PDU number `n` of red.
pub fn reference(n: u64) -> PduRef {
    PduRef { origin: red(), id: format!("p{n:031}").parse().expect("an id") }
}

/// Returns the text of PDU number `n` of red, whose parent is the PDU before it.
pub fn pdu(n: u64) -> Bytes {
    let parents = if n > 1 { format!(r#"["red.example","{}"]"#, reference(n - 1).id) } else { String::new() };
    let (id, text) = (reference(n).id, "x".repeat(TEXT));
    Bytes::from(format!(
        r#"{{"pdu_id":"{id}","origin":"red.example","context":"garden","ts":1700000000000,"pdu_type":"m.text","depth":{n},"prev_pdus":[{parents}],"is_state":false,"content":{{"body":"{text}"}}}}"#
    ))
}

/// Returns a batch of `count` items, the first of which is item number `first`.
pub fn batch(to: ServerName, dialect: DialectSpec, first: u64, count: u64) -> OutboundBatch {
    let (is_update, last) = (dialect.carries_updates, first + count - 1);
    let item = |n| match is_update {
        true => Item::Update(update(n)),
        false => Item::Pdu(reference(n), pdu(n)),
    };
    let label = match is_update {
        true => BatchId::SeqRange { first: Some(Seq(first)), last: Seq(last) },
        false => BatchId::Transaction { id: last, prev: None, ts: Millis(1_700_000_000_000) },
    };
    OutboundBatch {
        to,
        dialect,
        label,
        items: (first..=last).map(item).collect(),
        traces: vec![],
        weak: vec![],
        receipts: PeerReceipts::NONE,
        deadlines: PeerLimits::default().deadlines(),
    }
}

/// Returns a push of `count` updates of red.
pub fn push(first: u64, count: u64) -> Bytes {
    updates::envelope::encode(&batch(server("blue"), DialectSpec::UPDATES, first, count))
}

/// Returns a transaction of `count` PDUs of red.
pub fn transaction(first: u64, count: u64) -> Bytes {
    let batch = batch(server("blue"), DialectSpec::TRANSACTIONS, first, count);
    transactions::envelope::encode(&red(), &batch, PairOrder::OriginFirst)
}

/// Returns row number `n` of an outbox with updates.
pub fn outbox_row(n: u64) -> OutboxRow {
    let bytes = update(n);
    OutboxRow {
        index: Index(n),
        queued: Millis(1_700_000_000_000),
        queued_bytes: n * bytes.len() as u64,
        item: Item::Update(bytes),
        context: None,
        submission: format!("s{n}").parse().expect("an id"),
        again: false,
    }
}
