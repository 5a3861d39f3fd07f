//! Walks back through a conversation.

use std::collections::HashSet;

use actors::model::{ContextId, PduRef};
use actors::ports::ServedPdu;
use redb::ReadTransaction;

use super::Read;
use crate::store::Shared;
use crate::store::rows;
use crate::store::tables;

/// Level by level. What is not there, not delivered yet, or of another conversation is neither given nor walked past. Each
/// PDU names a bounded number of parents, so the limit bounds the walk, too.
pub(super) fn backfill(
    shared: &Shared,
    read: &ReadTransaction,
    context: &ContextId,
    from: Vec<PduRef>,
    limit: usize,
    bytes_max: u64,
) -> Read<Vec<ServedPdu>> {
    let pdus = read.open_table(tables::PDUS)?;
    let mut seen: HashSet<PduRef> = HashSet::new();
    let (mut found, mut size): (Vec<ServedPdu>, u64) = (Vec::new(), 0);
    let mut level = from;
    while !level.is_empty() {
        let mut next = Vec::new();
        for reference in level {
            if found.len() == limit {
                return Ok(found);
            }
            if !seen.insert(reference.clone()) {
                continue;
            }
            let row = pdus.get((reference.origin.as_str(), reference.id.as_str()))?;
            shared.counters.looked_up(u64::from(row.is_some()));
            let Some(row) = row else { continue };
            let pdu = rows::served(row.value())?;
            if pdu.context != *context || !pdu.delivered {
                continue;
            }
            size += pdu.bytes.len() as u64;
            if size > bytes_max && !found.is_empty() {
                return Ok(found);
            }
            next.extend(rows::parents(row.value())?);
            found.push(pdu);
        }
        level = next;
    }
    Ok(found)
}
