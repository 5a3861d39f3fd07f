//! The feed positions that were skipped: one span for each restore from a backup.
//!
//! A restored store does not know which positions the lost store assigned after the backup. It skips a span that is larger
//! than any feed grows, so that no position is assigned twice. A reader whose position is inside a span has read everything
//! before the span and continues after it. Unlike trimmed rows, a span loses nothing.
//!
//! Several stores may start from the same backup, one after the other. Each must skip further than the one before: by
//! [`PER_MINUTE`] more for each minute of the backup's age, and as much for each earlier restore into the same data folder
//! (the folder's marker counts them), because two restores may be less than a minute apart.

use std::time::Duration;

use redb::{ReadableTable, Table};

/// Key in a store that was ever restored: its spans, as `last-next` separated by blanks.
const JUMPS: &str = "jumps";

/// Positions skipped by a restore: more than a feed uses in its lifetime.
const SPAN: u64 = 1 << 32;

/// More positions than a gateway can assign in a minute.
const PER_MINUTE: u64 = 1 << 23;

/// A span of positions that a restore skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PositionJump {
    /// Newest position before the span.
    last: u64,
    /// First position after the span.
    next: u64,
}

/// The skipped spans in which a reader's position can still be, in ascending order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PositionJumps(Vec<PositionJump>);

impl PositionJumps {
    /// Reads the jumps of a store.
    pub(crate) fn read(meta: &impl ReadableTable<&'static str, &'static str>) -> Result<Self, redb::Error> {
        let Some(row) = meta.get(JUMPS)? else { return Ok(Self::default()) };
        let jump = |text: &str| {
            let (last, next) = text.split_once('-')?;
            Some(PositionJump { last: last.parse().ok()?, next: next.parse().ok()? })
                .filter(|jump| jump.last < jump.next)
        };
        let jumps: Option<Vec<PositionJump>> = row.value().split_whitespace().map(jump).collect();
        let bad = || redb::Error::Corrupted(format!("the row {JUMPS} of meta is no list of spans"));
        jumps.filter(|jumps| jumps.is_sorted_by(|one, two| one.next <= two.last)).map(Self).ok_or_else(bad)
    }

    /// Skips a span after `tail`, in a store made from a backup of this age after `earlier` restores into its folder, and
    /// returns the first position after the span. Spans before `oldest`, the oldest row, are dropped, because rows after
    /// them were trimmed.
    pub(crate) fn add(
        &mut self,
        meta: &mut Table<'_, &'static str, &'static str>,
        (tail, oldest): (u64, Option<u64>),
        earlier: u64,
        age: Duration,
    ) -> Result<u64, redb::Error> {
        let next = tail + SPAN + PER_MINUTE * (age.as_secs() / 60 + earlier);
        self.0.retain(|jump| oldest.is_some_and(|oldest| oldest <= jump.next));
        self.0.push(PositionJump { last: tail, next });
        let words: Vec<String> = self.0.iter().map(|jump| format!("{}-{}", jump.last, jump.next)).collect();
        meta.insert(JUMPS, words.join(" ").as_str())?;
        Ok(next)
    }

    /// Returns whether `next` is the first position assigned after `after`, because the positions between them were skipped.
    pub(crate) fn join(&self, after: u64, next: u64) -> bool {
        self.0.iter().any(|jump| (jump.last..jump.next).contains(&after) && jump.next == next)
    }

    /// Returns the number of positions after `after`, up to `upto`, that were never assigned.
    pub(crate) fn skipped(&self, after: u64, upto: u64) -> u64 {
        let inside = |jump: &PositionJump| (jump.next - 1).min(upto).saturating_sub(jump.last.max(after));
        self.0.iter().map(inside).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jumps(spans: &[(u64, u64)]) -> PositionJumps {
        PositionJumps(spans.iter().map(|&(last, next)| PositionJump { last, next }).collect())
    }

    #[test]
    fn reader_inside_jump_continues_behind() {
        let jumps = jumps(&[(5, 100), (120, 300)]);
        for (after, next, joins) in [
            (5, 100, true),
            (6, 100, true),
            (99, 100, true),
            (4, 100, false),
            (100, 101, false),
            (99, 300, false),
            (120, 300, true),
            (119, 300, false),
        ] {
            assert_eq!(jumps.join(after, next), joins, "{after} to {next}");
        }
    }

    #[test]
    fn skipped_positions_count_once() {
        let jumps = jumps(&[(5, 100), (120, 300)]);
        for (after, upto, count) in [
            (0, 5, 0),
            (0, 100, 94),
            (5, 100, 94),
            (50, 100, 49),
            (0, 50, 45),
            (99, 120, 0),
            (0, 310, 273),
            (300, 310, 0),
        ] {
            assert_eq!(jumps.skipped(after, upto), count, "{after} to {upto}");
        }
    }
}
