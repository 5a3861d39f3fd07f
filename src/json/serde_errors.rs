//! Rewords serde's errors about a value that does not fit.

/// The format of a text, as far as it changes the words of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SourceFormat {
    /// The format of the configuration.
    Toml,
    /// The format of request bodies.
    Json,
}

/// Characters of a value that are shown.
const SHOWN: usize = 80;

/// Returns the message for people; one of unknown form is returned unchanged.
pub(crate) fn in_words(message: &str, form: SourceFormat) -> String {
    let message = message.lines().map(str::trim).collect::<Vec<_>>().join(", ");
    let split = |start: &str| message.strip_prefix(start)?.split_once(", expected ");
    let found = split("invalid type: ").or_else(|| split("invalid value: ")).or_else(|| split("invalid length "));
    if let Some((found, wanted)) = found {
        return format!("it is {}, but must be {}", found_in_words(found, form), wanted_in_words(wanted, form));
    }
    if let Some((found, wanted)) = split("unknown variant ") {
        return format!("it is {}, but must be {}", quoted(found), quoted(wanted.trim_start_matches("one of ")));
    }
    if let Some((found, known)) = split("unknown field ") {
        let known = known.trim_start_matches("one of ");
        return format!("unknown key {}; expected {}", quoted(found), quoted(known));
    }
    if let Some(found) =
        message.strip_prefix("unknown field ").and_then(|rest| rest.strip_suffix(", there are no fields"))
    {
        return format!("unknown key {}; expected no keys", quoted(found));
    }
    if let Some(missing) = message.strip_prefix("missing field ") {
        return format!("the key {} is missing", quoted(missing));
    }
    if let Some(twice) = message.strip_prefix("duplicate field ") {
        return format!("the key {} is there twice", quoted(twice));
    }
    message
}

/// A name as people quote it.
fn quoted(name: &str) -> String {
    shortened(name).replace('`', "\"")
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        None => text.to_owned(),
        Some((at, _)) => format!("{}\u{2026}", &text[..at]),
    }
}

fn found_in_words(found: &str, form: SourceFormat) -> String {
    let bare = ["integer ", "floating point ", "boolean "].iter().find_map(|kind| found.strip_prefix(kind));
    let words = match (bare, found.strip_prefix("string "), found) {
        (Some(bare), ..) => bare.trim_matches('`'),
        (None, Some(text), _) => text,
        (None, None, "sequence") => "a list",
        (None, None, "map") => form.table(),
        (None, None, other) => other,
    };
    shortened(words)
}

fn wanted_in_words(wanted: &str, form: SourceFormat) -> &str {
    match wanted {
        "u16" => "a whole number from 0 to 65535, without quotes",
        "u32" => "a whole number from 0 to 4294967295, without quotes",
        "u64" | "usize" => "a whole number from 0 on, without quotes",
        "i64" => "a whole number, without quotes",
        "f32" | "f64" => "a number, without quotes",
        "a boolean" => "true or false, without quotes",
        "a string" | "a borrowed string" | "path string" => "a text in quotes",
        "a sequence" => "a list in brackets, such as [\"one\", \"two\"]",
        "a map" => form.table(),
        other if other.starts_with("struct ") => form.table(),
        other => other,
    }
}

impl SourceFormat {
    fn table(self) -> &'static str {
        match self {
            Self::Toml => "a table",
            Self::Json => "an object",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serde_errors_are_reworded() {
        for (message, words) in [
            (
                "invalid type: string \"256\", expected u64",
                "it is \"256\", but must be a whole number from 0 on, without quotes",
            ),
            (
                "invalid value: integer `-1`, expected u16",
                "it is -1, but must be a whole number from 0 to 65535, without quotes",
            ),
            ("invalid type: integer `5`, expected a boolean", "it is 5, but must be true or false, without quotes"),
            ("invalid type: sequence, expected a string", "it is a list, but must be a text in quotes"),
            ("unknown variant `x`, expected `a` or `b`", "it is \"x\", but must be \"a\" or \"b\""),
            ("5 has no unit; write \"5s\"", "5 has no unit; write \"5s\""),
        ] {
            assert_eq!(in_words(message, SourceFormat::Toml), words);
        }
    }

    #[test]
    fn complaint_names_key_cuts_value() {
        for (message, words) in [
            ("missing field `seq`", "the key \"seq\" is missing"),
            ("duplicate field `seq`", "the key \"seq\" is there twice"),
            ("unknown field `x`, expected `a` or `b`", "unknown key \"x\"; expected \"a\" or \"b\""),
            ("unknown field `x`, expected one of `a`, `b`, `c`", "unknown key \"x\"; expected \"a\", \"b\", \"c\""),
            ("unknown field `x`, expected `a`", "unknown key \"x\"; expected \"a\""),
            ("unknown field `x`, there are no fields", "unknown key \"x\"; expected no keys"),
            ("invalid type: map, expected a string", "it is an object, but must be a text in quotes"),
            ("invalid type: null, expected struct Body", "it is null, but must be an object"),
        ] {
            assert_eq!(in_words(message, SourceFormat::Json), words);
        }
        let long = format!("invalid type: string \"{}\", expected u64", "x".repeat(500));
        assert!(in_words(&long, SourceFormat::Json).chars().count() < 200);
    }
}
