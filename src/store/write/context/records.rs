//! Writes the heads of a context beyond those in the context's own row.

use actors::model::{ContextId, Head, PduRef};

use crate::store::write::apply::WriteBatch;

impl WriteBatch<'_> {
    pub(crate) fn heads_moved(
        &mut self,
        context: &ContextId,
        added: &[Head],
        gone: &[PduRef],
    ) -> Result<(), redb::Error> {
        let heads = self.heads.open()?;
        for reference in gone {
            let row = heads.remove((context.as_str(), reference.origin.as_str(), reference.id.as_str()))?;
            self.counts.rows_trimmed += u64::from(row.is_some());
        }
        for Head { reference, depth, .. } in added {
            heads.insert((context.as_str(), reference.origin.as_str(), reference.id.as_str()), depth)?;
            self.counts.rows_written += 1;
        }
        Ok(())
    }
}
