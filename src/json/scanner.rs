//! Reads JSON in one pass: it checks the grammar, splits the levels that its caller asks for, and measures how deep values nest.
//!
//! It is for bodies that strangers write and that are valid nearly always, so it says only whether a text is valid and not where it is
//! wrong: callers read a refused body again by the parser of the JSON library, for its words. It accepts what that parser accepts, up
//! to a nesting of [`DEPTH_MAX`] levels; a fuzz target compares the two.

use serde_json::value::RawValue;

use crate::json::nesting::plain_length;

/// Maximum nesting of a value that is read. The kinds of all open brackets are kept in one number of so many bits.
pub(crate) const DEPTH_MAX: u32 = 128;

/// A value as it is written, without the white space around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ScannedValue<'a> {
    /// Text of the value.
    pub(crate) text: &'a str,
    /// Levels of brackets in it.
    pub(crate) depth: u32,
}

impl<'a> ScannedValue<'a> {
    /// Returns the text of the value.
    pub(crate) const fn get(self) -> &'a str {
        self.text
    }

    /// Returns whether the value nests deeper than `max` levels.
    pub(crate) const fn nests_deeper_than(self, max: usize) -> bool {
        self.depth as usize > max
    }
}

/// Measures a value that the library has read, however deep it nests.
impl<'a> From<&'a RawValue> for ScannedValue<'a> {
    fn from(value: &'a RawValue) -> Self {
        // What nests too deep for one pass nests too deep for everything that is asked.
        let measured = whole_value(value.get());
        measured.unwrap_or(ScannedValue { text: value.get(), depth: u32::MAX })
    }
}

/// A position in a JSON text. Each method reads on from there, and returns `None` if the text is not valid there.
#[derive(Debug, Clone)]
pub(crate) struct JsonScanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> JsonScanner<'a> {
    /// Returns a scanner at the beginning of a text.
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Reads the members of an object: `read` gets each key as it is written, without its quotes, and has to read the value. A key in
    /// which a character is escaped has a `\`. Returns the levels of the object above the values, of which `read` returns the levels.
    pub(crate) fn members(&mut self, mut read: impl FnMut(&'a str, &mut Self) -> Option<u32>) -> Option<u32> {
        let mut depth = 0;
        self.step_over(b'{')?;
        if self.next_byte()? == b'}' {
            self.at += 1;
            return Some(1);
        }
        loop {
            let key = self.key()?;
            depth = depth.max(read(key, self)?);
            match self.taken_byte()? {
                b',' => {}
                b'}' => return Some(depth + 1),
                _ => return None,
            }
        }
    }

    /// Reads the items of an array: `read` has to read each, and returns its levels. Returns the levels of the array.
    pub(crate) fn items(&mut self, mut read: impl FnMut(&mut Self) -> Option<u32>) -> Option<u32> {
        let mut depth = 0;
        self.step_over(b'[')?;
        if self.next_byte()? == b']' {
            self.at += 1;
            return Some(1);
        }
        loop {
            depth = depth.max(read(self)?);
            match self.taken_byte()? {
                b',' => {}
                b']' => return Some(depth + 1),
                _ => return None,
            }
        }
    }

    /// Reads any value.
    pub(crate) fn value(&mut self) -> Option<ScannedValue<'a>> {
        self.next_byte()?;
        let begin = self.at;
        // The kinds of the open brackets, the innermost in the lowest bit: 1 is an object.
        let (mut kinds, mut open, mut depth) = (0_u128, 0, 0);
        loop {
            let is_empty = match self.next_byte()? {
                b'"' => {
                    self.string()?;
                    true
                }
                bracket @ (b'{' | b'[') => {
                    if open == DEPTH_MAX {
                        return None;
                    }
                    let is_object = bracket == b'{';
                    (kinds, open) = (kinds << 1 | u128::from(is_object), open + 1);
                    depth = depth.max(open);
                    self.at += 1;
                    let is_empty = self.next_byte()? == if is_object { b'}' } else { b']' };
                    if is_object && !is_empty {
                        self.key()?;
                    }
                    is_empty
                }
                b't' => self.word("true")?,
                b'f' => self.word("false")?,
                b'n' => self.word("null")?,
                _ => self.number()?,
            };
            if is_empty && !self.close(&mut kinds, &mut open)? {
                return Some(ScannedValue { text: &self.text[begin..self.at], depth });
            }
        }
    }

    /// Returns the text since a position of the scanner.
    pub(crate) fn text_since(&self, begin: usize) -> &'a str {
        &self.text[begin..self.at]
    }

    /// Steps over white space, and returns the position and the byte there.
    pub(crate) fn begin(&mut self) -> Option<(usize, u8)> {
        let byte = self.next_byte()?;
        Some((self.at, byte))
    }

    /// Returns whether nothing but white space follows.
    pub(crate) fn is_at_end(&mut self) -> bool {
        self.next_byte().is_none()
    }

    /// Reads what follows a value: the brackets that it is the last value in, or the comma and the key before the next value. Returns
    /// whether a value follows.
    fn close(&mut self, kinds: &mut u128, open: &mut u32) -> Option<bool> {
        while *open > 0 {
            let is_object = *kinds & 1 == 1;
            match self.taken_byte()? {
                b',' => {
                    if is_object {
                        self.key()?;
                    }
                    return Some(true);
                }
                b'}' if is_object => {}
                b']' if !is_object => {}
                _ => return None,
            }
            (*kinds, *open) = (*kinds >> 1, *open - 1);
        }
        Some(false)
    }

    /// Returns the next byte that is no white space, and stays before it.
    fn next_byte(&mut self) -> Option<u8> {
        loop {
            match *self.text.as_bytes().get(self.at)? {
                b' ' | b'\n' | b'\t' | b'\r' => self.at += 1,
                byte => return Some(byte),
            }
        }
    }

    /// Returns the next byte that is no white space, and steps over it.
    fn taken_byte(&mut self) -> Option<u8> {
        let byte = self.next_byte()?;
        self.at += 1;
        Some(byte)
    }

    fn step_over(&mut self, expected: u8) -> Option<()> {
        (self.taken_byte()? == expected).then_some(())
    }

    /// Reads a key and the colon after it. Returns the key without its quotes.
    fn key(&mut self) -> Option<&'a str> {
        if self.next_byte()? != b'"' {
            return None;
        }
        let begin = self.at + 1;
        self.string()?;
        let key = &self.text[begin..self.at - 1];
        self.step_over(b':')?;
        Some(key)
    }

    /// Reads the string whose first quote is the next byte.
    fn string(&mut self) -> Option<()> {
        let bytes = self.text.as_bytes();
        let mut at = self.at + 1;
        loop {
            // A control character is not allowed in a string.
            at += plain_length(&bytes[at..], |byte| (byte == b'"') | (byte == b'\\') | (byte < b' '));
            match *bytes.get(at)? {
                b'"' => {
                    self.at = at + 1;
                    return Some(());
                }
                b'\\' => match *bytes.get(at + 1)? {
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => at += 2,
                    b'u' if bytes.get(at + 2..at + 6)?.iter().all(u8::is_ascii_hexdigit) => at += 6,
                    _ => return None,
                },
                _ => return None,
            }
        }
    }

    fn word(&mut self, word: &str) -> Option<bool> {
        self.text.as_bytes()[self.at..].starts_with(word.as_bytes()).then(|| {
            self.at += word.len();
            true
        })
    }

    fn number(&mut self) -> Option<bool> {
        let bytes = self.text.as_bytes();
        let mut at = self.at + usize::from(bytes.get(self.at) == Some(&b'-'));
        let digits = |at: usize| bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let whole = digits(at);
        if whole == 0 || (whole > 1 && bytes[at] == b'0') {
            return None;
        }
        at += whole;
        if bytes.get(at) == Some(&b'.') {
            let fraction = digits(at + 1);
            if fraction == 0 {
                return None;
            }
            at += 1 + fraction;
        }
        if matches!(bytes.get(at), Some(b'e' | b'E')) {
            at += 1 + usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
            let exponent = digits(at);
            if exponent == 0 {
                return None;
            }
            at += exponent;
        }
        self.at = at;
        Some(true)
    }
}

/// Returns a value and its levels, if the text is one value.
pub(crate) fn whole_value(text: &str) -> Option<ScannedValue<'_>> {
    let mut scanner = JsonScanner::new(text);
    scanner.value().filter(|_| scanner.is_at_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::nesting::nests_deeper_than;
    use proptest::prelude::*;

    /// Checks that the scanner reads a text as the library does.
    fn check(text: &str) {
        let library = serde_json::from_str::<&RawValue>(text).ok();
        let scanned = whole_value(text);
        match (library, scanned) {
            (None, None) => {}
            (Some(library), Some(scanned)) => {
                assert_eq!(library.get(), scanned.text, "{text}");
                assert_eq!(scanned.depth, depth(text), "{text}");
            }
            (Some(_), None) => assert!(depth(text) > DEPTH_MAX, "it is valid: {text}"),
            (None, Some(_)) => panic!("it is not valid: {text}"),
        }
    }

    fn depth(text: &str) -> u32 {
        (0..).find(|levels| !nests_deeper_than(*levels, text.as_bytes())).unwrap_or_default() as u32
    }

    #[test]
    fn scanner_agrees_with_library() {
        let plain = "x".repeat(70);
        for text in [
            "",
            " ",
            "{",
            "}",
            "[",
            "]",
            "{}",
            " { } ",
            "[ ]",
            "[[]]",
            "[{}]",
            "{\"a\":[]}",
            "[1,]",
            "[,1]",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{,}",
            "{1:2}",
            "[1 2]",
            "[1}",
            "{\"a\":1]",
            "1 2",
            "true",
            "tru",
            "truex",
            "nul",
            "[true,false,null]",
            "-",
            "-0",
            "-01",
            "01",
            "0",
            "10",
            "1.",
            "1.5",
            ".5",
            "1e",
            "1e+",
            "1E-7",
            "1.e1",
            "+1",
            "1e400",
            "\"",
            "\"\\\"",
            "\"\\\"\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\u12g4\"",
            "\"\\ud800\"",
            "\"a\tb\"",
            "\"\u{7f}\u{e9}\u{1f600}\"",
            "\u{feff}1",
            "\u{a0}1",
            "{\"\\u0061\":1}",
            "[\"\\/\\b\\f\\n\\r\\t\\\\\"]",
        ] {
            check(text);
            check(&format!("[\"{plain}\",{text}]"));
            check(&format!("{{\"{plain}\":{text}}}"));
        }
        for inside in ["\"", "\\", "\n", "\u{0}", "\u{1f}", " ", "!", "#", "[", "]"] {
            for length in 0..70 {
                check(&format!("\"{}{inside}{plain}\"", &plain[..length]));
            }
        }
    }

    #[test]
    fn deep_value_is_left_to_library() {
        let deep = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(whole_value(&deep(128)).map(|value| value.depth), Some(128));
        assert_eq!(whole_value(&deep(129)), None);
        let object = |levels: usize| format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels));
        assert_eq!(whole_value(&object(128)).map(|value| value.depth), Some(128));
        assert_eq!(whole_value(&object(129)), None);
    }

    #[test]
    fn members_and_items_are_split() {
        let text = r#" {"a" : [1, "x]" ,{"b":[]}],"\u0062":2} "#;
        let mut seen = Vec::new();
        let mut scanner = JsonScanner::new(text);
        let depth = scanner.members(|key, scanner| match key {
            "a" => scanner.items(|scanner| {
                let value = scanner.value()?;
                seen.push((key, value.text));
                Some(value.depth)
            }),
            _ => {
                let value = scanner.value()?;
                seen.push((key, value.text));
                Some(value.depth)
            }
        });
        assert_eq!((depth, scanner.is_at_end()), (Some(4), true));
        assert_eq!(seen, [("a", "1"), ("a", "\"x]\""), ("a", r#"{"b":[]}"#), ("\\u0062", "2")]);
    }

    proptest! {
        #[test]
        fn scanner_reads_any_text_alike(text in r#"[\[\]{}:,"\\ tfn0-9.eE+\-a-d\x00-\x20é]{0,24}"#) {
            check(&text);
        }

        #[test]
        fn scanner_reads_strings_alike(text in r#""[ -~\\\n]{0,80}""#) {
            check(&text);
        }
    }
}
