//! The records of contexts, the heads beyond those in a record, and the marks of unfinished work.

use std::collections::HashMap;

use actors::model::{ContextId, ContextRecord, Head, PduRef};

use crate::store::engine::group_write::GroupWrite;
use crate::store::error::RedbResult;
use crate::store::schema::tables::ContextPduKey;
use crate::store::schema::{codec, tables};
use crate::store::write::lazy_table::LazyTable;
use crate::store::write::writer_context::WriterContext;

/// The records of all contexts. One that several changes of a group replace is written once, at the end.
pub(crate) struct ContextRecordTables<'t> {
    rows: LazyTable<'t, &'static str, &'static [u8]>,
    heads: LazyTable<'t, ContextPduKey, u64>,
    work: LazyTable<'t, &'static str, ()>,
    updated: HashMap<ContextId, Box<ContextRecord>>,
}

impl<'t> ContextRecordTables<'t> {
    pub(crate) fn new(transaction: &'t GroupWrite<'t>) -> Self {
        Self {
            rows: LazyTable::new(transaction, tables::CONTEXTS),
            heads: LazyTable::new(transaction, tables::HEADS),
            work: LazyTable::new(transaction, tables::CONTEXT_WORK),
            updated: HashMap::new(),
        }
    }

    pub(crate) fn update(&mut self, record: Box<ContextRecord>) {
        self.updated.insert(record.context.clone(), record);
    }

    /// Changes the heads beyond those in the record.
    pub(crate) fn change_heads(
        &mut self,
        cx: &mut WriterContext<'_>,
        context: &ContextId,
        added: &[Head],
        gone: &[PduRef],
    ) -> RedbResult {
        let heads = self.heads.open()?;
        for reference in gone {
            let row = heads.take((context.as_str(), reference.origin.as_str(), reference.id.as_str()))?;
            cx.counts.rows_trimmed += u64::from(row.is_some());
        }
        for Head { reference, depth, .. } in added {
            heads.insert((context.as_str(), reference.origin.as_str(), reference.id.as_str()), depth)?;
            cx.counts.rows_written += 1;
        }
        Ok(())
    }

    /// Adds or removes the mark of unfinished work.
    pub(crate) fn mark_work(
        &mut self,
        cx: &mut WriterContext<'_>,
        context: &ContextId,
        unfinished: bool,
    ) -> RedbResult {
        let work = self.work.open()?;
        if unfinished {
            work.insert(context.as_str(), ())?;
            cx.counts.rows_written += 1;
        } else {
            cx.counts.rows_trimmed += u64::from(work.take(context.as_str())?.is_some());
        }
        Ok(())
    }

    /// Writes the updated records.
    pub(crate) fn finish(&mut self, cx: &mut WriterContext<'_>) -> RedbResult {
        for (context, record) in &self.updated {
            self.rows.open()?.insert(context.as_str(), codec::context_to_row(record).as_slice())?;
            cx.counts.rows_written += 1;
        }
        Ok(())
    }
}
