//! The records of peers.

use std::collections::HashMap;

use actors::model::{OutboundRecord, PeerRecord, ServerName};

use crate::store::engine::group_write::GroupWrite;
use crate::store::error::RedbResult;
use crate::store::schema::codec::BadRow;
use crate::store::schema::{codec, tables};
use crate::store::write::lazy_table::LazyTable;
use crate::store::write::writer_context::WriterContext;

/// The records of peers. One that several changes of a group replace is written once, at the end.
pub(crate) struct PeerRecordTable<'t> {
    rows: LazyTable<'t, &'static str, &'static [u8]>,
    updated: HashMap<ServerName, Box<PeerRecord>>,
}

impl<'t> PeerRecordTable<'t> {
    pub(crate) fn new(transaction: &'t GroupWrite<'t>) -> Self {
        Self { rows: LazyTable::new(transaction, tables::PEERS), updated: HashMap::new() }
    }

    pub(crate) fn update(&mut self, record: Box<PeerRecord>) {
        self.updated.insert(record.server.clone(), record);
    }

    /// Returns the end of a server's outbox according to its record; see [`ends`].
    pub(crate) fn outbox_ends(
        &mut self,
        cx: &mut WriterContext<'_>,
        server: &ServerName,
    ) -> Result<(u64, u64), redb::Error> {
        if let Some(record) = self.updated.get(server) {
            return Ok(ends(&record.outbound));
        }
        cx.counts.lookups += 1;
        let Some(row) = self.rows.open()?.get(server.as_str())? else { return Ok((0, 0)) };
        cx.counts.rows_read += 1;
        let record = codec::peer_from_row(server.clone(), row.value()).map_err(BadRow::into_corrupted)?;
        Ok(ends(&record.outbound))
    }

    /// Writes the updated records.
    pub(crate) fn finish(&mut self, cx: &mut WriterContext<'_>) -> RedbResult {
        for (server, record) in &self.updated {
            self.rows.open()?.insert(server.as_str(), codec::peer_to_row(record).as_slice())?;
            cx.counts.rows_written += 1;
        }
        Ok(())
    }
}

/// Returns the end of an outbox according to the record: an index that was assigned, and the bytes queued up to the
/// acknowledged ones.
pub(crate) fn ends(record: &OutboundRecord) -> (u64, u64) {
    (record.acked.max(record.highest_index_assigned).0, record.acked_bytes)
}
