//! The nesting limits of JSON: of a whole body of a peer, and of what is accepted to be sent to peers and to the messenger.

use crate::telemetry::limit_counts::LimitCounts;

/// Maximum nesting of a body that we write. Parsers of the receivers stop near 128 levels or overflow their stack, so what is
/// embedded in such a body may nest less deep, in either direction.
pub const NESTING_MAX: usize = 100;

/// Highest value of `federation.json_depth`: our own readers of embedded objects stop there.
pub const JSON_DEPTH_MAX: usize = 128;

/// The limit of every JSON body from peers, in requests and in answers. Clones share the counts.
#[derive(Debug, Clone)]
pub struct BodyNestingLimit {
    levels: usize,
    counts: LimitCounts,
}

/// Error: a body of a peer nests too deep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body nests deeper than {levels} levels ({})", BodyNestingLimit::KEY)]
pub struct TooDeepBody {
    levels: usize,
}

impl BodyNestingLimit {
    /// Configuration key of the limit.
    pub const KEY: &'static str = "federation.json_depth";

    /// Returns the limit with the counts of refusals.
    pub fn new(levels: usize, counts: LimitCounts) -> Self {
        Self { levels, counts }
    }

    /// Returns the maximum number of levels.
    pub(crate) fn levels(&self) -> usize {
        self.levels
    }

    /// Checks a body before it is parsed. Each refusal is counted.
    pub fn check(&self, body: &[u8]) -> Result<(), TooDeepBody> {
        if nests_deeper_than(self.levels, body) {
            self.counts.count(Self::KEY);
            return Err(TooDeepBody { levels: self.levels });
        }
        Ok(())
    }
}

impl Default for BodyNestingLimit {
    fn default() -> Self {
        Self::new(JSON_DEPTH_MAX, LimitCounts::default())
    }
}

/// Returns whether brackets outside of strings nest deeper than `max`. For bytes that are not JSON the result is
/// meaningless, and the parser refuses them.
pub(crate) fn nests_deeper_than(max: usize, body: &[u8]) -> bool {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(byte) = body.get(at) {
        at += 1;
        match byte {
            b'"' => at = string_end(body, at),
            b'[' | b'{' => {
                depth += 1;
                if depth > max {
                    return true;
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// Returns the position after the string whose first quote is before `at`, or a position beyond the end.
fn string_end(body: &[u8], mut at: usize) -> usize {
    loop {
        at += plain_length(body.get(at..).unwrap_or_default(), |byte| (byte == b'"') | (byte == b'\\'));
        match body.get(at) {
            Some(b'\\') => at += 2,
            _ => return at + 1,
        }
    }
}

/// Returns the number of bytes before the first special one. It looks at whole blocks, because most bytes of most bodies are in strings.
pub(crate) fn plain_length(bytes: &[u8], is_special: impl Fn(u8) -> bool) -> usize {
    const BLOCK: usize = 32;
    let (blocks, _) = bytes.as_chunks::<BLOCK>();
    // A fold without an early end becomes vector instructions.
    let has_special = |block: &&[u8; BLOCK]| block.iter().fold(false, |found, byte| found | is_special(*byte));
    let plain = blocks.iter().take_while(|block| !has_special(block)).count() * BLOCK;
    plain + bytes[plain..].iter().take_while(|byte| !is_special(**byte)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_in_strings_never_nest() {
        assert!(!nests_deeper_than(2, b"{\"a\":[],\"b\":[]}"));
        assert!(nests_deeper_than(2, b"{\"a\":[[]]}"));
        assert!(!nests_deeper_than(1, br#"{"a":"[[{\"[["}"#));
        for length in 0..70 {
            let long = "x".repeat(length);
            assert!(!nests_deeper_than(1, format!(r#"{{"{long}":"[{long}\\\"[","{long}[":0}}"#).as_bytes()));
            assert!(nests_deeper_than(1, format!(r#"{{"{long}\\":[]}}"#).as_bytes()));
            assert!(!nests_deeper_than(1, format!(r#"{{"{long}"#).as_bytes()), "it ends within a string");
            assert!(!nests_deeper_than(1, format!(r#"{{"{long}\"#).as_bytes()));
        }
    }

    #[test]
    fn deep_body_is_refused_and_counted() {
        let counts = LimitCounts::default();
        let limit = BodyNestingLimit::new(2, counts.clone());
        assert_eq!(limit.check(b"{\"a\":[]}"), Ok(()));
        let refused = limit.check(b"{\"a\":[{}]}").expect_err("three levels").to_string();
        assert_eq!(refused, "the body nests deeper than 2 levels (federation.json_depth)");
        assert_eq!(counts.counts(), [("federation.json_depth", 1)]);
    }
}
