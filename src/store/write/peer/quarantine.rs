//! The quarantine of peers, and the index of its PDUs of non-participants by context.

use actors::model::{ParkedItem, ServerName};

use crate::store::engine::group_write::GroupWrite;
use crate::store::error::RedbResult;
use crate::store::schema::codec::columns::{QuarantinePlace, QuarantineValue};
use crate::store::schema::tables::CopyKey;
use crate::store::schema::{codec, tables};
use crate::store::write::lazy_table::LazyTable;
use crate::store::write::peer::non_participants::{stranger, stranger_in};
use crate::store::write::peer::numbered_rows::newest_number;
use crate::store::write::writer_context::WriterContext;

/// Maximum number of rows removed at once: a lower limit in the settings is reached over several commits.
const ROWS_MAX: usize = 256;

/// The quarantine of all peers, with its index by context.
pub(crate) struct QuarantineTables<'t> {
    rows: LazyTable<'t, (&'static str, u64), QuarantineValue<'static>>,
    by_context: LazyTable<'t, CopyKey, QuarantinePlace>,
}

impl<'t> QuarantineTables<'t> {
    pub(crate) fn new(transaction: &'t GroupWrite<'t>) -> Self {
        Self {
            rows: LazyTable::new(transaction, tables::QUARANTINE),
            by_context: LazyTable::new(transaction, tables::QUARANTINE_BY_CONTEXT),
        }
    }

    /// Adds an item, and removes the oldest items of its server beyond `keep`.
    pub(crate) fn add(&mut self, cx: &mut WriterContext<'_>, parked: &ParkedItem, keep: u64) -> RedbResult {
        let server = parked.from.as_str();
        let quarantine = self.rows.open()?;
        let newest = match cx.tails.get(&parked.from).and_then(|ends| ends.quarantine) {
            Some(newest) => newest,
            None => newest_number(quarantine, &mut cx.counts, &parked.from)?.unwrap_or(0),
        };
        let number = newest + 1;
        let (seq, what) = codec::what_to_row(&parked.what, parked.verified);
        let row = QuarantineValue {
            time: cx.now.0,
            seq,
            what: &what,
            code: parked.code.as_str(),
            reason: &parked.reason,
            bytes: &parked.bytes,
        };
        quarantine.insert((server, number), row)?;
        cx.counts.rows_written += 1;
        self.add_to_index(cx, parked, number)?;
        self.trim(cx, server, number.saturating_sub(keep))?;
        cx.tails.entry(&parked.from).quarantine = Some(number);
        Ok(())
    }

    /// Removes an item. Its number can be assigned again: the next is the highest row + 1, so removing the newest row before a
    /// restart frees its number.
    pub(crate) fn remove(&mut self, cx: &mut WriterContext<'_>, server: &ServerName, number: u64) -> RedbResult {
        let gone = self.rows.open()?.take((server.as_str(), number))?.map(|row| stranger_in(row.value()));
        cx.counts.rows_trimmed += u64::from(gone.is_some());
        match gone.flatten() {
            Some((context, origin, id)) => {
                self.remove_from_index(cx, (context.as_str(), &origin, &id), server.as_str(), number)
            }
            None => Ok(()),
        }
    }

    /// Adds a quarantined PDU to the index, if its server does not participate.
    fn add_to_index(&mut self, cx: &mut WriterContext<'_>, parked: &ParkedItem, number: u64) -> RedbResult {
        let Some((context, reference)) = stranger(parked) else { return Ok(()) };
        let (epoch, arrival) = cx.order.next_place();
        let place = (context.as_str(), reference.origin.as_str(), reference.id.as_str(), parked.from.as_str());
        self.by_context.open()?.insert(place, QuarantinePlace { number, epoch, arrival })?;
        cx.counts.rows_written += 1;
        Ok(())
    }

    /// Removes a quarantined PDU from the index, unless it has arrived again and has another number.
    fn remove_from_index(
        &mut self,
        cx: &mut WriterContext<'_>,
        (context, origin, id): (&str, &str, &str),
        server: &str,
        number: u64,
    ) -> RedbResult {
        let index = self.by_context.open()?;
        cx.counts.trim_reads += 1;
        let place = (context, origin, id, server);
        let is_this = index.get(place)?.is_some_and(|row| row.value().number == number);
        if is_this {
            index.remove(place)?;
            cx.counts.rows_trimmed += 1;
        }
        Ok(())
    }

    /// Removes the oldest rows of a server. Numbers are consecutive except where rows were removed, so the rows up to `upto`
    /// are the oldest ones, beyond the number that is kept.
    fn trim(&mut self, cx: &mut WriterContext<'_>, server: &str, upto: u64) -> RedbResult {
        if upto == 0 {
            return Ok(());
        }
        let quarantine = self.rows.open()?;
        let mut gone = Vec::new();
        for row in quarantine.range((server, 0)..=(server, upto))?.take(ROWS_MAX) {
            let (key, value) = row?;
            gone.push((tables::number_of(key.value()), stranger_in(value.value())));
        }
        for (number, what) in gone {
            self.rows.open()?.remove((server, number))?;
            cx.counts.trim_reads += 1;
            cx.counts.rows_trimmed += 1;
            if let Some((context, origin, id)) = what {
                self.remove_from_index(cx, (context.as_str(), &origin, &id), server, number)?;
            }
        }
        Ok(())
    }
}
