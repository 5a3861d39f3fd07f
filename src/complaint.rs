//! What serde says of a value that does not fit, in the words of the manual.

/// The complaint as a person would make it; what is none of serde's own stays as it is.
pub(super) fn in_words(message: &str) -> String {
    let message = message.lines().map(str::trim).collect::<Vec<_>>().join(", ");
    let split = |start: &str| message.strip_prefix(start)?.split_once(", expected ");
    if let Some((found, wanted)) = split("invalid type: ").or_else(|| split("invalid value: ")) {
        return format!("it is {}, and has to be {}", found_in_words(found), wanted_in_words(wanted));
    }
    if let Some((found, wanted)) = split("unknown variant ") {
        return format!("it is {}, and has to be {}", found.replace('`', "\""), wanted.replace('`', "\""));
    }
    message
}

fn found_in_words(found: &str) -> &str {
    let bare = ["integer ", "floating point ", "boolean "].iter().find_map(|kind| found.strip_prefix(kind));
    match (bare, found.strip_prefix("string "), found) {
        (Some(bare), ..) => bare.trim_matches('`'),
        (None, Some(text), _) => text,
        (None, None, "sequence") => "a list",
        (None, None, "map") => "a table",
        (None, None, other) => other,
    }
}

fn wanted_in_words(wanted: &str) -> &str {
    match wanted {
        "u16" => "a whole number from 0 to 65535, without quotes",
        "u32" => "a whole number from 0 to 4294967295, without quotes",
        "u64" | "usize" => "a whole number from 0 on, without quotes",
        "f32" | "f64" => "a number, without quotes",
        "a boolean" => "true or false, without quotes",
        "a string" | "path string" => "a text in quotes",
        "a sequence" => "a list in brackets, such as [\"one\", \"two\"]",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_variants_are_said_as_they_are_written() {
        for (message, words) in [
            (
                "invalid type: string \"256\", expected u64",
                "it is \"256\", and has to be a whole number from 0 on, without quotes",
            ),
            (
                "invalid value: integer `-1`, expected u16",
                "it is -1, and has to be a whole number from 0 to 65535, without quotes",
            ),
            ("invalid type: integer `5`, expected a boolean", "it is 5, and has to be true or false, without quotes"),
            ("invalid type: sequence, expected a string", "it is a list, and has to be a text in quotes"),
            ("unknown variant `x`, expected `a` or `b`", "it is \"x\", and has to be \"a\" or \"b\""),
            ("5 has no unit; write \"5s\"", "5 has no unit; write \"5s\""),
        ] {
            assert_eq!(in_words(message), words);
        }
    }
}
