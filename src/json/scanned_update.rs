//! A strong update as one pass over a body finds it: its text, how deep it nests, its kind, and the PDU that it carries.

use crate::json::scanner::{JsonScanner, ScannedValue};

/// A strong update, or what stands in the place of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ScannedUpdate<'a> {
    /// Text of the update.
    pub(crate) text: &'a str,
    /// Levels of brackets in it.
    pub(crate) depth: u32,
    /// Value of the key `update`.
    pub(crate) kind: UpdateKind<'a>,
    /// Value of the key `pdu`, if the update is of that kind and has no other key.
    pub(crate) pdu: Option<ScannedValue<'a>>,
}

/// The value of the first key `update` of an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UpdateKind<'a> {
    /// A text.
    Named(&'a str),
    /// No text, or there is no such key.
    Nameless,
    /// A text or a key in which characters are escaped, or the value is no object: it has to be read by the parser.
    Unclear,
}

impl<'a> ScannedUpdate<'a> {
    /// Reads the next value as an update.
    pub(crate) fn read(scanner: &mut JsonScanner<'a>) -> Option<Self> {
        let (begin, first) = scanner.begin()?;
        if first != b'{' {
            let value = scanner.value()?;
            return Some(Self { text: value.text, depth: value.depth, kind: UpdateKind::Unclear, pdu: None });
        }
        let (mut kind, mut pdu, mut count) = (None, None, 0);
        let depth = scanner.members(|key, scanner| {
            let value = scanner.value()?;
            count += 1;
            if kind.is_none() && key.contains('\\') {
                kind = Some(UpdateKind::Unclear);
            } else if kind.is_none() && key == "update" {
                kind = Some(kind_of(value.text));
            } else if key == "pdu" {
                pdu = Some(value);
            }
            Some(value.depth)
        })?;
        let kind = kind.unwrap_or(UpdateKind::Nameless);
        // Of two keys one is `update`, so the other is there once.
        let pdu = pdu.filter(|_| count == 2 && kind == UpdateKind::Named("pdu"));
        Some(Self { text: scanner.text_since(begin), depth, kind, pdu })
    }
}

fn kind_of(value: &str) -> UpdateKind<'_> {
    match value.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        None => UpdateKind::Nameless,
        Some(text) if text.contains('\\') => UpdateKind::Unclear,
        Some(text) => UpdateKind::Named(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::reader::has_string_member;

    fn scanned(text: &str) -> ScannedUpdate<'_> {
        ScannedUpdate::read(&mut JsonScanner::new(text)).expect("valid")
    }

    #[test]
    fn first_update_key_names_kind() {
        for (text, kind, depth) in [
            (r#"{"update":"pdu","pdu":{}}"#, UpdateKind::Named("pdu"), 2),
            (r#"{"a":[{"update":"pdu"}],"update" : "x"}"#, UpdateKind::Named("x"), 3),
            (r#"{"update":"x","\u0075pdate":"pdu"}"#, UpdateKind::Named("x"), 1),
            (r#"{"\u0075pdate":"pdu"}"#, UpdateKind::Unclear, 1),
            (r#"{"update":"pd\u0075"}"#, UpdateKind::Unclear, 1),
            (r#"{"update":7,"update":"pdu"}"#, UpdateKind::Nameless, 1),
            ("{}", UpdateKind::Nameless, 1),
            ("[{}]", UpdateKind::Unclear, 2),
            ("7", UpdateKind::Unclear, 0),
        ] {
            let found = scanned(text);
            assert_eq!((found.text, found.depth, found.kind), (text, depth, kind), "{text}");
            if let UpdateKind::Named(name) = kind {
                assert!(has_string_member(text, "update", name), "{text}");
            }
        }
    }

    #[test]
    fn pdu_is_found_without_other_keys() {
        let pdu = |text| scanned(text).pdu.map(|value| (value.text, value.depth));
        assert_eq!(pdu(r#"{"update":"pdu","pdu":{"a":[]}}"#), Some((r#"{"a":[]}"#, 2)));
        assert_eq!(pdu(r#"{ "pdu" : 7 , "update" : "pdu" }"#), Some(("7", 0)));
        for text in [
            r#"{"update":"pdu","pdu":{},"x":1}"#,
            r#"{"update":"pdu","pdu":{},"pdu":{}}"#,
            r#"{"update":"pdu","\u0070du":{}}"#,
            r#"{"update":"x","pdu":{}}"#,
            r#"{"update":"pdu"}"#,
            r#"{"pdu":{},"pdu":{}}"#,
            "[]",
        ] {
            assert_eq!(pdu(text), None, "{text}");
        }
    }
}
