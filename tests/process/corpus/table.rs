//! Tables of inputs as TOML files, and the escapes in their texts.

use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

/// An input that a table names.
pub(super) trait NamedInput {
    /// Its name, unique within its area.
    fn name(&self) -> &str;
}

/// A file of inputs, in groups that share a default.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InputFile<T> {
    group: Vec<InputGroup<T>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InputGroup<T> {
    /// Request line of the inputs that have none of their own.
    #[serde(default)]
    request: String,
    input: Vec<T>,
}

/// Reads a table; each input comes with the request line of its group.
pub(super) fn read_table<T: DeserializeOwned>(area: &str) -> Vec<(String, T)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/process/corpus/tables");
    let path = folder.join(format!("{area}.toml"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let file: InputFile<T> = toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let groups = file.group.into_iter();
    groups.flat_map(|group| group.input.into_iter().map(move |input| (group.request.clone(), input))).collect()
}

/// Returns the bytes of a text in a table: `\r`, `\n`, `\xHH`, and `\*N<TEXT>` for N times TEXT. Every other backslash stands
/// for itself, because texts in JSON have backslashes, too.
pub(super) fn bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, escape)) = rest.split_once('\\') {
        bytes.extend_from_slice(before.as_bytes());
        rest = match escape.chars().next() {
            Some('r') => push(&mut bytes, b"\r", &escape[1..]),
            Some('n') => push(&mut bytes, b"\n", &escape[1..]),
            Some('x') => {
                let byte = u8::from_str_radix(&escape[1..3], 16).expect("two hex digits");
                push(&mut bytes, &[byte], &escape[3..])
            }
            Some('*') => {
                let (times, inner) = escape[1..].split_once('<').expect("a number and <");
                let (inner, after) = inner.split_at(closing(inner));
                push(&mut bytes, &self::bytes(inner).repeat(times.parse().expect("a number")), &after[1..])
            }
            _ => push(&mut bytes, b"\\", escape),
        };
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

/// Returns the place of the `>` that belongs to a `<` before the text.
fn closing(text: &str) -> usize {
    let mut depth = 1;
    let mut places = text.char_indices();
    let closes = |(_, c): &(usize, char)| {
        depth += i32::from(*c == '<') - i32::from(*c == '>');
        depth == 0
    };
    places.find(closes).expect("a >").0
}

fn push<'a>(bytes: &mut Vec<u8>, more: &[u8], rest: &'a str) -> &'a str {
    bytes.extend_from_slice(more);
    rest
}

#[test]
fn escapes_of_tables_are_bytes() {
    assert_eq!(bytes(r"a\r\nb\x00\xff"), b"a\r\nb\x00\xff");
    assert_eq!(bytes(r#"{"a":"\ud800\"x"}"#), br#"{"a":"\ud800\"x"}"#);
    assert_eq!(bytes(r"\*2<a\*2<b>>"), b"abbabb");
    assert_eq!(bytes(r#"(\*2<{"a":>1\n)"#), b"({\"a\":{\"a\":1\n)");
}
