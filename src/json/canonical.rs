//! JSON without reserialization: splits an object into raw members, compares texts by value, and writes a canonical
//! text.

use std::borrow::Cow;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::json::reader::{items, put_text};
use crate::json::scanner::{JsonScanner, ScannedValue};

/// The members of an object in their order, including repeated names, each value as its text.
pub(crate) struct RawObject<'a>(pub(crate) Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for RawObject<'de> {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        struct JsonReader;

        impl<'de> Visitor<'de> for JsonReader {
            type Value = RawObject<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawObject<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(RawObject(members))
            }
        }

        source.deserialize_map(JsonReader)
    }
}

/// A member of an object: its name, and its value as written.
pub(crate) type NamedValue<'a> = (Cow<'a, str>, ScannedValue<'a>);

/// Returns the members of an object in their order, including repeated names.
///
/// They are read in one pass; the parser reads again what is refused, for its words, and what nests too deep for the pass.
pub(crate) fn split_object(text: &[u8]) -> serde_json::Result<Vec<NamedValue<'_>>> {
    if let Some(members) = std::str::from_utf8(text).ok().and_then(scanned_object) {
        return Ok(members);
    }
    let RawObject(members) = serde_json::from_slice(text)?;
    Ok(members.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
}

fn scanned_object(text: &str) -> Option<Vec<NamedValue<'_>>> {
    let mut scanner = JsonScanner::new(text);
    let (members, _) = scanned_members(&mut scanner)?;
    scanner.is_at_end().then_some(members)
}

/// Reads the object at the position of a scanner. Returns its members in their order, including repeated names, and its levels.
pub(crate) fn scanned_members<'a>(scanner: &mut JsonScanner<'a>) -> Option<(Vec<NamedValue<'a>>, u32)> {
    let mut members = Vec::with_capacity(8);
    let depth = scanner.members(|key, scanner| {
        let name = match key.contains('\\') {
            true => serde_json::from_str::<String>(&format!("\"{key}\"")).ok()?.into(),
            false => key.into(),
        };
        let value = scanner.value()?;
        members.push((name, value));
        Some(value.depth)
    })?;
    Some((members, depth))
}

/// Maximum depth of a comparison by value. Deeper values are equal only if their texts are: reading raw text level by
/// level costs a pass for each level, and a hostile text has as many levels as bytes.
const DEPTH_MAX: u32 = 128;

/// Returns whether two JSON texts have the same value: whitespace, the order of an object's members and escapes in
/// strings do not count. Numbers are compared as text, so that none is rounded: `1` and `1.0` differ.
pub(crate) fn same_value(left: &str, right: &str) -> bool {
    same_within(left, right, DEPTH_MAX)
}

fn same_within(left: &str, right: &str, depth: u32) -> bool {
    let (left, right) = (left.trim_ascii(), right.trim_ascii());
    if left == right {
        return true;
    }
    let Some(depth) = depth.checked_sub(1) else { return false };
    match (left.as_bytes().first(), right.as_bytes().first()) {
        (Some(b'{'), Some(b'{')) => same_members(left, right, depth),
        (Some(b'['), Some(b'[')) => same_elements(left, right, depth),
        (Some(b'"'), Some(b'"')) => same_strings(left, right),
        _ => false,
    }
}

fn same_members(left: &str, right: &str, depth: u32) -> bool {
    let read = |text| {
        serde_json::from_str(text).map(|RawObject(mut members)| {
            // The sort is stable, so the order of repeated names is kept and compared.
            members.sort_by(|(one, _), (other, _)| one.cmp(other));
            members
        })
    };
    let (Ok(left), Ok(right)) = (read(left), read(right)) else { return false };
    left.len() == right.len()
        && left.iter().zip(&right).all(|((name, value), (other_name, other))| {
            name == other_name && same_within(value.get(), other.get(), depth)
        })
}

fn same_elements(left: &str, right: &str, depth: u32) -> bool {
    let read = |text| serde_json::from_str::<Vec<&RawValue>>(text);
    let (Ok(left), Ok(right)) = (read(left), read(right)) else { return false };
    left.len() == right.len() && left.iter().zip(&right).all(|(one, other)| same_within(one.get(), other.get(), depth))
}

fn same_strings(left: &str, right: &str) -> bool {
    // JSON allows half a surrogate pair, Rust strings do not: such texts are equal only if they are identical.
    let read = |text| serde_json::from_str::<String>(text);
    matches!((read(left), read(right)), (Ok(left), Ok(right)) if left == right)
}

/// Writes an object so that objects equal by [`same_value`] become one text: members sorted by name, no whitespace, the
/// same escapes in strings, numbers unchanged.
pub(crate) fn write_canonical(out: &mut Vec<u8>, members: Vec<NamedValue<'_>>) {
    write_object(out, members, DEPTH_MAX);
}

fn write_within(out: &mut Vec<u8>, text: &str, depth: u32) {
    let text = text.trim_ascii();
    let written = depth.checked_sub(1).is_some_and(|depth| match text.as_bytes().first() {
        Some(b'{') => write_members(out, text, depth),
        Some(b'[') => write_elements(out, text, depth),
        // A string without escapes is written as it is read.
        Some(b'"') if text.contains('\\') => {
            serde_json::from_str::<String>(text).is_ok_and(|string| write_string(out, &string))
        }
        _ => false,
    });
    if !written {
        out.extend_from_slice(text.as_bytes());
    }
}

fn write_members(out: &mut Vec<u8>, text: &str, depth: u32) -> bool {
    let Ok(members) = split_object(text.as_bytes()) else { return false };
    write_object(out, members, depth);
    true
}

fn write_object(out: &mut Vec<u8>, mut members: Vec<NamedValue<'_>>, depth: u32) {
    members.sort_by(|(one, _), (other, _)| one.cmp(other));
    out.push(b'{');
    for (place, (name, value)) in members.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write_string(out, name);
        out.push(b':');
        write_within(out, value.get(), depth);
    }
    out.push(b'}');
}

fn write_elements(out: &mut Vec<u8>, text: &str, depth: u32) -> bool {
    let whole = ScannedValue { text, depth: 0 };
    let Some((elements, _)) = items(whole, usize::MAX) else { return false };
    out.push(b'[');
    for (place, element) in elements.into_iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write_within(out, element.get(), depth);
    }
    out.push(b']');
    true
}

fn write_string(out: &mut Vec<u8>, text: &str) -> bool {
    put_text(out, text);
    true
}

#[cfg(test)]
mod tests {
    use super::{RawValue, same_value, write_canonical};

    /// Returns whether two texts are the same value, by both ways of comparing them.
    fn same(left: &str, right: &str) -> bool {
        let canonical = |text| {
            let mut out = Vec::new();
            let value: &RawValue = serde_json::from_str(text).expect("JSON");
            write_canonical(&mut out, vec![("value".into(), value.into())]);
            out
        };
        let same = same_value(left, right);
        assert_eq!(canonical(left) == canonical(right), same, "{left} {right}");
        same
    }

    #[test]
    fn json_equality_ignores_formatting() {
        for (left, right) in [
            ("{}", " { } "),
            (r#"{"a":1,"b":[true,null]}"#, "{ \"b\" : [ true , null ],\n\"a\":1}"),
            (r#"{"\u0061":"\u00e9\/"}"#, r#"{"a":"é/"}"#),
            (r#"[{"x":{"z":1,"y":2}}]"#, r#"[{"x":{"y":2,"z":1}}]"#),
            (r#"["\ud800"]"#, r#"[ "\ud800" ]"#),
        ] {
            assert!(same(left, right), "{left} {right}");
        }
    }

    #[test]
    fn different_json_values_are_unequal() {
        for (left, right) in [
            ("{}", "[]"),
            ("[1,2]", "[2,1]"),
            ("[1]", "[1,1]"),
            (r#"{"a":1}"#, r#"{"a":"1"}"#),
            (r#"{"a":1}"#, r#"{"b":1}"#),
            (r#"{"a":null}"#, "{}"),
            (r#"{"a":1,"a":2}"#, r#"{"a":2}"#),
            (r#"{"a":1,"a":2}"#, r#"{"a":2,"a":1}"#),
            ("true", "false"),
        ] {
            assert!(!same(left, right), "{left} {right}");
        }
    }

    #[test]
    fn json_numbers_compare_every_digit() {
        assert!(!same("[1208925819614629174706176]", "[1208925819614629174706177]"));
        assert!(!same("[0.1]", "[0.10000000000000001]"));
        assert!(!same("[9007199254740993]", "[9007199254740992]"));
        assert!(same("[ 1208925819614629174706176 ]", "[1208925819614629174706176]"));
    }

    #[test]
    fn deep_json_comparison_terminates() {
        let deep = |n: usize, inner: &str| format!("{}{inner}{}", "[".repeat(n), "]".repeat(n));
        assert!(same(&deep(100, "1"), &deep(100, " 1")));
        assert!(same(&deep(20_000, "1"), &deep(20_000, "1")));
        assert!(!same(&deep(20_000, "1"), &deep(20_000, "2")));
    }
}
