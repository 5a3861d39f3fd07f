//! The received sequence of one sender: the expected number, the digests of earlier updates, and what was learned about the
//! sender's numbering.

use std::collections::VecDeque;

use crate::model::{Digest, DigestKey, InboundPush, InboundRecord, Seq, StrongBody, StrongUpdate};

/// Number of digests that are kept; an older repeat cannot be distinguished from another update.
pub const DIGESTS_MAX: usize = 1024;

/// Digest of a push without strong updates, for a sender that numbers pushes.
pub(super) const NOTHING: Digest = Digest([0; 16]);

/// The received sequence, as far as the classification of a push reads it.
#[derive(Debug, Clone)]
pub struct ReceivedSequence {
    /// The number that the next new strong update must have.
    expected: Seq,
    /// Digests of the newest updates, ascending, one per number; the last one belongs to the number before `expected`.
    digests: VecDeque<Digest>,
    /// True if the sender was found to number its pushes.
    numbers_pushes: bool,
    /// True if the sender has stated ranges (`from_seq`), and so can be asked to renumber.
    states_ranges: bool,
    /// Number of a push without strong updates that equalled `expected` and was answered with a hole.
    probe_answered_with_hole: Option<Seq>,
}

/// Digests that came in with one push, for the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDigests {
    /// Number of the first digest.
    pub first: Seq,
    /// Digests, one per number.
    pub digests: Vec<Digest>,
    /// Number below which no digests are kept.
    pub forget_below: Seq,
}

impl ReceivedSequence {
    /// Returns the sequence that was loaded from the store.
    pub fn new(record: &InboundRecord, digests: Vec<Digest>) -> Self {
        Self {
            expected: record.expected,
            digests: digests.into(),
            numbers_pushes: record.numbers_pushes,
            states_ranges: record.sends_from_seq,
            probe_answered_with_hole: None,
        }
    }

    /// Writes its part of the record.
    pub const fn keep(&self, record: &mut InboundRecord) {
        record.expected = self.expected;
        record.numbers_pushes = self.numbers_pushes;
        record.sends_from_seq = self.states_ranges;
    }

    /// Returns the number that is expected next.
    pub const fn expected(&self) -> Seq {
        self.expected
    }

    /// Returns whether the sender was found to number its pushes.
    pub const fn numbers_pushes(&self) -> bool {
        self.numbers_pushes
    }

    /// Returns whether the sender has stated ranges.
    pub const fn states_ranges(&self) -> bool {
        self.states_ranges
    }

    /// Returns whether a push with this number and without strong updates was answered with a hole, and none was accepted
    /// since.
    pub fn has_answered_probe(&self, number: Seq) -> bool {
        self.probe_answered_with_hole == Some(number)
    }

    /// Returns the first number whose digest is kept.
    pub fn kept_from(&self) -> Seq {
        Seq(self.expected.0 - self.digests.len() as u64)
    }

    /// Returns the digest that is kept under this number.
    pub fn digest(&self, number: u64) -> Option<Digest> {
        let back = usize::try_from(self.expected.0.checked_sub(number)?).ok()?;
        self.digests.len().checked_sub(back).and_then(|at| self.digests.get(at)).copied()
    }

    /// Returns whether this update is the one whose digest is kept under this number.
    pub fn holds(&self, number: u64, strong: &StrongUpdate) -> bool {
        self.digest(number).is_some_and(|kept| DigestKey::is_digest_of(kept, strong.digest, &strong.bytes))
    }

    /// Returns whether this push is the one whose digest is kept under this number, for a sender that numbers pushes.
    pub fn holds_push(&self, number: u64, push: &InboundPush) -> bool {
        // A PDU is identified by what it says, with a key and without.
        let unkeyed_of = |strong: &StrongUpdate| match strong.body {
            StrongBody::Pdu(_) => strong.digest,
            _ => Digest::sha256(&strong.bytes),
        };
        let unkeyed = || digest_by(push, unkeyed_of);
        self.digest(number).is_some_and(|kept| kept == digest_of(push) || kept == unkeyed())
    }

    /// Returns whether the number is older than the digests.
    pub fn is_too_old(&self, number: u64) -> bool {
        number + (self.digests.len() as u64) < self.expected.0
    }

    /// Learns how the sender numbers; returns whether that is news.
    pub const fn learn_numbering(&mut self, numbers_pushes: bool) -> bool {
        std::mem::replace(&mut self.numbers_pushes, numbers_pushes) != numbers_pushes
    }

    /// Records that a push without strong updates is answered with a hole.
    pub fn answer_hole(&mut self, number: Seq) {
        if number == self.expected {
            self.probe_answered_with_hole = Some(number);
        }
    }

    /// Records an accepted push: the digests of its updates under their numbers, or one digest of the push under its
    /// number.
    pub fn accept(&mut self, push: &InboundPush, numbers_pushes: bool) -> NewDigests {
        let (first, digests) = match numbers_pushes {
            true => (push.seq, vec![digest_of(push)]),
            false => {
                let first = Seq(push.seq.0 + 1 - push.strong.len() as u64);
                (first, push.strong.iter().map(|strong| strong.digest).collect())
            }
        };
        self.digests.truncate(usize::try_from(first.since(self.kept_from())).unwrap_or(usize::MAX));
        self.digests.extend(digests.iter().copied());
        while self.digests.len() > DIGESTS_MAX {
            self.digests.pop_front();
        }
        self.expected = push.seq.next();
        self.states_ranges |= push.from_seq.is_some();
        NewDigests { first, digests, forget_below: self.kept_from() }
    }

    /// Continues from this number, as an operator or the configuration says; returns the number that was expected before.
    /// The sender may be another program now, so whether it states ranges is learned anew.
    pub fn go_on_from(&mut self, number: Seq) -> Seq {
        let before = std::mem::replace(&mut self.expected, number);
        self.digests.clear();
        self.probe_answered_with_hole = None;
        self.states_ranges = false;
        before
    }
}

/// Returns the digest of a whole push, for a sender that numbers pushes. A single update keeps its own digest, so that
/// the stored digests stay valid when the numbering is learned. A sender that forges it harms only itself.
pub fn digest_of(push: &InboundPush) -> Digest {
    digest_by(push, |strong| strong.digest)
}

fn digest_by(push: &InboundPush, digest: impl Fn(&StrongUpdate) -> Digest) -> Digest {
    match &*push.strong {
        [] => NOTHING,
        [one] => digest(one),
        strong => {
            const ODD: u128 = 0x0000_0100_0000_01b3_9e37_79b9_7f4a_7c15;
            let mix = |sum: u128, digest: Digest| {
                (sum.rotate_left(43) ^ u128::from_le_bytes(digest.0)).wrapping_mul(ODD).wrapping_add(1)
            };
            Digest(strong.iter().map(digest).fold(0, mix).to_le_bytes())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::inbound::tests::{letter_digest, letter_push as push, red_pdu};

    fn empty() -> ReceivedSequence {
        ReceivedSequence::new(&InboundRecord::default(), vec![])
    }

    fn held(sequence: &ReceivedSequence) -> String {
        let from = sequence.kept_from().0;
        (from..sequence.expected().0).filter_map(|n| Some(sequence.digest(n)?.0[0] as char)).collect()
    }

    #[test]
    fn record_keeps_learned_numbering() {
        for (numbers_pushes, sends_from_seq) in [(true, false), (false, true)] {
            let loaded = InboundRecord { numbers_pushes, sends_from_seq, ..InboundRecord::default() };
            let mut record = InboundRecord::default();
            ReceivedSequence::new(&loaded, vec![]).keep(&mut record);
            assert_eq!((record.numbers_pushes, record.sends_from_seq), (numbers_pushes, sends_from_seq));
        }
    }

    #[test]
    fn accepted_push_replaces_reused_numbers() {
        let mut sequence = empty();
        sequence.accept(&push(None, 4, "abcd"), false);
        assert_eq!((held(&sequence).as_str(), sequence.expected()), ("abcd", Seq(5)));
        let new = sequence.accept(&push(None, 3, "xy"), false);
        assert_eq!((held(&sequence).as_str(), sequence.expected()), ("axy", Seq(4)));
        let digests = vec![letter_digest('x'), letter_digest('y')];
        assert_eq!(new, NewDigests { first: Seq(2), digests, forget_below: Seq(1) });
    }

    #[test]
    fn numbered_push_stores_one_digest() {
        let mut sequence = empty();
        let (whole, nothing) = (push(None, 1, "abc"), push(None, 2, ""));
        assert_eq!(sequence.accept(&whole, true).digests, [digest_of(&whole)]);
        assert_eq!(sequence.accept(&nothing, true).digests, [NOTHING]);
        assert_eq!((sequence.digest(1), sequence.digest(2)), (Some(digest_of(&whole)), Some(NOTHING)));
        assert_eq!((sequence.digest(0), sequence.digest(3)), (None, None));
    }

    /// Before a store had a key for its digests, they were halves of SHA-256.
    #[test]
    fn repeat_of_unkeyed_update_is_known() {
        let key = DigestKey::new(&[7; 32]);
        let texts = ["{\"n\":1}", "{\"n\":2}"];
        let with = |digest: &dyn Fn(&[u8]) -> Digest| {
            let strong = |text: &&'static str| StrongUpdate {
                bytes: bytes::Bytes::from_static(text.as_bytes()),
                digest: digest(text.as_bytes()),
                body: StrongBody::Plain,
            };
            InboundPush { strong: texts.iter().map(strong).collect(), ..push(None, 2, "") }
        };
        let (before, again) = (with(&|text| Digest::sha256(text)), with(&|text| key.digest(text)));
        let mut by_update = empty();
        by_update.accept(&before, false);
        assert!(by_update.holds(1, &again.strong[0]) && by_update.holds(2, &again.strong[1]));
        assert!(!by_update.holds(1, &again.strong[1]) && !by_update.holds(3, &again.strong[1]));
        let mut by_push = empty();
        by_push.accept(&before, true);
        assert!(by_push.holds_push(2, &again));
        // A PDU beside them keeps its digest.
        let (bytes, body) = (bytes::Bytes::from_static(b"{}"), StrongBody::Pdu(Box::new(red_pdu("1"))));
        let pdu = StrongUpdate { bytes, digest: letter_digest('p'), body };
        let beside = |push: &InboundPush| InboundPush {
            strong: push.strong.iter().chain([&pdu]).cloned().collect(),
            ..push.clone()
        };
        let mut mixed = empty();
        mixed.accept(&beside(&before), true);
        assert!(mixed.holds_push(2, &beside(&again)));
        let turned = InboundPush { strong: again.strong.iter().rev().cloned().collect(), ..again };
        assert!(!by_push.holds_push(2, &turned));
    }

    #[test]
    fn digests_are_bounded() {
        let mut sequence = empty();
        for n in 1..=DIGESTS_MAX as u64 + 3 {
            sequence.accept(&push(None, n, "a"), false);
        }
        assert_eq!(sequence.kept_from(), Seq(4));
        assert!(sequence.is_too_old(3) && !sequence.is_too_old(4));
    }

    #[test]
    fn new_start_forgets_the_sender() {
        let mut sequence = empty();
        sequence.accept(&push(Some(1), 2, "ab"), false);
        sequence.answer_hole(Seq(3));
        assert!(sequence.states_ranges() && sequence.has_answered_probe(Seq(3)));
        assert_eq!(sequence.go_on_from(Seq(9)), Seq(3));
        assert!(!sequence.states_ranges() && !sequence.has_answered_probe(Seq(3)));
        assert_eq!((sequence.expected(), sequence.kept_from()), (Seq(9), Seq(9)));
    }

    #[test]
    fn push_digest_covers_every_update() {
        let whole = |letters| digest_of(&push(None, 9, letters));
        assert_eq!(whole("a"), letter_digest('a'));
        assert_eq!(whole("ab"), whole("ab"));
        let others = ["", "a", "ba", "abb", "bb", "aab"];
        assert!(others.iter().all(|other| whole(other) != whole("ab")));
    }
}
