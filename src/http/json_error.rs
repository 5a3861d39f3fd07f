//! Errors in JSON texts, in plain words that name the byte or the key.

use std::str::Utf8Error;

use serde::Deserialize;
use serde_json::Error;

use crate::json::serde_errors::{SourceFormat, in_words};

/// Returns the error in a text and its place; bytes are counted from 1.
pub fn words(error: &Error) -> String {
    let whole = error.to_string();
    let (line, column) = (error.line(), error.column());
    // An error about the whole value has no place, or the place before its first byte.
    let said = whole.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&whole);
    let at = match line {
        0 => return in_words(said, SourceFormat::Json),
        1 if column == 0 && error.is_data() => return in_words(said, SourceFormat::Json),
        1 => format!("byte {column}"),
        _ => format!("line {line}, byte {column}"),
    };
    if error.is_data() {
        format!("{} (at {at})", in_words(said, SourceFormat::Json))
    } else {
        syntax(said, &at, column)
    }
}

/// Returns the parser's message, which names the tokens it expected.
fn syntax(said: &str, at: &str, column: usize) -> String {
    match said {
        "EOF while parsing a value" if column == 0 => "it is empty".to_owned(),
        "EOF while parsing a value" => format!("it ends at {at}, where a value is expected"),
        "EOF while parsing a list" => format!("it ends at {at}, inside a list"),
        "EOF while parsing an object" => format!("it ends at {at}, inside an object"),
        "EOF while parsing a string" => format!("it ends at {at}, inside a string"),
        "expected `:`" => format!("a colon is expected at {at}"),
        "expected `,` or `]`" => format!("a comma or ] is expected at {at}"),
        "expected `,` or `}`" => format!("a comma or }} is expected at {at}"),
        "expected ident" => format!("the word at {at} is none of true, false and null"),
        "expected value" => format!("a value is expected at {at}"),
        "expected `\"`" | "key must be a string" => format!("a key in quotes is expected at {at}"),
        "invalid escape" => format!("the escape at {at} is unknown"),
        "unexpected end of hex escape" => format!("the escape at {at} needs four hex digits"),
        "lone leading surrogate in hex escape" => format!("the escape at {at} is half of a surrogate pair"),
        "invalid number" => format!("the number at {at} is not valid JSON"),
        "number out of range" => format!("the number at {at} is too large"),
        "invalid unicode code point" => format!("the text at {at} is not UTF-8"),
        "trailing comma" => format!("a comma is followed by nothing, before {at}"),
        "trailing characters" => format!("text follows its end, at {at}"),
        "recursion limit exceeded" => format!("it nests too deeply at {at}"),
        control if control.starts_with("control character") => {
            format!("a control character in a string is not escaped, at {at}")
        }
        other => format!("{other} at {at}"),
    }
}

/// Returns the place at which a text is not UTF-8.
pub fn utf8(error: &Utf8Error) -> String {
    format!("it is not UTF-8 at byte {}", error.valid_up_to() + 1)
}

/// Reads an object, or returns what is wrong with it, with the key if the error is at a key.
pub fn object<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, String> {
    // Derived code also accepts a list of the values, which no reader of ours means.
    if text.trim_ascii_start().starts_with(b"[") {
        return Err("it is a list; an object is expected".to_owned());
    }
    serde_json::from_slice(text).map_err(|error| {
        // On failure only, a second pass records the key at which the first one stopped.
        let mut reader = serde_json::Deserializer::from_slice(text);
        let again: Result<T, _> = serde_path_to_error::deserialize(&mut reader);
        match again {
            Err(told) if told.inner().is_data() && told.path().iter().len() > 0 => {
                let (key, why) = (told.path().to_string(), words(told.inner()));
                // An error about the key itself already names it.
                if why.contains(&format!("{key:?}")) { why } else { format!("{key:?}: {why}") }
            }
            _ => words(&error),
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        #[expect(dead_code, reason = "read, and never looked at")]
        upto: u64,
        #[expect(dead_code, reason = "read, and never looked at")]
        #[serde(default)]
        names: Vec<String>,
    }

    #[test]
    fn parser_errors_are_said_in_words() {
        for (text, said) in [
            ("", "it is empty"),
            (" ", "it ends at byte 1, where a value is expected"),
            ("[1", "it ends at byte 2, inside a list"),
            ("{\"a\":1", "it ends at byte 6, inside an object"),
            ("\"abc", "it ends at byte 4, inside a string"),
            ("{\"a\" 1}", "a colon is expected at byte 6"),
            ("[1 2]", "a comma or ] is expected at byte 4"),
            ("{\"a\":1 \"b\":2}", "a comma or } is expected at byte 8"),
            ("nul", "it ends at byte 3, where a value is expected"),
            ("nuII", "the word at byte 3 is none of true, false and null"),
            ("NaN", "a value is expected at byte 1"),
            ("{a:1}", "a key in quotes is expected at byte 2"),
            ("\"\\x\"", "the escape at byte 3 is unknown"),
            ("\"\\ud800\"", "the escape at byte 8 needs four hex digits"),
            ("01", "the number at byte 2 is not valid JSON"),
            ("1e999", "the number at byte 5 is too large"),
            ("[1,]", "a comma is followed by nothing, before byte 4"),
            ("{} x", "text follows its end, at byte 4"),
            ("\"a\nb\"", "a control character in a string is not escaped, at line 2, byte 0"),
            ("{\n\"a\": x}", "a value is expected at line 2, byte 6"),
        ] {
            let error = serde_json::from_str::<Value>(text).expect_err(text);
            assert_eq!(words(&error), said, "{text:?} gave {error}");
        }
        let error = serde_json::from_slice::<Value>(b"\"\xff\"").expect_err("no UTF-8");
        assert_eq!(words(&error), "the text at byte 2 is not UTF-8");
        let error = serde_json::from_str::<Value>(&"[".repeat(200)).expect_err("too deep");
        assert_eq!(words(&error), "it nests too deeply at byte 128");
        assert_eq!(
            utf8(&std::str::from_utf8(&[b"ab".as_slice(), b"\xff"].concat()).expect_err("no UTF-8")),
            "it is not UTF-8 at byte 3"
        );
    }

    #[test]
    fn unfit_value_names_its_key() {
        for (text, said) in [
            ("{}", "the key \"upto\" is missing (at byte 2)"),
            ("[5]", "it is a list; an object is expected"),
            ("7", "it is 7, but must be an object (at byte 1)"),
            (
                "{\"upto\":\"7\"}",
                "\"upto\": it is \"7\", but must be a whole number from 0 on, without quotes (at byte 11)",
            ),
            ("{\"upto\":-1}", "\"upto\": it is -1, but must be a whole number from 0 on, without quotes (at byte 10)"),
            ("{\"upto\":1,\"names\":[\"a\",7]}", "\"names[1]\": it is 7, but must be a text in quotes (at byte 24)"),
            ("{\"upto\":1,\"to\":2}", "unknown key \"to\"; expected \"upto\" or \"names\" (at byte 14)"),
            ("{\"upto\":nul}", "the word at byte 12 is none of true, false and null"),
        ] {
            assert_eq!(object::<Body>(text.as_bytes()).expect_err(text), said, "{text}");
        }
    }
}
