//! Classifies a push against the received sequence: one pure function with the whole numbering rule for receivers.

use std::cmp::Ordering;

use crate::limits::Numbering;
use crate::model::InboundPush;
use crate::peer::inbound::received_sequence::{NOTHING, ReceivedSequence};

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

/// Classifies a push.
///
/// Strong updates are numbered 1, 2, 3 ... per sender and receiver, and `seq` is the number of the last one in the
/// push; a push without strong updates repeats the last number, so it doubles as a probe. A sender that states
/// `from_seq` understands a request to renumber. One that does not may read the protocol in another way: some number
/// their pushes, including those without strong updates. This is learned from a push that fits no other reading, and
/// unlearned in the same way.
pub fn classify(push: &InboundPush, held: &ReceivedSequence, numbering: Numbering) -> Classified {
    let by_updates = |what| Classified { what, pushes: false };
    match numbering {
        Numbering::Updates => by_updates(by_update(push, held)),
        Numbering::Pushes => Classified { what: by_push(push, held), pushes: true },
        Numbering::Auto if push.from_seq.is_some() => by_updates(by_update(push, held)),
        Numbering::Auto if held.numbers_pushes() => match fits_updates_only(push, held) {
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
fn fits_pushes_only(push: &InboundPush, held: &ReceivedSequence) -> bool {
    let (count, seq, expected) = (push.strong.len() as u64, push.seq, held.expected());
    match count {
        // After the hole, a sender that numbers updates would have sent the missing ones.
        0 => seq == expected && held.has_answered_probe(seq),
        // Read by updates, it would begin below 1.
        _ if count > seq.0 => seq >= expected,
        1 => false,
        // Read by updates, it would begin with numbers in use, but with other updates than we hold under them.
        _ => seq == expected && (0..count - 1).any(|at| differs(push, held, seq.0 + 1 - count, at)),
    }
}

/// Returns whether the push can only be read as numbered by updates, for a sender that is assumed to number pushes.
fn fits_updates_only(push: &InboundPush, held: &ReceivedSequence) -> bool {
    let (count, seq, expected) = (push.strong.len() as u64, push.seq.0, held.expected().0);
    match count {
        // The push repeats the last number, and the push that we hold under that number had strong updates.
        0 => seq + 1 == expected && held.digest(seq).is_some_and(|digest| digest != NOTHING),
        _ => count > 1 && seq + 1 == expected + count,
    }
}

fn by_push(push: &InboundPush, held: &ReceivedSequence) -> PushClass {
    let (seq, expected) = (push.seq, held.expected());
    let all = || (0..push.strong.len()).collect();
    match seq.cmp(&expected) {
        _ if seq.0 == 0 && !push.strong.is_empty() => PushClass::Misnumbered,
        Ordering::Greater => PushClass::Hole,
        Ordering::Equal => PushClass::Take { fresh: all(), sender_rewound: false },
        Ordering::Less if push.strong.is_empty() => PushClass::Known,
        Ordering::Less if held.is_too_old(seq.0) => PushClass::TooOld,
        Ordering::Less if held.holds_push(seq.0, push) => PushClass::Known,
        Ordering::Less => PushClass::Take { fresh: all(), sender_rewound: true },
    }
}

fn by_update(push: &InboundPush, held: &ReceivedSequence) -> PushClass {
    let expected = held.expected().0;
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
            false => PushClass::Take { fresh: new.collect(), sender_rewound: false },
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
    if held.states_ranges() && seq + 1 < expected {
        return PushClass::Conflict;
    }
    let fresh = differing.into_iter().chain(new).collect();
    PushClass::Take { fresh, sender_rewound: seq < expected }
}

/// Returns whether the update at this position differs from the one that we hold under its number.
fn differs(push: &InboundPush, held: &ReceivedSequence, first: u64, at: u64) -> bool {
    let given = usize::try_from(at).ok().and_then(|at| push.strong.get(at));
    !given.is_some_and(|strong| held.holds(first + at, strong))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Digest, InboundRecord, Seq};
    use crate::peer::inbound::tests::{letter_digest, letter_push as push};

    /// Returns the number that is expected after the push was accepted.
    fn next(push: &InboundPush, held: &ReceivedSequence, pushes: bool) -> Seq {
        let mut held = held.clone();
        held.accept(push, pushes);
        held.expected()
    }

    /// Returns the result of a push; we hold a, b, c, d, e under 1 to 5.
    fn verdict(numbering: Numbering, pushes: bool, from_seq: Option<u64>, seq: u64, letters: &str) -> String {
        let held = ReceivedSequence::new(&InboundRecord { numbers_pushes: pushes, ..expecting(6) }, digests("abcde"));
        let push = push(from_seq, seq, letters);
        let placed = classify(&push, &held, numbering);
        let what = match placed.what {
            PushClass::Take { fresh, sender_rewound: went_back } => {
                let taken: String = fresh.iter().filter_map(|&at| letters.chars().nth(at)).collect();
                let next = next(&push, &held, placed.pushes);
                format!("take {taken}, then {next}{}", if went_back { ", went back" } else { "" })
            }
            other => format!("{other:?}").to_lowercase(),
        };
        if placed.pushes { format!("{what}; pushes") } else { what }
    }

    fn digests(letters: &str) -> Vec<Digest> {
        letters.chars().map(letter_digest).collect()
    }

    fn expecting(expected: u64) -> InboundRecord {
        InboundRecord { expected: Seq(expected), ..InboundRecord::default() }
    }

    fn read(push: &InboundPush, held: &ReceivedSequence) -> Classified {
        classify(push, held, Numbering::Auto)
    }

    #[test]
    fn push_classification_matches_table() {
        for (from_seq, seq, letters, expected) in [
            // the next numbers
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
            // other updates under our numbers
            (Some(5), 6, "xf", "conflict"),
            (Some(3), 3, "x", "conflict"),
            (None, 5, "x", "take x, then 6, went back"),
            (None, 3, "x", "take x, then 4, went back"),
            (None, 4, "cx", "take x, then 5, went back"),
            (None, 7, "xfg", "take xfg, then 8"),
            // several updates under the expected number: the sender counts pushes
            (None, 6, "xf", "take xf, then 7; pushes"),
            (None, 6, "exf", "take exf, then 7; pushes"),
            (None, 6, "fghijklm", "take fghijklm, then 7; pushes"),
            (None, 7, "fghijklm", "hole; pushes"),
            // numbers are missing before the push
            (Some(7), 7, "g", "hole"),
            (None, 8, "g", "hole"),
            // no strong updates: a probe
            (None, 5, "", "known"),
            (None, 4, "", "known"),
            (None, 6, "", "hole"),
            (Some(6), 5, "", "known"),
            (Some(5), 5, "", "misnumbered"),
            // inconsistent numbers
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
            // The push fits only the other reading, so this reading was learned in error.
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
        let held = |holed: Option<u64>| {
            let mut held = ReceivedSequence::new(&expecting(6), vec![]);
            holed.into_iter().for_each(|number| held.answer_hole(Seq(number)));
            held
        };
        let (hole, taken) = (
            Classified { what: PushClass::Hole, pushes: false },
            Classified { what: PushClass::Take { fresh: vec![], sender_rewound: false }, pushes: true },
        );
        assert_eq!(read(&push(None, 6, ""), &held(None)), hole);
        assert_eq!(read(&push(None, 6, ""), &held(Some(6))), taken);
        assert_eq!(read(&push(None, 7, ""), &held(Some(6))), hole);
        assert_eq!(read(&push(Some(7), 6, ""), &held(Some(6))), hole, "one that states ranges numbers updates");
    }

    #[test]
    fn push_beyond_digests_is_too_old() {
        let held = ReceivedSequence::new(&expecting(6), digests("de"));
        assert_eq!(read(&push(None, 3, "c"), &held).what, PushClass::TooOld);
        assert_eq!(read(&push(Some(3), 3, "c"), &held).what, PushClass::Conflict);
        assert_eq!(read(&push(None, 4, "d"), &held).what, PushClass::Known);
        let numbered = ReceivedSequence::new(&InboundRecord { numbers_pushes: true, ..expecting(6) }, digests("de"));
        assert_eq!(read(&push(None, 3, "c"), &numbered).what, PushClass::TooOld);
    }

    /// An operator drops an update in flight; its number goes to the next update; a copy of the dropped one arrives late.
    #[test]
    fn late_unranged_copy_never_rewinds() {
        let held = ReceivedSequence::new(&InboundRecord { sends_from_seq: true, ..expecting(6) }, digests("abcde"));
        assert_eq!(read(&push(None, 3, "x"), &held).what, PushClass::Conflict);
        assert_eq!(read(&push(None, 3, "c"), &held).what, PushClass::Known);
        // The sequence does not go back, so the following updates are not accepted twice.
        let newest = PushClass::Take { fresh: vec![0], sender_rewound: true };
        assert_eq!(read(&push(None, 5, "x"), &held).what, newest);
        assert_eq!(read(&push(None, 6, "f"), &held).what, PushClass::Take { fresh: vec![0], sender_rewound: false });
    }

    #[test]
    fn first_push_above_one_is_hole() {
        let first = ReceivedSequence::new(&expecting(1), vec![]);
        assert_eq!(read(&push(None, 234_234, "a"), &first).what, PushClass::Hole);
        assert_eq!(read(&push(None, 1, "a"), &first).what, PushClass::Take { fresh: vec![0], sender_rewound: false });
    }

    proptest::proptest! {
        #[test]
        fn accepted_push_never_skips_hole(from in 0u64..12, seq in 0u64..12, ranged: bool, pushes: bool, letters in "[a-h]{0,6}") {
            let record = InboundRecord { numbers_pushes: pushes, ..expecting(6) };
            let held = ReceivedSequence::new(&record, digests("abcde"));
            let push = push(ranged.then_some(from), seq, &letters);
            let placed = read(&push, &held);
            if let PushClass::Take { fresh, .. } = placed.what {
                let first = if placed.pushes { seq } else { seq + 1 - letters.len() as u64 };
                let next = next(&push, &held, placed.pushes);
                proptest::prop_assert!(first <= 6 && next == Seq(seq + 1) && (placed.pushes || !fresh.is_empty()));
                proptest::prop_assert!(fresh.windows(2).all(|pair| pair[0] < pair[1]));
            }
        }
    }
}
