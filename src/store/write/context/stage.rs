//! The stage of a context: PDUs that arrived while it was too busy, until it processes them.

use actors::model::{ContextId, PduRef, ServerName};
use bytes::Bytes;

use crate::store::engine::group_write::GroupWrite;
use crate::store::error::RedbResult;
use crate::store::schema::codec::columns::StageValue;
use crate::store::schema::tables;
use crate::store::schema::tables::StageIdKey;
use crate::store::write::lazy_table::LazyTable;
use crate::store::write::writer_context::WriterContext;

/// The stages of all contexts.
pub(crate) struct StageTables<'t> {
    rows: LazyTable<'t, (&'static str, &'static str, u64), StageValue<'static>>,
    ids: LazyTable<'t, StageIdKey, u64>,
}

impl<'t> StageTables<'t> {
    pub(crate) fn new(transaction: &'t GroupWrite<'t>) -> Self {
        Self { rows: LazyTable::new(transaction, tables::STAGE), ids: LazyTable::new(transaction, tables::STAGE_IDS) }
    }

    /// Appends PDUs after those that this server has in the stage. The last number is read each time, because staging is
    /// rare.
    pub(crate) fn append(
        &mut self,
        cx: &mut WriterContext<'_>,
        context: &ContextId,
        from: &ServerName,
        verified: &str,
        pdus: &[(PduRef, Bytes)],
    ) -> RedbResult {
        let (context, from) = (context.as_str(), from.as_str());
        let (stage, ids) = (self.rows.open()?, self.ids.open()?);
        let last = stage.range((context, from, 0)..=(context, from, u64::MAX))?.newest()?;
        let mut number = last.map_or(0, |(key, _)| {
            let (_, _, number) = key.value();
            number
        });
        cx.counts.lookups += 1;
        for (PduRef { origin, id }, bytes) in pdus {
            let key = (context, from, origin.as_str(), id.as_str());
            cx.counts.lookups += 1;
            if ids.get(key)?.is_some() {
                continue;
            }
            number += 1;
            ids.append(key, number)?;
            let (origin, id, time) = (origin.as_str(), id.as_str(), cx.now.0);
            stage.append((context, from, number), StageValue { origin, id, verified, time, bytes })?;
            cx.counts.rows_written += 2;
        }
        Ok(())
    }

    /// Removes a staged PDU, unless its number has been assigned to another PDU since, which happens after the stage was
    /// empty.
    pub(crate) fn remove(
        &mut self,
        cx: &mut WriterContext<'_>,
        context: &ContextId,
        from: &ServerName,
        number: u64,
        reference: &PduRef,
    ) -> RedbResult {
        let (context, from) = (context.as_str(), from.as_str());
        let key = (context, from, reference.origin.as_str(), reference.id.as_str());
        let ids = self.ids.open()?;
        let is_this = ids.get(key)?.is_some_and(|row| row.value() == number);
        cx.counts.trim_reads += 1;
        if is_this {
            ids.remove(key)?;
            self.rows.open()?.remove((context, from, number))?;
            cx.counts.rows_trimmed += 2;
        }
        Ok(())
    }
}
