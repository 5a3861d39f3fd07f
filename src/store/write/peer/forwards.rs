//! Forwards that were taken or passed on, and forwarded updates that wait for those before them.

use actors::model::{ForwardMemory, HeldForward, Seq, ServerName, StrongBody};

use crate::store::engine::group_write::GroupWrite;
use crate::store::error::RedbResult;
use crate::store::schema::codec::columns::{HeldForwardValue, SeenForwardValue};
use crate::store::schema::tables;
use crate::store::write::lazy_table::LazyTable;
use crate::store::write::peer::numbered_rows::newest_number;
use crate::store::write::writer_context::WriterContext;

/// Number of old rows that are removed with each new one, at most: more than one, so that the table shrinks after a lower limit.
pub(crate) const FORWARDS_TRIMMED: usize = 4;

/// The forwards of all origins.
pub(crate) struct ForwardTables<'t> {
    seen: LazyTable<'t, (&'static str, u64), SeenForwardValue<'static>>,
    ids: LazyTable<'t, (&'static str, &'static str), u64>,
    held: LazyTable<'t, (&'static str, u64), HeldForwardValue<'static>>,
}

impl<'t> ForwardTables<'t> {
    pub(crate) fn new(transaction: &'t GroupWrite<'t>) -> Self {
        Self {
            seen: LazyTable::new(transaction, tables::SEEN_FORWARDS),
            ids: LazyTable::new(transaction, tables::SEEN_FORWARD_IDS),
            held: LazyTable::new(transaction, tables::HELD_FORWARDS),
        }
    }

    /// Remembers a forward, and forgets some of those that are too many or too old. Returns whether it is new.
    pub(crate) fn remember(
        &mut self,
        cx: &mut WriterContext<'_>,
        origin: &ServerName,
        id: &str,
        memory: ForwardMemory,
    ) -> Result<bool, redb::Error> {
        let server = origin.as_str();
        cx.counts.lookups += 1;
        if self.ids.open()?.get((server, id))?.is_some() {
            cx.counts.rows_read += 1;
            return Ok(false);
        }
        let seen = self.seen.open()?;
        let number = newest_number(seen, &mut cx.counts, origin)?.unwrap_or(0) + 1;
        seen.append((server, number), SeenForwardValue { time: cx.now.0, id })?;
        self.ids.open()?.append((server, id), number)?;
        cx.counts.rows_written += 2;
        self.trim(cx, server, number, memory)?;
        Ok(true)
    }

    fn trim(&mut self, cx: &mut WriterContext<'_>, server: &str, newest: u64, memory: ForwardMemory) -> RedbResult {
        let seen = self.seen.open()?;
        let mut gone = Vec::new();
        for row in seen.range((server, 0)..(server, newest))?.take(FORWARDS_TRIMMED) {
            let (key, row) = row?;
            let (number, SeenForwardValue { time, id }) = (tables::number_of(key.value()), row.value());
            cx.counts.trim_reads += 1;
            if newest - number < memory.items && time >= memory.before.0 {
                break;
            }
            gone.push((number, id.to_owned()));
        }
        for (number, id) in gone {
            self.seen.open()?.remove((server, number))?;
            self.ids.open()?.remove((server, id.as_str()))?;
            cx.counts.rows_trimmed += 2;
        }
        Ok(())
    }

    /// Keeps forwarded updates until their turn comes.
    pub(crate) fn hold(
        &mut self,
        cx: &mut WriterContext<'_>,
        from: &ServerName,
        updates: &[HeldForward],
    ) -> RedbResult {
        let held = self.held.open()?;
        for HeldForward { number, update } in updates {
            let (is_pdu, bytes) = match &update.body {
                StrongBody::Pdu(pdu) => (true, &pdu.bytes),
                _ => (false, &update.bytes),
            };
            held.insert((from.as_str(), number.0), HeldForwardValue { digest: &update.digest.0, is_pdu, bytes })?;
            cx.counts.rows_written += 1;
        }
        Ok(())
    }

    /// Removes the forwarded updates below a number. They are at most `relay.held_max`.
    pub(crate) fn drop_held(&mut self, cx: &mut WriterContext<'_>, from: &ServerName, below: Seq) -> RedbResult {
        let held = self.held.open()?;
        let rows = held.range((from.as_str(), 0)..(from.as_str(), below.0))?;
        let gone = rows.map(|row| Ok(tables::number_of(row?.0.value()))).collect::<Result<Vec<_>, redb::Error>>()?;
        for number in gone {
            held.remove((from.as_str(), number))?;
            cx.counts.rows_trimmed += 1;
        }
        Ok(())
    }
}
