//! Classifies a push against the received sequence: one pure function with the whole numbering rule for receivers.

use std::cmp::Ordering;

use crate::limits::Numbering;
use crate::model::{Digest, InboundPush, Seq};

/// Number of digests that are kept; an older repeat cannot be distinguished from another update.
pub const DIGESTS_MAX: usize = 1024;

/// The class of a push, and how its numbers were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classified {
    /// Class of the push.
    pub what: PushClass,
    /// True if `seq` was read as the number of the push, which all its updates share.
    pub pushes: bool,
}

/// The class of a push: what the receiver does with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PushClass {
    /// Accept these of its strong updates, by position in the push.
    Take {
        /// Positions of the updates, ascending.
        fresh: Vec<usize>,
        /// Number that is expected next.
        next: Seq,
        /// True if the sender went back in its numbers and sent a new update there, probably because it was restored
        /// from a backup.
        sender_rewound: bool,
    },
    /// Acknowledge: nothing in the push is new.
    Known,
    /// Acknowledge, drop and announce: the whole push is older than the digests, and the protocol cannot distinguish a
    /// replay from a sender restored that far back.
    TooOld,
    /// Answer with a hole: numbers are missing before the push.
    Hole,
    /// Answer with a conflict: the sender reused numbers for updates that differ from those we hold.
    Conflict,
    /// Refuse: the numbers do not match the number of updates.
    Misnumbered,
}

/// The received sequence of one sender, and what is known of its numbering.
#[derive(Debug, Clone, Copy)]
pub struct ReceivedState<'a> {
    /// The number the next new strong update must carry.
    pub expected: Seq,
    /// Digests of the newest updates, ascending, one per number; the last one belongs to the number before `expected`.
    pub digests: &'a [Digest],
    /// Numbering that the operator has configured.
    pub numbering: Numbering,
    /// True if the sender was found to number its pushes.
    pub pushes: bool,
    /// True if the sender has stated ranges, and so can be asked to renumber.
    pub ranges: bool,
    /// Number of a push without strong updates that equalled `expected` and was answered with a hole.
    pub probe_answered_with_hole: Option<Seq>,
}

impl ReceivedState<'_> {
    fn digest(&self, number: u64) -> Option<Digest> {
        let back = usize::try_from(self.expected.0.checked_sub(number)?).ok()?;
        self.digests.len().checked_sub(back).and_then(|at| self.digests.get(at)).copied()
    }

    fn is_too_old(&self, number: u64) -> bool {
        number + (self.digests.len() as u64) < self.expected.0
    }
}

/// Digest of a push without strong updates, for a sender that numbers pushes.
const NOTHING: Digest = Digest([0; 16]);

/// Returns the digest of a whole push, for a sender that numbers pushes. A single update keeps its own digest, so that
/// the stored digests stay valid when the numbering is learned. A sender that forges it harms only itself.
pub fn digest_of(push: &InboundPush) -> Digest {
    match &*push.strong {
        [] => NOTHING,
        [one] => one.digest,
        strong => {
            const ODD: u128 = 0x0000_0100_0000_01b3_9e37_79b9_7f4a_7c15;
            let mix = |sum: u128, digest: Digest| {
                (sum.rotate_left(43) ^ u128::from_le_bytes(digest.0)).wrapping_mul(ODD).wrapping_add(1)
            };
            Digest(strong.iter().map(|strong| strong.digest).fold(0, mix).to_le_bytes())
        }
    }
}

/// Classifies a push.
///
/// Strong updates are numbered 1, 2, 3 ... per sender and receiver, and `seq` is the number of the last one in the
/// push; a push without strong updates repeats the last number, so it doubles as a probe. A sender that states
/// `from_seq` understands a request to renumber. One that does not may read the protocol in another way: some number
/// their pushes, including those without strong updates. This is learned from a push that fits no other reading, and
/// unlearned in the same way.
pub fn classify(push: &InboundPush, held: ReceivedState<'_>) -> Classified {
    let by_updates = |what| Classified { what, pushes: false };
    match held.numbering {
        Numbering::Updates => by_updates(by_update(push, held)),
        Numbering::Pushes => Classified { what: by_push(push, held), pushes: true },
        Numbering::Auto if push.from_seq.is_some() => by_updates(by_update(push, held)),
        Numbering::Auto if held.pushes => match fits_updates_only(push, held) {
            true => by_updates(by_update(push, held)),
            false => Classified { what: by_push(push, held), pushes: true },
        },
        Numbering::Auto => match fits_pushes_only(push, held) {
            true => Classified { what: by_push(push, held), pushes: true },
            false => by_updates(by_update(push, held)),
        },
    }
}

/// Returns whether the push can only be read as numbered by pushes, for a sender that is assumed to number updates.
fn fits_pushes_only(push: &InboundPush, held: ReceivedState<'_>) -> bool {
    let (count, seq, expected) = (push.strong.len() as u64, push.seq, held.expected);
    match count {
        // After the hole, a sender that numbers updates would have sent the missing ones.
        0 => seq == expected && held.probe_answered_with_hole == Some(seq),
        // Read by updates, it would begin below 1.
        _ if count > seq.0 => seq >= expected,
        1 => false,
        // Read by updates, it would begin with numbers in use, but with other updates than we hold under them.
        _ => seq == expected && (0..count - 1).any(|at| differs(push, held, seq.0 + 1 - count, at)),
    }
}

/// Returns whether the push can only be read as numbered by updates, for a sender that is assumed to number pushes.
fn fits_updates_only(push: &InboundPush, held: ReceivedState<'_>) -> bool {
    let (count, seq, expected) = (push.strong.len() as u64, push.seq.0, held.expected.0);
    match count {
        // The push repeats the last number, and the push that we hold under that number had strong updates.
        0 => seq + 1 == expected && held.digest(seq).is_some_and(|digest| digest != NOTHING),
        _ => count > 1 && seq + 1 == expected + count,
    }
}

fn by_push(push: &InboundPush, held: ReceivedState<'_>) -> PushClass {
    let (seq, expected) = (push.seq, held.expected);
    let all = || (0..push.strong.len()).collect();
    match seq.cmp(&expected) {
        _ if seq.0 == 0 && !push.strong.is_empty() => PushClass::Misnumbered,
        Ordering::Greater => PushClass::Hole,
        Ordering::Equal => PushClass::Take { fresh: all(), next: seq.next(), sender_rewound: false },
        Ordering::Less if push.strong.is_empty() => PushClass::Known,
        Ordering::Less if held.is_too_old(seq.0) => PushClass::TooOld,
        Ordering::Less if held.digest(seq.0) == Some(digest_of(push)) => PushClass::Known,
        Ordering::Less => PushClass::Take { fresh: all(), next: seq.next(), sender_rewound: true },
    }
}

fn by_update(push: &InboundPush, held: ReceivedState<'_>) -> PushClass {
    let expected = held.expected.0;
    let count = push.strong.len() as u64;
    let seq = push.seq.0;
    if count == 0 {
        let fits = push.from_seq.is_none_or(|from| from == push.seq.next());
        return match () {
            () if !fits => PushClass::Misnumbered,
            () if seq >= expected => PushClass::Hole,
            () => PushClass::Known,
        };
    }
    let first = match (push.from_seq, (seq + 1).checked_sub(count)) {
        (Some(from), Some(first)) if from.0 == first && first > 0 => first,
        (None, Some(first)) if first > 0 => first,
        _ => return PushClass::Misnumbered,
    };
    if first > expected {
        return PushClass::Hole;
    }
    let overlap = usize::try_from(count.min(expected - first)).unwrap_or(usize::MAX);
    let differing: Vec<usize> = (0..overlap).filter(|&at| differs(push, held, first, at as u64)).collect();
    let new = overlap..push.strong.len();
    if differing.is_empty() {
        return match new.is_empty() {
            true => PushClass::Known,
            false => PushClass::Take { fresh: new.collect(), next: Seq(seq + 1), sender_rewound: false },
        };
    }
    if push.from_seq.is_some() {
        return PushClass::Conflict;
    }
    if held.is_too_old(seq) {
        return PushClass::TooOld;
    }
    // The sender has stated ranges since, so this push may be a late copy from before, under a number that was
    // reassigned. Moving `expected` back for it would accept all later updates again. If the sender was restored from a
    // backup instead, the conflict makes it renumber.
    if held.ranges && seq + 1 < expected {
        return PushClass::Conflict;
    }
    let fresh = differing.into_iter().chain(new).collect();
    PushClass::Take { fresh, next: Seq(seq + 1), sender_rewound: seq < expected }
}

/// Returns whether the update at this position differs from the one that we hold under its number.
fn differs(push: &InboundPush, held: ReceivedState<'_>, first: u64, at: u64) -> bool {
    let given = usize::try_from(at).ok().and_then(|at| push.strong.get(at));
    held.digest(first + at) != given.map(|strong| strong.digest)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::model::{StrongBody, StrongUpdate};

    fn digest(letter: char) -> Digest {
        Digest([letter as u8; 16])
    }

    fn push(from_seq: Option<u64>, seq: u64, letters: &str) -> InboundPush {
        let strong = |letter| StrongUpdate { bytes: Bytes::new(), digest: digest(letter), body: StrongBody::Plain };
        InboundPush {
            from_seq: from_seq.map(Seq),
            seq: Seq(seq),
            strong: letters.chars().map(strong).collect(),
            weak: 0,
            verified: "network",
        }
    }

    /// We hold a, b, c, d, e under 1 to 5.
    fn verdict(numbering: Numbering, pushes: bool, from_seq: Option<u64>, seq: u64, letters: &str) -> String {
        let digests: Vec<Digest> = "abcde".chars().map(digest).collect();
        let held = ReceivedState {
            expected: Seq(6),
            digests: &digests,
            numbering,
            pushes,
            ranges: false,
            probe_answered_with_hole: None,
        };
        let placed = classify(&push(from_seq, seq, letters), held);
        let what = match placed.what {
            PushClass::Take { fresh, next, sender_rewound: went_back } => {
                let taken: String = fresh.iter().filter_map(|&at| letters.chars().nth(at)).collect();
                format!("take {taken}, then {next}{}", if went_back { ", went back" } else { "" })
            }
            other => format!("{other:?}").to_lowercase(),
        };
        if placed.pushes { format!("{what}; pushes") } else { what }
    }

    fn at(expected: u64) -> ReceivedState<'static> {
        ReceivedState {
            expected: Seq(expected),
            digests: &[],
            numbering: Numbering::Auto,
            pushes: false,
            ranges: false,
            probe_answered_with_hole: None,
        }
    }

    #[test]
    fn push_classification_matches_table() {
        for (from_seq, seq, letters, expected) in [
            // in turn
            (Some(6), 7, "fg", "take fg, then 8"),
            (None, 6, "f", "take f, then 7"),
            (None, 7, "fg", "take fg, then 8"),
            // a repeat, whole or in part, by its digests
            (Some(4), 5, "de", "known"),
            (None, 5, "e", "known"),
            (None, 5, "de", "known"),
            (Some(5), 7, "efg", "take fg, then 8"),
            (None, 7, "efg", "take fg, then 8"),
            (None, 6, "ef", "take f, then 7"),
            // something else under our numbers
            (Some(5), 6, "xf", "conflict"),
            (Some(3), 3, "x", "conflict"),
            (None, 5, "x", "take x, then 6, went back"),
            (None, 3, "x", "take x, then 4, went back"),
            (None, 4, "cx", "take x, then 5, went back"),
            (None, 7, "xfg", "take xfg, then 8"),
            // the number expected, and several: it counts pushes
            (None, 6, "xf", "take xf, then 7; pushes"),
            (None, 6, "exf", "take exf, then 7; pushes"),
            (None, 6, "fghijklm", "take fghijklm, then 7; pushes"),
            (None, 7, "fghijklm", "hole; pushes"),
            // numbers missing before it
            (Some(7), 7, "g", "hole"),
            (None, 8, "g", "hole"),
            // nothing strong: a probe
            (None, 5, "", "known"),
            (None, 4, "", "known"),
            (None, 6, "", "hole"),
            (Some(6), 5, "", "known"),
            (Some(5), 5, "", "misnumbered"),
            // numbers that fit nothing
            (Some(6), 6, "fg", "misnumbered"),
            (Some(0), 0, "f", "misnumbered"),
            (None, 0, "f", "misnumbered"),
            (None, 1, "fgh", "misnumbered"),
        ] {
            let placed = verdict(Numbering::Auto, false, from_seq, seq, letters);
            assert_eq!(placed, expected, "from {from_seq:?} to {seq}: {letters:?}");
        }
    }

    #[test]
    fn numbered_push_consumes_one_number() {
        for (from_seq, seq, letters, expected) in [
            (None, 6, "f", "take f, then 7; pushes"),
            (None, 6, "fgh", "take fgh, then 7; pushes"),
            (None, 6, "", "take , then 7; pushes"),
            (None, 5, "e", "known; pushes"),
            (None, 4, "", "known; pushes"),
            (None, 7, "", "hole; pushes"),
            (None, 9, "gh", "hole; pushes"),
            (None, 5, "x", "take x, then 6, went back; pushes"),
            (None, 4, "de", "take de, then 5, went back; pushes"),
            // What fits the other reading only: that one was learned in error.
            (None, 8, "fgh", "take fgh, then 9"),
            (None, 5, "", "known"),
            (Some(6), 7, "fg", "take fg, then 8"),
            (Some(5), 6, "xf", "conflict"),
        ] {
            let placed = verdict(Numbering::Auto, true, from_seq, seq, letters);
            assert_eq!(placed, expected, "from {from_seq:?} to {seq}: {letters:?}");
        }
    }

    #[test]
    fn configured_numbering_is_never_learned() {
        for (numbering, seq, letters, expected) in [
            (Numbering::Updates, 6, "xf", "take xf, then 7"),
            (Numbering::Updates, 6, "fghijklm", "misnumbered"),
            (Numbering::Pushes, 8, "fgh", "hole; pushes"),
            (Numbering::Pushes, 6, "", "take , then 7; pushes"),
            (Numbering::Pushes, 0, "f", "misnumbered; pushes"),
        ] {
            assert_eq!(verdict(numbering, false, None, seq, letters), expected, "{numbering:?} {seq}: {letters:?}");
        }
    }

    #[test]
    fn repeated_empty_push_takes_number() {
        let held = |holed| ReceivedState { probe_answered_with_hole: holed, ..at(6) };
        let (hole, taken) = (
            Classified { what: PushClass::Hole, pushes: false },
            Classified { what: PushClass::Take { fresh: vec![], next: Seq(7), sender_rewound: false }, pushes: true },
        );
        assert_eq!(classify(&push(None, 6, ""), held(None)), hole);
        assert_eq!(classify(&push(None, 6, ""), held(Some(Seq(6)))), taken);
        assert_eq!(classify(&push(None, 7, ""), held(Some(Seq(6)))), hole);
        assert_eq!(classify(&push(Some(7), 6, ""), held(Some(Seq(6)))), hole, "one that states ranges numbers updates");
    }

    #[test]
    fn push_digest_covers_every_update() {
        let whole = |letters| digest_of(&push(None, 9, letters));
        assert_eq!(whole("a"), digest('a'));
        assert_eq!(whole("ab"), whole("ab"));
        let others = ["", "a", "ba", "abb", "bb", "aab"];
        assert!(others.iter().all(|other| whole(other) != whole("ab")));
    }

    #[test]
    fn push_beyond_digests_is_too_old() {
        let digests = [digest('d'), digest('e')];
        let held = ReceivedState { digests: &digests, ..at(6) };
        assert_eq!(classify(&push(None, 3, "c"), held).what, PushClass::TooOld);
        assert_eq!(classify(&push(Some(3), 3, "c"), held).what, PushClass::Conflict);
        assert_eq!(classify(&push(None, 4, "d"), held).what, PushClass::Known);
        let numbered = ReceivedState { pushes: true, ..held };
        assert_eq!(classify(&push(None, 3, "c"), numbered).what, PushClass::TooOld);
    }

    /// An operator takes out an update on its way; its number goes to the next; a copy of it arrives after all, late.
    #[test]
    fn late_unranged_copy_never_rewinds() {
        let digests: Vec<Digest> = "abcde".chars().map(digest).collect();
        let held = ReceivedState { digests: &digests, ranges: true, ..at(6) };
        assert_eq!(classify(&push(None, 3, "x"), held).what, PushClass::Conflict);
        assert_eq!(classify(&push(None, 3, "c"), held).what, PushClass::Known);
        // Nothing is gone back for: what follows is not taken again.
        let newest = PushClass::Take { fresh: vec![0], next: Seq(6), sender_rewound: true };
        assert_eq!(classify(&push(None, 5, "x"), held).what, newest);
        assert_eq!(
            classify(&push(None, 6, "f"), held).what,
            PushClass::Take { fresh: vec![0], next: Seq(7), sender_rewound: false }
        );
    }

    #[test]
    fn first_push_above_one_is_hole() {
        assert_eq!(classify(&push(None, 234_234, "a"), at(1)).what, PushClass::Hole);
        assert_eq!(
            classify(&push(None, 1, "a"), at(1)).what,
            PushClass::Take { fresh: vec![0], next: Seq(2), sender_rewound: false }
        );
    }

    proptest::proptest! {
        #[test]
        fn accepted_push_never_skips_hole(from in 0u64..12, seq in 0u64..12, ranged: bool, pushes: bool, letters in "[a-h]{0,6}") {
            let digests: Vec<Digest> = "abcde".chars().map(digest).collect();
            let held = ReceivedState { digests: &digests, pushes, ..at(6) };
            let placed = classify(&push(ranged.then_some(from), seq, &letters), held);
            if let PushClass::Take { fresh, next, .. } = placed.what {
                let first = if placed.pushes { seq } else { seq + 1 - letters.len() as u64 };
                proptest::prop_assert!(first <= 6 && next == Seq(seq + 1) && (placed.pushes || !fresh.is_empty()));
                proptest::prop_assert!(fresh.windows(2).all(|pair| pair[0] < pair[1]));
            }
        }
    }
}
