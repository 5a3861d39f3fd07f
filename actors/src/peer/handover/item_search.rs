//! Finds PDUs in the outbox of a peer by their identity, for receipts that name them so.

use std::collections::HashMap;

use crate::model::{Index, Item, PduRef, PeerReceipts, ReceiptItem, ServerName};
use crate::ports::StoreReaders;

/// Rows of a page, and their bytes.
const PAGE: (u32, u64) = (1_000, 4 << 20);

/// The indexes of the items that the receipts name: of acknowledged ones, and of refused ones with the reason.
pub(crate) type ItemMatches = (Vec<Index>, Vec<(Index, String)>);

/// Looks for the PDUs from one index to another. What cannot be read stays without its receipt.
pub(crate) async fn find_items(
    archive: &StoreReaders,
    server: &ServerName,
    (from, upto): (Index, Index),
    receipts: PeerReceipts,
) -> ItemMatches {
    let mut wanted: HashMap<PduRef, Option<String>> = receipts.pdus.into_iter().map(|pdu| (pdu, None)).collect();
    for rejected in receipts.rejected {
        if let ReceiptItem::Pdu(pdu) = rejected.item {
            wanted.insert(pdu, Some(rejected.reason));
        }
    }
    let (mut taken, mut rejected, mut next) = (Vec::new(), Vec::new(), from);
    while next <= upto && !wanted.is_empty() {
        let rows = match archive.peers.outbox_from(server, next, PAGE.0, PAGE.1).await {
            Ok(rows) => rows,
            Err(error) => {
                tracing::error!(peer = %server, %error, "items cannot be read for their receipts");
                break;
            }
        };
        let Some(last) = rows.last().map(|row| row.index) else { break };
        for row in rows.into_iter().filter(|row| row.index <= upto) {
            let Item::Pdu(reference, _) = &row.item else { continue };
            match wanted.remove(reference) {
                Some(None) => taken.push(row.index),
                Some(Some(reason)) => rejected.push((row.index, reason)),
                None => {}
            }
        }
        next = last.next();
    }
    (taken, rejected)
}
