//! Texts for configuration files that commands write.

/// Returns a text as a TOML string.
pub(crate) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// Returns texts as a TOML list.
pub(crate) fn quoted_list(texts: &[String]) -> String {
    format!("[{}]", texts.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_text_reads_as_written() {
        for text in ["red.example", "", "C:\\x \"y\"", "a'b\"c", "two\nlines", "\u{7f}\t"] {
            let read: toml::Table = toml::from_str(&format!("a = {}\n", quoted(text))).expect("TOML");
            assert_eq!(read["a"].as_str(), Some(text));
        }
        let list = quoted_list(&["a".to_owned(), "b\"".to_owned()]);
        let read: toml::Table = toml::from_str(&format!("a = {list}\n")).expect("TOML");
        assert_eq!(read["a"].as_array().map(Vec::len), Some(2));
    }
}
