//! The bytes of updates for several recipients: one row for all of them, with the number of rows that refer to it. An update for a
//! single one is in its outbox row, because a second row would cost as much as the first.
//!
//! PDUs have no row here: they stay in `pdus`, no references to them are counted, and where a number of an item is given
//! theirs is 0.

use std::collections::BTreeMap;

use actors::model::{Item, Submission, SubmittedContent};
use bytes::Bytes;

use crate::store::engine::group_write::GroupWrite;
use crate::store::error::RedbResult;
use crate::store::schema::codec::columns::{IN_ROW, ItemValue};
use crate::store::schema::tables;
use crate::store::write::lazy_table::LazyTable;
use crate::store::write::writer_context::WriterContext;

/// The stored updates.
pub(crate) struct ItemTable<'t> {
    rows: LazyTable<'t, u64, ItemValue<'static>>,
    /// Number of the next item, which the writer remembers between groups.
    next: &'t mut u64,
    /// Item number -> number of references that this group removed.
    decrements: BTreeMap<u64, u32>,
}

impl<'t> ItemTable<'t> {
    pub(crate) fn new(transaction: &'t GroupWrite<'t>, next: &'t mut u64) -> Self {
        Self { rows: LazyTable::new(transaction, tables::ITEMS), next, decrements: BTreeMap::new() }
    }

    /// Returns the items of a submission with their numbers. Updates for several servers are written here, once for all of
    /// them; a PDU is written by its own change and has no number.
    pub(crate) fn store(
        &mut self,
        cx: &mut WriterContext<'_>,
        submission: &Submission,
    ) -> Result<Vec<(u64, Item)>, redb::Error> {
        let updates = match &submission.what {
            SubmittedContent::Pdu(reference, _, bytes) => {
                return Ok(vec![(0, Item::Pdu(reference.clone(), bytes.clone()))]);
            }
            SubmittedContent::Updates(updates) => updates,
        };
        if submission.servers.len() == 1 {
            return updates
                .iter()
                .map(|bytes| Ok((self.number_alone(cx, bytes)?, Item::Update(bytes.clone()))))
                .collect();
        }
        let first = *self.next;
        if let Ok(names @ 1..) = u32::try_from(submission.servers.len()) {
            let items = self.rows.open()?;
            for (number, bytes) in (first..).zip(updates) {
                items.append(number, ItemValue { names, bytes })?;
            }
            *self.next += updates.len() as u64;
            cx.counts.rows_written += updates.len() as u64;
        }
        Ok((first..).zip(updates.iter().cloned().map(Item::Update)).collect())
    }

    /// Returns the number of an update that one outbox row is to have: [`IN_ROW`], unless it is no text.
    pub(crate) fn number_alone(&mut self, cx: &mut WriterContext<'_>, bytes: &Bytes) -> Result<u64, redb::Error> {
        if std::str::from_utf8(bytes).is_ok() { Ok(IN_ROW) } else { self.store_update(cx, bytes, 1) }
    }

    /// Stores one update to which this number of rows refers, and returns its number.
    pub(crate) fn store_update(
        &mut self,
        cx: &mut WriterContext<'_>,
        bytes: &Bytes,
        names: u32,
    ) -> Result<u64, redb::Error> {
        let number = *self.next;
        self.rows.open()?.append(number, ItemValue { names, bytes })?;
        *self.next += 1;
        cx.counts.rows_written += 1;
        Ok(number)
    }

    /// Counts one more reference to an item.
    pub(crate) fn refer_again(&mut self, cx: &mut WriterContext<'_>, item: u64) -> RedbResult {
        if item == 0 {
            return Ok(());
        }
        let items = self.rows.open()?;
        let Some((names, bytes)) = items.get(item)?.map(|row| (row.value().names, row.value().bytes.to_vec())) else {
            return Ok(());
        };
        items.insert(item, ItemValue { names: names + 1, bytes: &bytes })?;
        cx.counts.rows_read += 1;
        cx.counts.rows_written += 1;
        Ok(())
    }

    /// Counts one reference less to an item, at the end of the group.
    pub(crate) fn release(&mut self, item: u64) {
        if item > 0 && item != IN_ROW {
            *self.decrements.entry(item).or_default() += 1;
        }
    }

    /// Returns the bytes of an item.
    pub(crate) fn bytes(&mut self, item: u64) -> Result<Option<Bytes>, redb::Error> {
        Ok(self.rows.open()?.get(item)?.map(|row| Bytes::copy_from_slice(row.value().bytes)))
    }

    /// Decrements the reference counts of items whose rows were removed, and removes those that no row refers to. This is
    /// done once at the end of the group, because rows of one item are often removed together and each decrement rewrites
    /// the item's bytes.
    pub(crate) fn finish(&mut self, cx: &mut WriterContext<'_>) -> RedbResult {
        for (number, fewer) in std::mem::take(&mut self.decrements) {
            let items = self.rows.open()?;
            let left = match items.get(number)? {
                Some(row) => {
                    let ItemValue { names, bytes } = row.value();
                    (names > fewer).then(|| (names - fewer, bytes.to_vec()))
                }
                None => continue,
            };
            match left {
                Some((names, bytes)) => items.insert(number, ItemValue { names, bytes: &bytes })?,
                None => items.remove(number)?,
            }
            cx.counts.trim_reads += 1;
            cx.counts.rows_trimmed += 1;
        }
        Ok(())
    }
}
