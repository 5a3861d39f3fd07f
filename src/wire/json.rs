//! JSON at the edge: taken apart without being copied, judged without being understood.

use std::borrow::Cow;
use std::fmt;

use actors::model::Digest;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserializer, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

/// Keys of one object that we read by name. An honest one has about twenty; a key costs some hundred bytes of memory and as
/// few as five of the body.
pub const MEMBERS_MAX: usize = 1000;

/// What identifies some bytes: the first half of their SHA-256.
pub fn digest(bytes: &[u8]) -> Digest {
    let whole = Sha256::digest(bytes);
    let mut half = [0; 16];
    half.copy_from_slice(&whole[..16]);
    Digest(half)
}

/// One key of an object and its value, both as they stand.
#[derive(Debug, Clone)]
pub struct Member<'a> {
    /// The key as it was written, with its quotes.
    pub written: &'a str,
    /// The key as it reads.
    pub key: Cow<'a, str>,
    /// The value's text.
    pub value: &'a RawValue,
}

/// The members of an object, in order, repeated keys included.
///
/// No error of it is new where the text is JSON, but three: it is no object, it has more than [`MEMBERS_MAX`] keys, or a key
/// holds half a surrogate pair and so reads as no text.
pub fn members(text: &str) -> serde_json::Result<Vec<Member<'_>>> {
    struct Reading;

    impl<'de> Visitor<'de> for Reading {
        type Value = Vec<Member<'de>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Vec::with_capacity(12);
            while let Some((written, value)) = map.next_entry::<&RawValue, &RawValue>()? {
                if members.len() == MEMBERS_MAX {
                    return Err(A::Error::custom(format_args!("an object here has at most {MEMBERS_MAX} keys")));
                }
                let key = self::text(written).ok_or_else(|| A::Error::custom("a key is no text"))?;
                members.push(Member { written: written.get(), key, value });
            }
            Ok(members)
        }
    }

    let mut reader = serde_json::Deserializer::from_str(text);
    let members = reader.deserialize_map(Reading)?;
    reader.end()?;
    Ok(members)
}

/// A key that is there twice: two readers could see two different things in one object.
pub fn twice<'m>(members: &'m [Member<'_>]) -> Option<&'m str> {
    let mut keys: Vec<&str> = members.iter().map(|member| &*member.key).collect();
    keys.sort_unstable();
    keys.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}

/// The value of a key, the first where it is repeated.
pub fn get<'a>(members: &[Member<'a>], key: &str) -> Option<&'a RawValue> {
    members.iter().find(|member| member.key == key).map(|member| member.value)
}

/// A string's text, borrowed where nothing in it is escaped; `None`: no string, or one with half a surrogate pair.
pub fn text(value: &RawValue) -> Option<Cow<'_, str>> {
    let inner = value.get().strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        return serde_json::from_str(value.get()).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(inner))
}

/// The first `keep` items of an array as they stand, and how many there are; `None`: no array. Memory does not grow with what
/// lies beyond.
pub fn items(value: &RawValue, keep: usize) -> Option<(Vec<&RawValue>, usize)> {
    let mut kept = Vec::new();
    let mut reader = serde_json::Deserializer::from_str(value.get());
    let count = Items { keep, kept: &mut kept }.deserialize(&mut reader).ok()?;
    Some((kept, count))
}

/// Counts the items of an array and keeps the first ones as they stand.
pub struct Items<'a, 'de> {
    /// How many are kept.
    pub keep: usize,
    /// Where they go.
    pub kept: &'a mut Vec<&'de RawValue>,
}

impl<'de> DeserializeSeed<'de> for Items<'_, 'de> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Items<'_, 'de> {
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

/// Whether an object says this text under this key, the first time it has the key. It is read no further than that.
pub fn says(object: &str, key: &str, expected: &str) -> bool {
    struct Seeking<'s> {
        key: &'s str,
        expected: &'s str,
        found: &'s mut bool,
    }

    impl<'de> Visitor<'de> for Seeking<'_> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
            while let Some(written) = map.next_key::<&RawValue>()? {
                if text(written).is_some_and(|key| key == self.key) {
                    let value = map.next_value::<&RawValue>()?;
                    *self.found = text(value).is_some_and(|text| text == self.expected);
                    return Ok(());
                }
                map.next_value::<IgnoredAny>()?;
            }
            Ok(())
        }
    }

    let mut found = false;
    // An object left before its end is an error to the parser, and none to us.
    let _ = serde_json::Deserializer::from_str(object).deserialize_map(Seeking { key, expected, found: &mut found });
    found
}

/// Appends a value that cannot fail to be JSON.
pub fn put<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(out, value).expect("texts and numbers into memory");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> &RawValue {
        serde_json::from_str(text).expect("JSON")
    }

    #[test]
    fn members_keep_their_order_their_spelling_and_their_repetitions() {
        let text = r#" {"b" : [1, 2],"\u0061":1e999,"b":null} "#;
        let shown: Vec<_> =
            members(text).expect("an object").iter().map(|m| format!("{} {} {}", m.written, m.key, m.value)).collect();
        assert_eq!(shown, [r#""b" b [1, 2]"#, r#""\u0061" a 1e999"#, r#""b" b null"#]);
        assert_eq!(twice(&members(text).expect("an object")), Some("b"));
        for bad in ["[]", "{} x", "{", r#"{"\ud800":1}"#] {
            assert!(members(bad).is_err(), "{bad}");
        }
        let many = |n: usize| format!("{{{}}}", (0..n).map(|i| format!("\"{i}\":0")).collect::<Vec<_>>().join(","));
        assert!(members(&many(MEMBERS_MAX)).is_ok());
        assert!(members(&many(MEMBERS_MAX + 1)).is_err());
    }

    #[test]
    fn a_string_is_borrowed_where_it_can_be() {
        assert!(matches!(text(raw(r#""plain é""#)), Some(Cow::Borrowed("plain é"))));
        assert_eq!(text(raw(r#""\u00e9\"""#)).as_deref(), Some("é\""));
        for none in ["1", "null", "[\"a\"]", r#""\ud800""#] {
            assert_eq!(text(raw(none)), None, "{none}");
        }
    }

    #[test]
    fn items_beyond_the_limit_are_counted_and_not_kept() {
        let (kept, count) = items(raw("[1, [2], {\"3\":3}]"), 2).expect("an array");
        assert_eq!((kept.iter().map(|item| item.get()).collect::<Vec<_>>(), count), (vec!["1", "[2]"], 3));
        assert!(items(raw("{}"), 2).is_none());
    }

    #[test]
    fn an_object_is_read_no_further_than_its_answer() {
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
            assert_eq!(says(object, "update", "pdu"), expected, "{object}");
        }
    }

    #[test]
    fn a_digest_is_the_first_half_of_sha_256() {
        let expected = [0x44, 0x13, 0x6f, 0xa3, 0x55, 0xb3, 0x67, 0x8a, 0x11, 0x46, 0xad, 0x16, 0xf7, 0xe8, 0x64, 0x9e];
        assert_eq!(digest(b"{}").0, expected);
    }
}
