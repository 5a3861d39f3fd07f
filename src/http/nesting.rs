//! How deep the JSON of a body may nest: one bound for what peers push and for what is accepted to be pushed to them.

/// How deep arrays and objects of a body may nest. Parsers behind us stop near 128 or run out of stack, so what they could
/// not read is not taken, either.
pub const NESTING_MAX: usize = 100;

/// Whether brackets outside of strings open more than `max` levels. On bytes that are no JSON the answer means nothing and
/// the parser has the word.
pub fn nests_deeper_than(max: usize, body: &[u8]) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_count_unless_they_are_text() {
        assert!(!nests_deeper_than(2, b"{\"a\":[],\"b\":[]}"));
        assert!(nests_deeper_than(2, b"{\"a\":[[]]}"));
        assert!(!nests_deeper_than(1, br#"{"a":"[[{\"[["}"#));
    }
}
