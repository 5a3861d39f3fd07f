//! The PDUs that one side has in a window, in an order that both sides compute, and the digests of its ranges.
//!
//! A PDU is a tag, which is a hash of its identity, at the time that its origin states. Neither depends on when or in which order the
//! PDU came. The hash is salted anew for each comparison, so that nobody can choose ids whose sum hides a difference.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use actors::model::{Millis, PduRef};
use actors::ports::TimelineMark;
use sha2::{Digest, Sha256};

/// The salt of a comparison, which is also its name.
pub(crate) type CompareSalt = [u8; 16];

/// Returns the tag of a PDU: the first 16 bytes of SHA-256 over the salt, the origin, a zero byte and the id.
pub(crate) fn tag_of(salt: &CompareSalt, reference: &PduRef) -> u128 {
    let mut hash = Sha256::new();
    hash.update(salt);
    hash.update(reference.origin.as_str());
    hash.update([0]);
    hash.update(reference.id.as_str());
    let hash: [u8; 32] = hash.finalize().into();
    let (tag, _) = hash.split_first_chunk().expect("32 bytes have 16");
    u128::from_be_bytes(*tag)
}

/// A place in the order of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RangeBound {
    /// Time that the origin states.
    pub(crate) at: Millis,
    /// Tag of the PDU.
    pub(crate) tag: u128,
}

impl RangeBound {
    /// Returns the place before all PDUs of this time.
    pub(crate) const fn before(at: Millis) -> Self {
        Self { at, tag: 0 }
    }
}

/// A part of the window: from a place, which belongs to it, to another one, which does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ComparedRange {
    pub(crate) from: RangeBound,
    pub(crate) to: RangeBound,
}

/// The digest of the PDUs of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct RangeDigest {
    /// Number of the PDUs.
    pub(crate) count: u64,
    /// Sum of their tags, modulo 2^128.
    pub(crate) sum: u128,
}

/// A question about a range: are these the PDUs that the peer has in it?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AskedRange {
    pub(crate) range: ComparedRange,
    pub(crate) digest: RangeDigest,
}

/// A part of a range, which begins where the part before it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RangePart {
    pub(crate) to: RangeBound,
    pub(crate) digest: RangeDigest,
}

/// A PDU of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PduMark {
    pub(crate) bound: RangeBound,
    /// Position in the timeline, under which its identity is found.
    pub(crate) position: i64,
}

/// The PDUs of one side, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ComparedSet {
    marks: Vec<PduMark>,
}

impl ComparedSet {
    /// Returns the set of these PDUs.
    pub(crate) fn new(mut marks: Vec<PduMark>) -> Self {
        marks.sort_unstable();
        Self { marks }
    }

    /// Leaves out the PDUs before this time.
    pub(crate) fn begin_at(&mut self, from: Millis) {
        let first = self.marks.partition_point(|mark| mark.bound.at < from);
        self.marks.drain(..first);
    }

    /// Returns the PDUs of a range.
    pub(crate) fn marks(&self, range: ComparedRange) -> &[PduMark] {
        let place = |bound: RangeBound| self.marks.partition_point(|mark| mark.bound < bound);
        let (first, end) = (place(range.from), place(range.to));
        self.marks.get(first..end).unwrap_or_default()
    }

    /// Returns the digest of a range.
    pub(crate) fn digest(&self, range: ComparedRange) -> RangeDigest {
        digest(self.marks(range))
    }

    /// Splits a range into `ways` parts with about as many PDUs each.
    pub(crate) fn parts(&self, range: ComparedRange, ways: usize) -> Vec<RangePart> {
        let marks = self.marks(range);
        let size = marks.len().div_ceil(ways).max(1);
        let ends = marks.chunks(size).skip(1).map(|next| next[0].bound).chain([range.to]);
        marks.chunks(size).zip(ends).map(|(part, to)| RangePart { to, digest: digest(part) }).collect()
    }
}

fn digest(marks: &[PduMark]) -> RangeDigest {
    let sum = marks.iter().fold(0_u128, |sum, mark| sum.wrapping_add(mark.bound.tag));
    RangeDigest { count: marks.len() as u64, sum }
}

/// Collects the PDUs of a window: the newest ones, if there are more than a limit.
pub(crate) struct SetCollector {
    salt: CompareSalt,
    from: Millis,
    to: Millis,
    max: usize,
    /// PDUs so far; the oldest is at the top.
    kept: BinaryHeap<Reverse<PduMark>>,
}

impl SetCollector {
    /// Returns a collector of the PDUs from one time up to another.
    pub(crate) fn new(salt: CompareSalt, from: Millis, to: Millis, max: usize) -> Self {
        Self { salt, from, to, max: max.max(1), kept: BinaryHeap::new() }
    }

    /// Adds a PDU if it is in the window and both sides may have it.
    pub(crate) fn add(&mut self, mark: &TimelineMark) {
        let Some(at) = mark.stated.filter(|at| mark.is_shared && (self.from..self.to).contains(at)) else { return };
        let bound = RangeBound { at, tag: tag_of(&self.salt, &mark.reference) };
        self.kept.push(Reverse(PduMark { bound, position: mark.position }));
        if self.kept.len() > self.max
            && let Some(Reverse(oldest)) = self.kept.pop()
        {
            // All PDUs of a time are in the set, or none.
            self.raise(Millis(oldest.bound.at.0 + 1));
        }
    }

    /// Makes the window begin at this time, if it begins earlier.
    pub(crate) fn raise(&mut self, from: Millis) {
        self.from = self.from.max(from.min(self.to));
    }

    /// Returns the begin of the window.
    pub(crate) const fn from(&self) -> Millis {
        self.from
    }

    /// Returns the set, and the begin of its window.
    pub(crate) fn finish(self) -> (ComparedSet, Millis) {
        let Self { from, kept, .. } = self;
        let mut set = ComparedSet::new(kept.into_vec().into_iter().map(|Reverse(mark)| mark).collect());
        set.begin_at(from);
        (set, from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(number: u64, stated: u64) -> TimelineMark {
        let reference =
            PduRef { origin: "red".parse().expect("valid"), id: number.to_string().parse().expect("valid") };
        let (position, stated, since) = (number as i64, Some(Millis(stated)), Millis(stated));
        TimelineMark { position, reference, stated, since, is_shared: true }
    }

    fn collected(from: u64, to: u64, max: usize, marks: &[TimelineMark]) -> (Vec<i64>, u64) {
        let mut collector = SetCollector::new([7; 16], Millis(from), Millis(to), max);
        marks.iter().for_each(|mark| collector.add(mark));
        let (set, from) = collector.finish();
        let mut positions: Vec<i64> = set.marks.iter().map(|mark| mark.position).collect();
        positions.sort_unstable();
        (positions, from.0)
    }

    #[test]
    fn tag_is_hash_of_identity() {
        let reference = mark(12, 0).reference;
        let expected = Sha256::digest([&[7; 16][..], b"red", &[0], b"12"].concat());
        assert_eq!(tag_of(&[7; 16], &reference).to_be_bytes(), expected[..16]);
        assert_ne!(tag_of(&[8; 16], &reference), tag_of(&[7; 16], &reference));
    }

    #[test]
    fn window_holds_shared_pdus_alone() {
        let (others, timeless) =
            (TimelineMark { is_shared: false, ..mark(5, 15) }, TimelineMark { stated: None, ..mark(6, 15) });
        let marks = [mark(4, 20), mark(3, 19), mark(2, 10), mark(1, 9), others, timeless];
        assert_eq!(collected(10, 20, 100, &marks), (vec![2, 3], 10));
    }

    #[test]
    fn full_window_begins_later() {
        let marks = [mark(1, 11), mark(2, 12), mark(3, 12), mark(4, 13), mark(5, 14)];
        assert_eq!(collected(10, 20, 5, &marks), (vec![1, 2, 3, 4, 5], 10));
        assert_eq!(collected(10, 20, 3, &marks).1, 13, "one of two PDUs of a time is never compared alone");
        let reversed: Vec<_> = marks.iter().rev().cloned().collect();
        assert_eq!(collected(10, 20, 3, &reversed), (vec![4, 5], 13), "whatever the order of arrival is");
    }

    #[test]
    fn parts_cover_their_range() {
        let marks = (0..100).map(|number| {
            let bound = RangeBound { at: Millis(number / 3), tag: u128::from(number) };
            PduMark { bound, position: number as i64 }
        });
        let set = ComparedSet::new(marks.rev().collect());
        let range = ComparedRange { from: RangeBound::before(Millis(1)), to: RangeBound::before(Millis(30)) };
        let parts = set.parts(range, 16);
        assert_eq!((parts.len(), parts.last().map(|part| part.to)), (15, Some(range.to)));
        let mut from = range.from;
        for part in &parts {
            assert_eq!(set.digest(ComparedRange { from, to: part.to }), part.digest);
            from = part.to;
        }
        let whole = set.digest(range);
        assert_eq!(parts.iter().map(|part| part.digest.count).sum::<u64>(), whole.count);
        let backwards = ComparedRange { from: range.to, to: range.from };
        assert_eq!(set.digest(backwards), RangeDigest::default());
    }
}
