//! JSON read without being rewritten: an object's members as raw text, and whether two texts say the same.

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The members of an object in their order, a repeated name included, each value as its text.
pub(super) struct Members<'a>(pub(super) Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        source.deserialize_map(Reader)
    }
}

/// Values nested deeper than this are the same only if their texts are: reading raw text level by level costs a pass over it
/// for each level, and a hostile one has as many levels as bytes.
const DEPTH_MAX: u32 = 128;

/// Whether two JSON texts are the same value: space, the order of an object's members and the escapes in a string do not
/// count. A number is its text, so that none is rounded on the way: `1` and `1.0` differ.
pub(super) fn same_value(left: &str, right: &str) -> bool {
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
        serde_json::from_str(text).map(|Members(mut members)| {
            // Stable: of a repeated name the order stays, and counts.
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
    // Half a surrogate pair is allowed in JSON text and in no string of ours: such texts were compared as they stand.
    let read = |text| serde_json::from_str::<String>(text);
    matches!((read(left), read(right)), (Ok(left), Ok(right)) if left == right)
}

#[cfg(test)]
mod tests {
    use super::same_value;

    #[test]
    fn space_order_of_members_and_escapes_do_not_count() {
        for (left, right) in [
            ("{}", " { } "),
            (r#"{"a":1,"b":[true,null]}"#, "{ \"b\" : [ true , null ],\n\"a\":1}"),
            (r#"{"\u0061":"\u00e9\/"}"#, r#"{"a":"é/"}"#),
            (r#"[{"x":{"z":1,"y":2}}]"#, r#"[{"x":{"y":2,"z":1}}]"#),
            (r#"["\ud800"]"#, r#"[ "\ud800" ]"#),
        ] {
            assert!(same_value(left, right), "{left} {right}");
        }
    }

    #[test]
    fn another_value_is_another_value() {
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
            assert!(!same_value(left, right), "{left} {right}");
        }
    }

    #[test]
    fn no_digit_of_a_number_is_lost_in_comparing() {
        assert!(!same_value("[1208925819614629174706176]", "[1208925819614629174706177]"));
        assert!(!same_value("[0.1]", "[0.10000000000000001]"));
        assert!(!same_value("[9007199254740993]", "[9007199254740992]"));
        assert!(same_value("[ 1208925819614629174706176 ]", "[1208925819614629174706176]"));
    }

    #[test]
    fn a_text_that_is_all_depth_ends_in_an_answer() {
        let deep = |n: usize, inner: &str| format!("{}{inner}{}", "[".repeat(n), "]".repeat(n));
        assert!(same_value(&deep(100, "1"), &deep(100, " 1")));
        assert!(same_value(&deep(20_000, "1"), &deep(20_000, "1")));
        assert!(!same_value(&deep(20_000, "1"), &deep(20_000, "2")));
    }
}
