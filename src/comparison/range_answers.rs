//! The side that is asked: what it answers about ranges of its set. It keeps nothing between two calls.

use crate::comparison::compared_set::{AskedRange, ComparedSet, PduMark, RangePart};

/// Number of parts into which a range is split.
pub(crate) const WAYS: usize = 16;

/// Number of PDUs up to which the ids of a range are listed.
pub(crate) const LISTED_MAX: usize = 32;

/// The answer about one range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RangeAnswer {
    /// Both sides have the same PDUs.
    Equal,
    /// These are the PDUs of the range.
    Listed(Vec<PduMark>),
    /// These are its parts.
    Split(Vec<RangePart>),
    /// The answer is full; the range may be asked about again.
    Later,
}

/// Answers questions about ranges, in their order: at most `ranges_max`, and no more once `ids_max` ids are listed. At least one is
/// answered.
pub(crate) fn answers(
    set: &ComparedSet,
    asked: &[AskedRange],
    (ranges_max, ids_max): (usize, usize),
) -> Vec<RangeAnswer> {
    let mut listed = 0;
    let answer = |(place, question): (usize, &AskedRange)| {
        if place >= ranges_max.max(1) || listed >= ids_max.max(1) {
            return RangeAnswer::Later;
        }
        let marks = set.marks(question.range);
        if set.digest(question.range) == question.digest {
            RangeAnswer::Equal
        } else if marks.len() <= LISTED_MAX {
            listed += marks.len();
            RangeAnswer::Listed(marks.to_vec())
        } else {
            RangeAnswer::Split(set.parts(question.range, WAYS))
        }
    };
    asked.iter().enumerate().map(answer).collect()
}
