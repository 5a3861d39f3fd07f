//! A strong update as one pass over a body finds it: its text, how deep it nests, and its kind.

use crate::json::scanner::JsonScanner;

/// A strong update, or what stands in the place of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ScannedUpdate<'a> {
    /// Text of the update.
    pub(crate) text: &'a str,
    /// Levels of brackets in it.
    pub(crate) depth: u32,
    /// Value of the key `update`.
    pub(crate) kind: UpdateKind<'a>,
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
            return Some(Self { text: value.text, depth: value.depth, kind: UpdateKind::Unclear });
        }
        let mut kind = None;
        let depth = scanner.members(|key, scanner| {
            let value = scanner.value()?;
            if kind.is_none() && key.contains('\\') {
                kind = Some(UpdateKind::Unclear);
            } else if kind.is_none() && key == "update" {
                kind = Some(kind_of(value.text));
            }
            Some(value.depth)
        })?;
        Some(Self { text: scanner.text_since(begin), depth, kind: kind.unwrap_or(UpdateKind::Nameless) })
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
            assert_eq!(scanned(text), ScannedUpdate { text, depth, kind }, "{text}");
            if let UpdateKind::Named(name) = kind {
                assert!(has_string_member(text, "update", name), "{text}");
            }
        }
    }
}
