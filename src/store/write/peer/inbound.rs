//! Applies the changes that remove rows: outbox, items, digests, feed, quarantine, transactions, submissions.

use actors::model::{Digest, FeedItem, ParkedItem, SeenTransaction, ServerName, SubmissionId, UsedNonce};
use redb::{ReadableTable, Table, Value};

use crate::store::counters::RowCounts;
use crate::store::schema::codec;
use crate::store::schema::codec::columns::{ItemValue, OutboxValue, QuarantineValue, SeenValue};
use crate::store::schema::tables;
use crate::store::schema::tables::NONCE_SLACK;
use crate::store::write::apply::{NONCES_TRIMMED, TableTails, TakenEnds, WriteBatch};

impl WriteBatch<'_> {
    pub(crate) fn trim_outbox(
        &mut self,
        server: &ServerName,
        upto: u64,
        keep_items: u64,
        queued_before: u64,
        rows_max: u32,
    ) -> Result<(), redb::Error> {
        let outbox = self.outbox.open()?;
        let mut gone = Vec::new();
        // The walk ends at the oldest row that stays, so it reads one more row than it removes and not the whole
        // outbox.
        for row in outbox.range((server.as_str(), 0)..(server.as_str(), upto))?.take(rows_max as usize) {
            let (key, value) = row?;
            let (index, OutboxValue { queued, item, .. }) = (tables::number_of(key.value()), value.value());
            self.counts.trim_reads += 1;
            if upto - index <= keep_items && queued >= queued_before {
                break;
            }
            gone.push((index, item));
        }
        let newest = gone.last().map(|(index, _)| *index);
        for (index, item) in gone {
            outbox.remove((server.as_str(), index))?;
            // `item` is 0 for PDUs: they are not reference-counted and stay in `pdus`.
            if item > 0 {
                *self.item_refcount_decrements.entry(item).or_default() += 1;
            }
            self.counts.rows_trimmed += 1;
        }
        newest.map_or(Ok(()), |newest| self.trim_sent(server, newest, rows_max))
    }

    /// Removes transactions of which no outbox row is left, oldest first.
    fn trim_sent(&mut self, server: &ServerName, newest: u64, rows_max: u32) -> Result<(), redb::Error> {
        let sent = self.sent.open()?;
        let mut gone = Vec::new();
        for row in sent.range(tables::all_of(server.as_str()))?.take(rows_max as usize) {
            let (key, places) = row?;
            self.counts.trim_reads += 1;
            let (_, last) = places.value();
            if last > newest {
                break;
            }
            gone.push(tables::number_of(key.value()));
        }
        for id in gone {
            sent.remove((server.as_str(), id))?;
            self.counts.rows_trimmed += 1;
        }
        Ok(())
    }

    /// Decrements the reference counts of items whose rows were removed. This is done once at the end of the group,
    /// because rows of one item are often removed together and each decrement rewrites the item's bytes.
    pub(crate) fn delete_unreferenced_items(&mut self) -> Result<(), redb::Error> {
        for (number, fewer) in std::mem::take(&mut self.item_refcount_decrements) {
            let items = self.items.open()?;
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
            };
            self.counts.trim_reads += 1;
            self.counts.rows_trimmed += 1;
        }
        Ok(())
    }

    pub(crate) fn taken(
        &mut self,
        from: &ServerName,
        first: u64,
        digests: &[Digest],
        forget_below: u64,
    ) -> Result<(), redb::Error> {
        let server = from.as_str();
        let mut ends = self.taken_ends(from)?;
        if ends.is_some_and(|ends| first < ends.newest) {
            // The peer's numbering was reset: rows from this number on belong to numbers that will be assigned again.
            self.remove_taken(server, |row_first, _| row_first >= first)?;
            ends = self.read_taken_ends(server)?;
        }
        if !digests.is_empty() {
            self.taken.open()?.insert((server, first), codec::digests_to_row(digests).as_slice())?;
            self.counts.rows_written += 1;
            let newest = first + digests.len() as u64;
            ends = Some(TakenEnds { oldest: ends.map_or(newest, |ends| ends.oldest), newest });
        }
        if ends.is_some_and(|ends| ends.oldest <= forget_below) {
            self.remove_taken(server, |_, row_end| row_end <= forget_below)?;
            ends = self.read_taken_ends(server)?;
        }
        self.ends(from).taken = ends;
        Ok(())
    }

    fn taken_ends(&mut self, server: &ServerName) -> Result<Option<TakenEnds>, redb::Error> {
        match self.memory.peers.get(server).and_then(|ends| ends.taken) {
            Some(ends) => Ok(Some(ends)),
            None => self.read_taken_ends(server.as_str()),
        }
    }

    fn read_taken_ends(&mut self, server: &str) -> Result<Option<TakenEnds>, redb::Error> {
        let mut range = self.taken.open()?.range(tables::all_of(server))?;
        let end = |(key, row): (redb::AccessGuard<'_, (&str, u64)>, redb::AccessGuard<'_, &[u8]>)| {
            tables::number_of(key.value()) + codec::digests_len(row.value())
        };
        let oldest = range.next().transpose()?.map(end);
        let newest = range.next_back().transpose()?.map(end);
        self.counts.trim_reads += u64::from(oldest.is_some()) + u64::from(newest.is_some());
        Ok(oldest.map(|oldest| TakenEnds { oldest, newest: newest.unwrap_or(oldest) }))
    }

    /// Removes the rows for which `goes(first number, number after the last)` holds. Their count is bounded by the
    /// number of digests that an actor remembers.
    fn remove_taken(&mut self, server: &str, goes: impl Fn(u64, u64) -> bool) -> Result<(), redb::Error> {
        let taken = self.taken.open()?;
        let mut gone = Vec::new();
        for row in taken.range(tables::all_of(server))? {
            let (key, digests) = row?;
            let first = tables::number_of(key.value());
            self.counts.trim_reads += 1;
            if goes(first, first + codec::digests_len(digests.value())) {
                gone.push(first);
            } else if !gone.is_empty() {
                break;
            }
        }
        for first in gone {
            taken.remove((server, first))?;
            self.counts.rows_trimmed += 1;
        }
        Ok(())
    }

    pub(crate) fn quarantined(&mut self, parked: ParkedItem, keep: u64) -> Result<(), redb::Error> {
        let server = parked.from.as_str();
        let known = self.memory.peers.get(&parked.from).and_then(|ends| ends.quarantine);
        let quarantine = self.quarantine.open()?;
        let newest = match known {
            Some(newest) => newest,
            None => {
                self.counts.lookups += 1;
                let newest = quarantine.range(tables::all_of(server))?.next_back().transpose()?;
                newest.map_or(0, |(key, _)| tables::number_of(key.value()))
            }
        };
        let number = newest + 1;
        let (seq, what) = codec::what_to_row(&parked.what);
        let row = QuarantineValue {
            time: self.now.0,
            seq,
            what: &what,
            code: parked.code.as_str(),
            reason: &parked.reason,
            bytes: &parked.bytes,
        };
        self.quarantine.open()?.insert((server, number), row)?;
        self.counts.rows_written += 1;
        self.stranger_kept(&parked, number)?;
        self.trim_quarantine(server, number.saturating_sub(keep))?;
        self.ends(&parked.from).quarantine = Some(number);
        self.append_feed(&codec::feed_to_row(&FeedItem::Parked(parked)))
    }

    pub(crate) fn transaction_seen(
        &mut self,
        from: &ServerName,
        seen: &SeenTransaction,
        keep: u32,
    ) -> Result<(), redb::Error> {
        let server = from.as_str();
        let newest = match self.ends(from).seen {
            Some(newest) => newest,
            None => {
                self.counts.lookups += 1;
                let newest = self.seen.open()?.range(tables::all_of(server))?.next_back().transpose()?;
                self.counts.rows_read += u64::from(newest.is_some());
                newest.map_or(0, |(key, _)| tables::number_of(key.value()))
            }
        };
        let number = newest + 1;
        let verdicts = codec::verdicts_to_row(&seen.verdicts);
        let row = SeenValue { id: &seen.id, digest: &seen.digest.0, verdicts: &verdicts };
        self.seen.open()?.insert((server, number), row)?;
        self.counts.rows_written += 1;
        let counts = &mut self.counts;
        trim_oldest(self.seen.open()?, counts, server, number.saturating_sub(keep.into()))?;
        self.ends(from).seen = Some(number);
        Ok(())
    }

    /// Records the nonce of a signature, and removes some of those whose signatures are too old.
    pub(crate) fn nonce_used(&mut self, used: &UsedNonce) -> Result<(), redb::Error> {
        let (before, nonces) = (self.now.0.saturating_sub(NONCE_SLACK), self.nonces.open()?);
        let mut over = vec![];
        for row in nonces.range(..(before, "", ""))?.take(NONCES_TRIMMED as usize) {
            let (key, _) = row?;
            let (until, name, nonce) = key.value();
            self.counts.trim_reads += 1;
            over.push((until, name.to_owned(), nonce.to_owned()));
        }
        for (until, name, nonce) in over {
            nonces.remove((until, name.as_str(), nonce.as_str()))?;
            self.counts.rows_trimmed += 1;
        }
        nonces.insert((used.until.0, &*used.key, &*used.nonce), ())?;
        self.counts.rows_written += 1;
        Ok(())
    }

    pub(crate) fn trim_feed(&mut self, before: u64, rows_max: u32) -> Result<(), redb::Error> {
        let feed = self.feed.open()?;
        let mut gone = Vec::new();
        for row in feed.range(..=self.memory.feed_acked)?.take(rows_max as usize) {
            let (position, value) = row?;
            self.counts.trim_reads += 1;
            if value.value().time >= before {
                break;
            }
            gone.push(position.value());
        }
        for position in gone {
            feed.remove(position)?;
            self.counts.rows_trimmed += 1;
        }
        Ok(())
    }

    pub(crate) fn forget_submissions(&mut self, ids: &[SubmissionId]) -> Result<(), redb::Error> {
        for id in ids {
            let gone = self.submissions.open()?.remove(id.as_str())?;
            self.counts.rows_trimmed += u64::from(gone.is_some());
        }
        Ok(())
    }

    fn ends(&mut self, server: &ServerName) -> &mut TableTails {
        self.memory.peers.entry(server.clone()).or_default()
    }
}

/// Removes the oldest rows. Numbers have no gaps except at the old end, so the rows up to `upto` are the oldest ones,
/// beyond the number that is kept.
pub(crate) fn trim_oldest<V: Value>(
    table: &mut Table<'_, (&'static str, u64), V>,
    counts: &mut RowCounts,
    server: &str,
    upto: u64,
) -> Result<(), redb::Error> {
    /// Maximum number of rows removed at once: a lower limit in the settings is reached over several commits.
    const ROWS_MAX: usize = 256;
    if upto == 0 {
        return Ok(());
    }
    let oldest = table.range((server, 0)..=(server, upto))?.take(ROWS_MAX);
    let oldest = oldest.map(|row| Ok(tables::number_of(row?.0.value()))).collect::<Result<Vec<_>, redb::Error>>()?;
    for number in oldest {
        table.remove((server, number))?;
        counts.trim_reads += 1;
        counts.rows_trimmed += 1;
    }
    Ok(())
}
