//! JSON helpers: split texts without copying, check them without interpreting them.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;

use actors::model::Digest;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::json::nesting::plain_length;
use crate::json::scanner::{JsonScanner, ScannedValue};

/// Maximum number of keys of an object that is read by key. A legitimate one has about twenty; a key costs some hundred
/// bytes of memory and as few as five bytes of the body.
pub(crate) const MEMBERS_MAX: usize = 1000;

/// Returns the digest of some bytes: the first half of their SHA-256.
pub fn digest(bytes: &[u8]) -> Digest {
    Digest::sha256(bytes)
}

/// A key of an object and its value, both as written.
#[derive(Debug, Clone)]
pub(crate) struct ObjectMember<'a> {
    /// The key as it was written, with its quotes.
    pub written: &'a str,
    /// Key of the member, decoded.
    pub key: Cow<'a, str>,
    /// Text of the value.
    pub value: ScannedValue<'a>,
}

/// Returns the members of an object in order, including repeated keys.
///
/// They are read in one pass; the parser reads again what is refused, for its words, and what nests too deep for the pass. For valid
/// JSON it fails in three cases only: the text is no object, it has more than [`MEMBERS_MAX`] keys, or a key
/// contains half a surrogate pair.
pub(crate) fn members(text: &str) -> serde_json::Result<Vec<ObjectMember<'_>>> {
    scanned_members(text).map_or_else(|| parsed_members(text), Ok)
}

/// Returns the members in one pass; `None`: they have to be parsed.
pub(crate) fn scanned_members(text: &str) -> Option<Vec<ObjectMember<'_>>> {
    let mut members = Vec::with_capacity(12);
    let mut scanner = JsonScanner::new(text);
    scanner.members(|key, scanner| {
        if members.len() == MEMBERS_MAX {
            return None;
        }
        let begin = key.as_ptr() as usize - text.as_ptr() as usize;
        let written = &text[begin - 1..=begin + key.len()];
        let key = self::text(written)?;
        let value = scanner.value()?;
        members.push(ObjectMember { written, key, value });
        Some(value.depth)
    })?;
    scanner.is_at_end().then_some(members)
}

/// Returns the members as the parser reads them.
pub(crate) fn parsed_members(text: &str) -> serde_json::Result<Vec<ObjectMember<'_>>> {
    struct ObjectReading;

    impl<'de> Visitor<'de> for ObjectReading {
        type Value = Vec<ObjectMember<'de>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Vec::with_capacity(12);
            while let Some((written, value)) = map.next_entry::<&RawValue, &RawValue>()? {
                if members.len() == MEMBERS_MAX {
                    return Err(A::Error::custom(format_args!("an object here has at most {MEMBERS_MAX} keys")));
                }
                let key = self::text(written.get()).ok_or_else(|| A::Error::custom("a key is no text"))?;
                members.push(ObjectMember { written: written.get(), key, value: value.into() });
            }
            Ok(members)
        }
    }

    let mut reader = serde_json::Deserializer::from_str(text);
    let members = reader.deserialize_map(ObjectReading)?;
    reader.end()?;
    Ok(members)
}

/// Maximum number of keys that are compared with each other.
const COMPARED_MAX: usize = 20;

/// Returns a key that occurs twice. Such an object is refused, because two readers could see different values in it.
pub(crate) fn first_duplicate_key<'m>(members: &'m [ObjectMember<'_>]) -> Option<&'m str> {
    let is_again = |at: usize| members[..at].iter().any(|before| before.key == members[at].key);
    if members.len() <= COMPARED_MAX && !(1..members.len()).any(is_again) {
        return None;
    }
    let mut keys: Vec<&str> = members.iter().map(|member| &*member.key).collect();
    keys.sort_unstable();
    keys.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}

/// Returns the value of a key, the first one if the key is repeated.
pub(crate) fn get<'a>(members: &[ObjectMember<'a>], key: &str) -> Option<ScannedValue<'a>> {
    members.iter().find(|member| member.key == key).map(|member| member.value)
}

/// Returns the text of a string, borrowed if nothing in it is escaped; `None` if it is no string or contains half a
/// surrogate pair.
pub(crate) fn text(value: &str) -> Option<Cow<'_, str>> {
    let inner = value.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        return serde_json::from_str(value).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(inner))
}

/// Returns whether a value is this text, written without escapes.
pub(crate) fn is_plain(value: &str, text: &str) -> bool {
    let inner = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    inner.is_some_and(|inner| inner == text && !inner.contains('\\'))
}

/// Returns the first `keep` items of an array as written, and the number of all items; `None` if it is no array. Memory
/// does not grow with the items beyond `keep`.
pub(crate) fn items(value: ScannedValue<'_>, keep: usize) -> Option<(Vec<ScannedValue<'_>>, usize)> {
    let text = value.get();
    if !text.starts_with('[') {
        return None;
    }
    scanned_items(text, keep).or_else(|| {
        let mut kept = Vec::new();
        let mut reader = serde_json::Deserializer::from_str(text);
        let count = ArrayItems { keep, kept: &mut kept }.deserialize(&mut reader).ok()?;
        Some((kept.into_iter().map(ScannedValue::from).collect(), count))
    })
}

/// Returns the items in one pass; `None`: they have to be parsed, because one nests too deep.
fn scanned_items(text: &str, keep: usize) -> Option<(Vec<ScannedValue<'_>>, usize)> {
    let (mut kept, mut count) = (Vec::new(), 0);
    JsonScanner::new(text).items(|scanner| {
        let item = scanner.value()?;
        if count < keep {
            kept.push(item);
        }
        count += 1;
        Some(item.depth)
    })?;
    Some((kept, count))
}

/// A visitor that counts the items of an array and keeps the first ones as written.
pub(crate) struct ArrayItems<'a, 'de> {
    /// Number of items to keep.
    pub keep: usize,
    /// Destination of the kept items.
    pub kept: &'a mut Vec<&'de RawValue>,
}

impl<'de> DeserializeSeed<'de> for ArrayItems<'_, 'de> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for ArrayItems<'_, 'de> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<usize, A::Error> {
        let mut count = 0;
        while count < self.keep {
            let Some(item) = items.next_element::<&RawValue>()? else { return Ok(count) };
            self.kept.push(item);
            count += 1;
        }
        while items.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok(count)
    }
}

/// A visitor that counts the items of an array and keeps the last ones as written.
pub(crate) struct LastArrayItems<'a, 'de> {
    /// Number of items to keep.
    pub keep: usize,
    /// Destination of the kept items.
    pub kept: &'a mut VecDeque<&'de RawValue>,
}

impl<'de> DeserializeSeed<'de> for LastArrayItems<'_, 'de> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for LastArrayItems<'_, 'de> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<usize, A::Error> {
        let mut count = 0;
        while let Some(item) = items.next_element::<&RawValue>()? {
            if self.kept.len() == self.keep {
                self.kept.pop_front();
            }
            self.kept.push_back(item);
            count += 1;
        }
        Ok(count)
    }
}

/// Returns whether the first occurrence of this key has this text as its value. The object is read no further than
/// that.
pub(crate) fn has_string_member(object: &str, key: &str, expected: &str) -> bool {
    struct KeySearch<'s> {
        key: &'s str,
        expected: &'s str,
        found: &'s mut bool,
    }

    impl<'de> Visitor<'de> for KeySearch<'_> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
            while let Some(written) = map.next_key::<&RawValue>()? {
                if text(written.get()).is_some_and(|key| key == self.key) {
                    let value = map.next_value::<&RawValue>()?;
                    *self.found = text(value.get()).is_some_and(|text| text == self.expected);
                    return Ok(());
                }
                map.next_value::<IgnoredAny>()?;
            }
            Ok(())
        }
    }

    let mut found = false;
    // The parser reports an error because the object was not read to its end; the error is expected.
    let _ = serde_json::Deserializer::from_str(object).deserialize_map(KeySearch { key, expected, found: &mut found });
    found
}

/// Appends a text as JSON. Nearly all texts have no character to escape and are copied.
pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    let is_escaped = |byte: u8| (byte == b'"') | (byte == b'\\') | (byte < b' ');
    if plain_length(text.as_bytes(), is_escaped) < text.len() {
        return put(out, text);
    }
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

/// Appends a value as JSON. The value must be one whose serialization cannot fail.
pub(crate) fn put<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(out, value).expect("texts and numbers into memory");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::scanner::whole_value;

    fn raw(text: &str) -> ScannedValue<'_> {
        whole_value(text).expect("JSON")
    }

    #[test]
    fn members_keep_order_and_spelling() {
        let text = r#" {"b" : [1, 2],"\u0061":1e999,"b":null} "#;
        let shown: Vec<_> = members(text)
            .expect("an object")
            .iter()
            .map(|m| format!("{} {} {}", m.written, m.key, m.value.text))
            .collect();
        assert_eq!(shown, [r#""b" b [1, 2]"#, r#""\u0061" a 1e999"#, r#""b" b null"#]);
        assert_eq!(first_duplicate_key(&members(text).expect("an object")), Some("b"));
        for bad in ["[]", "{} x", "{", r#"{"\ud800":1}"#] {
            assert!(members(bad).is_err(), "{bad}");
        }
        let many = |n: usize| format!("{{{}}}", (0..n).map(|i| format!("\"{i}\":0")).collect::<Vec<_>>().join(","));
        assert!(members(&many(MEMBERS_MAX)).is_ok());
        assert!(members(&many(MEMBERS_MAX + 1)).is_err());
    }

    #[test]
    fn plain_string_is_borrowed() {
        assert!(matches!(text(r#""plain é""#), Some(Cow::Borrowed("plain é"))));
        assert_eq!(text(r#""\u00e9\"""#).as_deref(), Some("é\""));
        for none in ["1", "null", "[\"a\"]", r#""\ud800""#] {
            assert_eq!(text(none), None, "{none}");
        }
    }

    #[test]
    fn excess_items_are_only_counted() {
        let (kept, count) = items(raw("[1, [2], {\"3\":3}]"), 2).expect("an array");
        assert_eq!((kept.iter().map(|item| item.get()).collect::<Vec<_>>(), count), (vec!["1", "[2]"], 3));
        assert!(items(raw("{}"), 2).is_none());
    }

    #[test]
    fn member_scan_stops_at_answer() {
        for (object, expected) in [
            (r#"{"update":"pdu","pdu":{}}"#, true),
            (r#"{"a":[{"update":"pdu"}],"up\u0064ate" : "p\u0064u"}"#, true),
            (r#"{"update":"pdu" not even JSON"#, true),
            (r#"{"update":"message","update":"pdu"}"#, false),
            (r#"{"a":{"update":"pdu"}}"#, false),
            (r#"{"update":["pdu"]}"#, false),
            ("{}", false),
            ("7", false),
        ] {
            assert_eq!(has_string_member(object, "update", "pdu"), expected, "{object}");
        }
    }

    #[test]
    fn texts_are_written_as_by_library() {
        for inside in ["", "\"", "\\", "\n", "\u{0}", "\u{1f}", " ", "\u{7f}", "é", "/", "\u{2028}"] {
            for length in [0, 1, 31, 32, 40] {
                let text = format!("{}{inside}{}", "x".repeat(length), "y".repeat(length));
                let (mut written, mut expected) = (Vec::new(), Vec::new());
                put_text(&mut written, &text);
                put(&mut expected, &text);
                assert_eq!(written, expected, "{text:?}");
            }
        }
    }

    #[test]
    fn json_digest_is_half_sha256() {
        let expected = [0x44, 0x13, 0x6f, 0xa3, 0x55, 0xb3, 0x67, 0x8a, 0x11, 0x46, 0xad, 0x16, 0xf7, 0xe8, 0x64, 0x9e];
        assert_eq!(digest(b"{}").0, expected);
    }
}
