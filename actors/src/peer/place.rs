//! Where a push stands among what we hold: one pure function, and the whole of the numbering rule for receivers.

use crate::model::{Digest, InboundPush, Seq};

/// How many digests of the newest updates are kept: a repeat older than this cannot be told from something else.
pub const DIGESTS_MAX: usize = 1024;

/// What to do with a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placement {
    /// Take these of its strong updates, by place in the push; the number expected next is then `next`.
    Take {
        /// Which ones, ascending.
        fresh: Vec<usize>,
        /// The number expected next.
        next: Seq,
        /// The sender went back in its numbers and sent something new there: it was restored from a backup, it seems.
        went_back: bool,
    },
    /// Nothing in it is new.
    Known,
    /// All of it lies further back than we can compare, and the text has no way to tell a replay from a sender restored that
    /// far back: acknowledged, dropped, announced.
    TooOld,
    /// Numbers are missing before it.
    Hole,
    /// The sender numbered something anew that we hold otherwise.
    Conflict,
    /// Its numbers do not fit its length.
    Misnumbered,
}

/// The digests of the updates taken last, ascending, ending just below `expected`.
#[derive(Debug, Clone, Copy)]
pub struct Held<'a> {
    /// The number the next new strong update must carry.
    pub expected: Seq,
    /// Digests of the numbers below it.
    pub digests: &'a [Digest],
}

impl Held<'_> {
    fn digest(&self, number: u64) -> Option<Digest> {
        let back = usize::try_from(self.expected.0.checked_sub(number)?).ok()?;
        self.digests.len().checked_sub(back).and_then(|at| self.digests.get(at)).copied()
    }
}

/// Place a push.
///
/// Strong updates are numbered 1, 2, 3 ... per sender and receiver, and `seq` is the number of the last one in the push; a
/// push without any repeats the last number and so doubles as a probe. A sender that states `from_seq` understands
/// "renumber"; to one that does not, every text's reading of `seq` must be forgiven.
pub fn place(push: &InboundPush, held: Held<'_>) -> Placement {
    let expected = held.expected.0;
    let count = push.strong.len() as u64;
    let seq = push.seq.0;
    if count == 0 {
        let fits = push.from_seq.is_none_or(|from| from == push.seq.next());
        return match () {
            () if !fits => Placement::Misnumbered,
            () if seq >= expected => Placement::Hole,
            () => Placement::Known,
        };
    }
    let first = match (push.from_seq, (seq + 1).checked_sub(count)) {
        (Some(from), Some(first)) if from.0 == first && first > 0 => first,
        (None, Some(first)) if first > 0 => first,
        _ => return Placement::Misnumbered,
    };
    if first > expected {
        return Placement::Hole;
    }
    let differs = |at: usize| held.digest(first + at as u64) != Some(push.strong[at].digest);
    let overlap = usize::try_from(count.min(expected - first)).unwrap_or(usize::MAX);
    let differing: Vec<usize> = (0..overlap).filter(|&at| differs(at)).collect();
    let new = overlap..push.strong.len();
    if differing.is_empty() {
        return match new.is_empty() {
            true => Placement::Known,
            false => Placement::Take { fresh: new.collect(), next: Seq(seq + 1), went_back: false },
        };
    }
    if push.from_seq.is_some() {
        return Placement::Conflict;
    }
    if seq + (held.digests.len() as u64) < expected {
        return Placement::TooOld;
    }
    let fresh = differing.into_iter().chain(new).collect();
    Placement::Take { fresh, next: Seq(seq + 1), went_back: seq + 1 < expected }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::model::{Strong, StrongBody};

    fn digest(letter: char) -> Digest {
        Digest([letter as u8; 16])
    }

    fn push(from_seq: Option<u64>, seq: u64, letters: &str) -> InboundPush {
        let strong = |letter| Strong { bytes: Bytes::new(), digest: digest(letter), body: StrongBody::Plain };
        InboundPush {
            from_seq: from_seq.map(Seq),
            seq: Seq(seq),
            strong: letters.chars().map(strong).collect(),
            verified: "network",
        }
    }

    /// We hold a, b, c, d, e under 1 to 5.
    fn verdict(from_seq: Option<u64>, seq: u64, letters: &str) -> String {
        let digests: Vec<Digest> = "abcde".chars().map(digest).collect();
        match place(&push(from_seq, seq, letters), Held { expected: Seq(6), digests: &digests }) {
            Placement::Take { fresh, next, went_back } => {
                let taken: String = fresh.iter().filter_map(|&at| letters.chars().nth(at)).collect();
                format!("take {taken}, then {next}{}", if went_back { ", went back" } else { "" })
            }
            other => format!("{other:?}").to_lowercase(),
        }
    }

    #[test]
    fn every_push_has_its_place() {
        for (from_seq, seq, letters, expected) in [
            // in turn
            (Some(6), 7, "fg", "take fg, then 8"),
            (None, 6, "f", "take f, then 7"),
            (None, 7, "fg", "take fg, then 8"),
            // a repeat, whole or in part, by its digests
            (Some(4), 5, "de", "known"),
            (None, 5, "e", "known"),
            (Some(5), 7, "efg", "take fg, then 8"),
            (None, 7, "efg", "take fg, then 8"),
            // something else under our numbers
            (Some(5), 6, "xf", "conflict"),
            (Some(3), 3, "x", "conflict"),
            (None, 5, "x", "take x, then 6"),
            (None, 3, "x", "take x, then 4, went back"),
            (None, 4, "cx", "take x, then 5, went back"),
            (None, 6, "xf", "take xf, then 7"),
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
            assert_eq!(verdict(from_seq, seq, letters), expected, "from {from_seq:?} to {seq}: {letters:?}");
        }
    }

    #[test]
    fn what_lies_further_back_than_the_digests_is_not_guessed_about() {
        let digests = [digest('d'), digest('e')];
        let held = Held { expected: Seq(6), digests: &digests };
        assert_eq!(place(&push(None, 3, "c"), held), Placement::TooOld);
        assert_eq!(place(&push(Some(3), 3, "c"), held), Placement::Conflict);
        assert_eq!(place(&push(None, 4, "d"), held), Placement::Known);
    }

    #[test]
    fn a_first_contact_above_one_is_a_hole_at_one() {
        let held = Held { expected: Seq(1), digests: &[] };
        assert_eq!(place(&push(None, 234_234, "a"), held), Placement::Hole);
        assert_eq!(
            place(&push(None, 1, "a"), held),
            Placement::Take { fresh: vec![0], next: Seq(2), went_back: false }
        );
    }

    proptest::proptest! {
        #[test]
        fn whatever_comes_nothing_is_taken_over_a_hole(from in 0u64..12, seq in 0u64..12, ranged: bool, letters in "[a-h]{0,6}") {
            let digests: Vec<Digest> = "abcde".chars().map(digest).collect();
            let held = Held { expected: Seq(6), digests: &digests };
            if let Placement::Take { fresh, next, .. } = place(&push(ranged.then_some(from), seq, &letters), held) {
                let first = seq + 1 - letters.len() as u64;
                proptest::prop_assert!(first <= 6 && next == Seq(seq + 1) && !fresh.is_empty());
                proptest::prop_assert!(fresh.windows(2).all(|pair| pair[0] < pair[1]));
            }
        }
    }
}
