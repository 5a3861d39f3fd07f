//! Records by which repeats of a peer are recognised: digests, transactions and nonces.

use actors::model::{Digest, SeenTransaction, ServerName, UsedNonce};

use crate::store::engine::group_write::GroupWrite;
use crate::store::error::RedbResult;
use crate::store::schema::codec::columns::SeenValue;
use crate::store::schema::tables::{NONCE_SLACK, NonceKey};
use crate::store::schema::{codec, tables};
use crate::store::write::lazy_table::LazyTable;
use crate::store::write::peer::numbered_rows::{newest_number, trim_oldest};
use crate::store::write::peer_tails::TakenEnds;
use crate::store::write::writer_context::WriterContext;

/// Number of nonces that are removed with each new one, at most: more than one, so that the table shrinks again after a burst.
pub(crate) const NONCES_TRIMMED: u32 = 2;

/// The digests, transactions and nonces of all peers.
pub(crate) struct InboundTables<'t> {
    taken: LazyTable<'t, (&'static str, u64), &'static [u8]>,
    seen: LazyTable<'t, (&'static str, u64), SeenValue<'static>>,
    nonces: LazyTable<'t, NonceKey, ()>,
}

impl<'t> InboundTables<'t> {
    pub(crate) fn new(transaction: &'t GroupWrite<'t>) -> Self {
        Self {
            taken: LazyTable::new(transaction, tables::INBOUND_DIGESTS),
            seen: LazyTable::new(transaction, tables::INBOUND_TRANSACTIONS),
            nonces: LazyTable::new(transaction, tables::NONCES),
        }
    }

    /// Stores the digests of the updates from number `first` on, and removes rows that lie below `forget_below`.
    pub(crate) fn store_digests(
        &mut self,
        cx: &mut WriterContext<'_>,
        from: &ServerName,
        first: u64,
        digests: &[Digest],
        forget_below: u64,
    ) -> RedbResult {
        let server = from.as_str();
        let known = cx.tails.get(from).and_then(|ends| ends.taken);
        let mut ends = known.map_or_else(|| self.read_taken_ends(cx, server), |ends| Ok(Some(ends)))?;
        if ends.is_some_and(|ends| first < ends.newest) {
            // The peer's numbering was reset: rows from this number on belong to numbers that will be assigned again.
            self.remove_taken(cx, server, |row_first, _| row_first >= first)?;
            ends = self.read_taken_ends(cx, server)?;
        }
        if !digests.is_empty() {
            self.taken.open()?.append((server, first), codec::digests_to_row(digests).as_slice())?;
            cx.counts.rows_written += 1;
            let newest = first + digests.len() as u64;
            ends = Some(TakenEnds { oldest: ends.map_or(newest, |ends| ends.oldest), newest });
        }
        if ends.is_some_and(|ends| ends.oldest <= forget_below) {
            self.remove_taken(cx, server, |_, row_end| row_end <= forget_below)?;
            ends = self.read_taken_ends(cx, server)?;
        }
        cx.tails.entry(from).taken = ends;
        Ok(())
    }

    fn read_taken_ends(&mut self, cx: &mut WriterContext<'_>, server: &str) -> Result<Option<TakenEnds>, redb::Error> {
        let taken = self.taken.open()?;
        let (mut first, mut oldest) = (0, None);
        if let Some((key, row)) = taken.range(tables::all_of(server))?.next().transpose()? {
            first = tables::number_of(key.value());
            oldest = Some(first + codec::digests_len(row.value()));
        }
        let Some(oldest) = oldest else { return Ok(None) };
        let mut newest = oldest;
        cx.counts.trim_reads += 1;
        if let Some((key, row)) = taken.range(tables::all_of(server))?.newest()? {
            let last = tables::number_of(key.value());
            newest = last + codec::digests_len(row.value());
            cx.counts.trim_reads += u64::from(last > first);
        }
        Ok(Some(TakenEnds { oldest, newest }))
    }

    /// Removes the rows for which `goes(first number, number after the last)` holds. Their count is bounded by the
    /// number of digests that an actor remembers.
    fn remove_taken(
        &mut self,
        cx: &mut WriterContext<'_>,
        server: &str,
        goes: impl Fn(u64, u64) -> bool,
    ) -> RedbResult {
        let taken = self.taken.open()?;
        let mut gone = Vec::new();
        for row in taken.range(tables::all_of(server))? {
            let (key, digests) = row?;
            let first = tables::number_of(key.value());
            cx.counts.trim_reads += 1;
            if goes(first, first + codec::digests_len(digests.value())) {
                gone.push(first);
            } else if !gone.is_empty() {
                break;
            }
        }
        cx.counts.rows_trimmed += gone.len() as u64;
        match (gone.first(), gone.last().and_then(|last| last.checked_add(1))) {
            (Some(first), Some(behind)) => taken.remove_range((server, *first), (server, behind)),
            _ => Ok(()),
        }
    }

    /// Adds a transaction, and removes the oldest beyond `keep`.
    pub(crate) fn add_transaction(
        &mut self,
        cx: &mut WriterContext<'_>,
        from: &ServerName,
        seen: &SeenTransaction,
        keep: u32,
    ) -> RedbResult {
        let server = from.as_str();
        let table = self.seen.open()?;
        let newest = match cx.tails.get(from).and_then(|ends| ends.seen) {
            Some(newest) => newest,
            None => {
                let newest = newest_number(table, &mut cx.counts, from)?;
                cx.counts.rows_read += u64::from(newest.is_some());
                newest.unwrap_or(0)
            }
        };
        let number = newest + 1;
        let verdicts = codec::verdicts_to_row(&seen.verdicts);
        let row = SeenValue { id: &seen.id, digest: &seen.digest.0, verdicts: &verdicts };
        table.append((server, number), row)?;
        cx.counts.rows_written += 1;
        trim_oldest(table, &mut cx.counts, server, number.saturating_sub(keep.into()))?;
        cx.tails.entry(from).seen = Some(number);
        Ok(())
    }

    /// Records the nonce of a signature, and removes some of those whose signatures are too old.
    pub(crate) fn use_nonce(&mut self, cx: &mut WriterContext<'_>, used: &UsedNonce) -> RedbResult {
        let (before, nonces) = (cx.now.0.saturating_sub(NONCE_SLACK), self.nonces.open()?);
        let mut over = vec![];
        for row in nonces.range(..(before, "", ""))?.take(NONCES_TRIMMED as usize) {
            let (key, _) = row?;
            let (until, name, nonce) = key.value();
            cx.counts.trim_reads += 1;
            over.push((until, name.to_owned(), nonce.to_owned()));
        }
        for (until, name, nonce) in over {
            nonces.remove((until, name.as_str(), nonce.as_str()))?;
            cx.counts.rows_trimmed += 1;
        }
        nonces.insert((used.until.0, &*used.key, &*used.nonce), ())?;
        cx.counts.rows_written += 1;
        Ok(())
    }
}
