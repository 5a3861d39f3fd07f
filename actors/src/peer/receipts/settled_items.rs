//! The items of an outbox whose fate is known: the peer's messenger has acknowledged them, or they are dead letters. Only ranges are
//! kept, because a messenger acknowledges in the order of its feed, which is nearly that of the items.

/// Maximum number of ranges. Beyond it the oldest is forgotten: its items count as acknowledged by the peer alone.
const RANGES_MAX: usize = 1_000;

/// A set of numbers, kept as ranges.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SettledItems {
    /// Both ends included; ascending, with a gap between any two.
    ranges: Vec<(u64, u64)>,
}

impl SettledItems {
    /// Returns the set with these ranges, which were kept in their order.
    pub const fn from_ranges(ranges: Vec<(u64, u64)>) -> Self {
        Self { ranges }
    }

    /// Returns the ranges.
    pub fn ranges(&self) -> &[(u64, u64)] {
        &self.ranges
    }

    /// Returns whether it is empty.
    pub const fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Returns whether it has all numbers of a range.
    pub fn has_all(&self, first: u64, last: u64) -> bool {
        self.ranges.iter().any(|&(from, to)| from <= first && last <= to)
    }

    /// Returns the last of the numbers from this one on of which none is missing; `None`: this one is missing.
    pub(crate) fn run_from(&self, first: u64) -> Option<u64> {
        self.ranges.iter().find(|&&(from, to)| from <= first && first <= to).map(|&(_, to)| to)
    }

    /// Returns the first number that it lacks, from 1 on.
    pub fn first_open(&self) -> u64 {
        match self.ranges.first() {
            Some(&(0..=1, last)) => last.saturating_add(1),
            _ => 1,
        }
    }

    /// Adds a range, and returns those parts of it that are new.
    pub fn insert(&mut self, first: u64, last: u64) -> Vec<(u64, u64)> {
        if first > last {
            return Vec::new();
        }
        let (mut new, mut next) = (Vec::new(), first);
        // Ranges that overlap the new one or touch it become one with it.
        let start = self.ranges.partition_point(|&(_, to)| to.saturating_add(1) < first);
        let end = self.ranges.partition_point(|&(from, _)| from <= last.saturating_add(1));
        let (mut low, mut high) = (first, last);
        for &(from, to) in &self.ranges[start..end] {
            if next < from && next <= last {
                new.push((next, (from - 1).min(last)));
            }
            next = next.max(to.saturating_add(1));
            (low, high) = (low.min(from), high.max(to));
        }
        if next <= last {
            new.push((next, last));
        }
        self.ranges.splice(start..end, [(low, high)]);
        if self.ranges.len() > RANGES_MAX {
            self.ranges.remove(0);
        }
        new
    }

    /// Removes all numbers from this one on; returns whether there were any.
    pub(crate) fn cut_from(&mut self, first: u64) -> bool {
        let kept = self.ranges.partition_point(|&(from, _)| from < first);
        let are_cut = self.ranges.len() > kept;
        self.ranges.truncate(kept);
        match self.ranges.last_mut().filter(|(_, to)| *to >= first) {
            Some((_, to)) => {
                *to = first - 1;
                true
            }
            None => are_cut,
        }
    }

    /// Removes and returns all numbers up to this one.
    pub(crate) fn take_upto(&mut self, last: u64) -> Vec<(u64, u64)> {
        let count = self.ranges.partition_point(|&(_, to)| to <= last);
        let mut taken = self.take(count);
        if let Some((from, _)) = self.ranges.first_mut().filter(|(from, _)| *from <= last) {
            taken.push((*from, last));
            *from = last + 1;
        }
        taken
    }

    /// Removes and returns the first ranges, at most so many.
    pub(crate) fn take(&mut self, max: usize) -> Vec<(u64, u64)> {
        self.ranges.drain(..max.min(self.ranges.len())).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn touching_ranges_become_one() {
        let mut set = SettledItems::default();
        assert_eq!(set.insert(3, 5), [(3, 5)]);
        assert_eq!(set.insert(8, 9), [(8, 9)]);
        assert_eq!((set.first_open(), set.has_all(3, 5), set.has_all(5, 8)), (1, true, false));
        assert_eq!(set.insert(4, 8), [(6, 7)], "the rest was there");
        assert_eq!(set.ranges(), [(3, 9)]);
        assert_eq!((set.run_from(2), set.run_from(4), set.run_from(10)), (None, Some(9), None));
        assert_eq!(set.insert(1, 2), [(1, 2)]);
        assert_eq!((set.ranges(), set.first_open()), (&[(1, 9)][..], 10));
        assert!(set.insert(2, 2).is_empty() && set.insert(5, 4).is_empty());
    }

    #[test]
    fn ranges_are_bounded() {
        let mut set = SettledItems::default();
        for n in 0..=RANGES_MAX as u64 {
            set.insert(2 * n + 1, 2 * n + 1);
        }
        assert_eq!((set.ranges().len(), set.ranges()[0]), (RANGES_MAX, (3, 3)));
    }

    proptest! {
        #[test]
        fn ranges_are_a_set(inserts in prop::collection::vec((1_u64..60, 0_u64..8), 0..40), at in 0_u64..70) {
            let (mut set, mut plain) = (SettledItems::default(), std::collections::BTreeSet::new());
            for (first, more) in inserts {
                let new: Vec<u64> = set.insert(first, first + more).into_iter().flat_map(|(a, b)| a..=b).collect();
                let expected: Vec<u64> = (first..=first + more).filter(|n| plain.insert(*n)).collect();
                prop_assert_eq!(new, expected);
            }
            let all: Vec<u64> = set.ranges().iter().flat_map(|&(a, b)| a..=b).collect();
            prop_assert_eq!(all, plain.iter().copied().collect::<Vec<_>>());
            prop_assert!(set.ranges().windows(2).all(|pair| pair[0].1 + 1 < pair[1].0));
            let (mut low, mut high) = (set.clone(), set);
            let taken: Vec<u64> = high.take_upto(at).into_iter().flat_map(|(a, b)| a..=b).collect();
            prop_assert_eq!(low.cut_from(at + 1), plain.iter().any(|n| *n > at));
            let [low, high] = [low, high].map(|set| set.ranges().iter().flat_map(|&(a, b)| a..=b).collect::<Vec<_>>());
            prop_assert_eq!(&taken, &low);
            prop_assert_eq!([low, high].concat(), plain.into_iter().collect::<Vec<_>>());
        }
    }
}
