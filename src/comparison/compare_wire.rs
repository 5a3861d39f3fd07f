//! The JSON of `fernpost.compare`, as both sides write and read it.

use std::fmt;

use actors::model::{BadId, BadName, Millis, PduRef};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::comparison::compare_machine::{CompareReply, RangeReply};
use crate::comparison::compared_set::{AskedRange, CompareSalt, ComparedRange, RangeBound, RangeDigest, RangePart};

/// The name of the method.
pub(crate) const METHOD: &str = "fernpost.compare";

/// Number of ranges that are read in one call; more are refused.
pub(crate) const RANGES_READ_MAX: usize = 1024;

/// 128 bits, as 32 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HexNumber(pub(crate) u128);

impl Serialize for HexNumber {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:032x}", self.0))
    }
}

impl<'de> Deserialize<'de> for HexNumber {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        struct HexReading;
        impl Visitor<'_> for HexReading {
            type Value = HexNumber;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("32 lower-case hexadecimal digits")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<HexNumber, E> {
                let is_hex = text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
                let number = is_hex.then(|| u128::from_str_radix(text, 16).ok()).flatten();
                number.map(HexNumber).ok_or_else(|| E::custom("it is not 32 lower-case hexadecimal digits"))
            }
        }
        source.deserialize_str(HexReading)
    }
}

/// A place: `[time, tag]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WireBound(u64, HexNumber);

impl From<RangeBound> for WireBound {
    fn from(bound: RangeBound) -> Self {
        Self(bound.at.0, HexNumber(bound.tag))
    }
}

impl From<WireBound> for RangeBound {
    fn from(WireBound(at, tag): WireBound) -> Self {
        Self { at: Millis(at), tag: tag.0 }
    }
}

/// A question about a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WireRange {
    from: WireBound,
    to: WireBound,
    count: u64,
    sum: HexNumber,
}

impl From<AskedRange> for WireRange {
    fn from(AskedRange { range, digest }: AskedRange) -> Self {
        Self { from: range.from.into(), to: range.to.into(), count: digest.count, sum: HexNumber(digest.sum) }
    }
}

impl From<WireRange> for AskedRange {
    fn from(WireRange { from, to, count, sum }: WireRange) -> Self {
        let range = ComparedRange { from: from.into(), to: to.into() };
        Self { range, digest: RangeDigest { count, sum: sum.0 } }
    }
}

/// A call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CompareCall {
    pub(crate) method: String,
    pub(crate) context: String,
    /// Salt of the comparison, which is also its name.
    comparison: HexNumber,
    pub(crate) from: u64,
    pub(crate) to: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) ranges: Vec<WireRange>,
}

impl CompareCall {
    /// Returns the call about these ranges of a window.
    pub(crate) fn new(
        context: String,
        salt: CompareSalt,
        (from, to): (Millis, Millis),
        ranges: Vec<AskedRange>,
    ) -> Self {
        let ranges = ranges.into_iter().map(WireRange::from).collect();
        let comparison = HexNumber(u128::from_be_bytes(salt));
        Self { method: METHOD.to_owned(), context, comparison, from: from.0, to: to.0, ranges }
    }

    /// Returns the salt of the comparison.
    pub(crate) const fn salt(&self) -> CompareSalt {
        self.comparison.0.to_be_bytes()
    }
}

/// A part of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WirePart {
    to: WireBound,
    count: u64,
    sum: HexNumber,
}

impl From<RangePart> for WirePart {
    fn from(RangePart { to, digest }: RangePart) -> Self {
        Self { to: to.into(), count: digest.count, sum: HexNumber(digest.sum) }
    }
}

/// The answer about one range.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum WireReply {
    /// Both sides have the same PDUs.
    Equal,
    /// The range is to be asked about again.
    Later,
    /// The PDUs of the range: origin and id of each.
    Ids(Vec<(String, String)>),
    /// The parts of the range.
    Parts(Vec<WirePart>),
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CompareAnswer {
    pub(crate) method: String,
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) count: u64,
    pub(crate) sum: HexNumber,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) ranges: Vec<WireReply>,
}

/// Error: an answer cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnreadableAnswer {
    /// It is not JSON of this form.
    #[error("its answer cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// It names an origin that is no server.
    #[error("its answer names a PDU that cannot be: {0}")]
    Origin(#[from] BadName),
    /// It names an id that no PDU can have.
    #[error("its answer names a PDU that cannot be: {0}")]
    Id(#[from] BadId),
}

impl CompareAnswer {
    /// Reads an answer.
    pub(crate) fn read(body: &[u8]) -> Result<CompareReply, UnreadableAnswer> {
        let Self { from, to, count, sum, ranges, .. } = serde_json::from_slice(body)?;
        let ranges = ranges.into_iter().map(read_range).collect::<Result<_, _>>()?;
        Ok(CompareReply { from: Millis(from), to: Millis(to), whole: RangeDigest { count, sum: sum.0 }, ranges })
    }
}

fn read_range(reply: WireReply) -> Result<RangeReply, UnreadableAnswer> {
    Ok(match reply {
        WireReply::Equal => RangeReply::Equal,
        WireReply::Later => RangeReply::Later,
        WireReply::Ids(ids) => {
            let ids = ids.into_iter().map(|(origin, id)| Ok(PduRef { origin: origin.parse()?, id: id.parse()? }));
            RangeReply::Ids(ids.collect::<Result<_, UnreadableAnswer>>()?)
        }
        WireReply::Parts(parts) => RangeReply::Parts(parts.into_iter().map(part).collect()),
    })
}

fn part(WirePart { to, count, sum }: WirePart) -> RangePart {
    RangePart { to: to.into(), digest: RangeDigest { count, sum: sum.0 } }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: &str = "0000000000000000000000000000000a";

    #[test]
    fn call_has_one_form() {
        let range = ComparedRange { from: RangeBound::before(Millis(1)), to: RangeBound { at: Millis(2), tag: 10 } };
        let asked = AskedRange { range, digest: RangeDigest { count: 3, sum: 10 } };
        let call = CompareCall::new("#room".to_owned(), [0; 16], (Millis(1), Millis(9)), vec![asked]);
        let text = serde_json::to_string(&call).expect("into memory");
        let zero = "0".repeat(32);
        assert_eq!(
            text,
            format!(
                r##"{{"method":"fernpost.compare","context":"#room","comparison":"{zero}","from":1,"to":9,"ranges":[{{"from":[1,"{zero}"],"to":[2,"{TAG}"],"count":3,"sum":"{TAG}"}}]}}"##
            )
        );
        let read: CompareCall = serde_json::from_str(&text).expect("our own");
        assert_eq!((read.salt(), AskedRange::from(read.ranges[0])), ([0; 16], asked));
    }

    #[test]
    fn answer_has_one_form() {
        let text = format!(
            r#"{{"method":"fernpost.compare","from":1,"to":9,"count":4,"sum":"{TAG}","ranges":["equal","later",{{"ids":[["red","a"]]}},{{"parts":[{{"to":[2,"{TAG}"],"count":1,"sum":"{TAG}"}}]}}]}}"#
        );
        let answer: CompareAnswer = serde_json::from_str(&text).expect("valid");
        assert_eq!(serde_json::to_string(&answer).expect("into memory"), text);
        let reply = CompareAnswer::read(text.as_bytes()).expect("valid");
        assert_eq!((reply.whole, reply.ranges.len()), (RangeDigest { count: 4, sum: 10 }, 4));
    }

    #[test]
    fn bad_answer_is_refused() {
        let with = |sum: &str, ranges: &str| {
            let text =
                format!(r#"{{"method":"fernpost.compare","from":1,"to":9,"count":4,"sum":"{sum}","ranges":{ranges}}}"#);
            CompareAnswer::read(text.as_bytes()).is_err()
        };
        assert!(!with(TAG, "[]"));
        for (sum, ranges) in [
            ("A000000000000000000000000000000a", "[]"),
            ("+000000000000000000000000000000a", "[]"),
            ("a", "[]"),
            (TAG, r#"["other"]"#),
            (TAG, r#"[{"ids":[["red"]]}]"#),
            (TAG, r#"[{"ids":[["","a"]]}]"#),
            (TAG, r#"[{"ids":[["red",""]]}]"#),
            (TAG, "{}"),
        ] {
            assert!(with(sum, ranges), "{sum} {ranges}");
        }
    }
}
