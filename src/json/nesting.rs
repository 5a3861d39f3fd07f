//! The nesting limit of JSON bodies: the same for what peers push and for what is accepted to be pushed to them.

/// Maximum nesting of arrays and objects in a body. Parsers of the receivers stop near 128 levels or overflow their
/// stack, so deeper bodies are not accepted.
pub const NESTING_MAX: usize = 100;

/// Returns whether brackets outside of strings nest deeper than `max`. For bytes that are not JSON the result is
/// meaningless, and the parser refuses them.
pub(crate) fn nests_deeper_than(max: usize, body: &[u8]) -> bool {
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
    fn brackets_in_strings_never_nest() {
        assert!(!nests_deeper_than(2, b"{\"a\":[],\"b\":[]}"));
        assert!(nests_deeper_than(2, b"{\"a\":[[]]}"));
        assert!(!nests_deeper_than(1, br#"{"a":"[[{\"[["}"#));
    }
}
