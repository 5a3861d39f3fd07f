//! The text of an HTTP library error, for notices and the log.

use std::error::Error;

/// Starts of messages in which the library only says that there is an error.
pub(crate) const PREAMBLES: [&str; 5] = [
    "error sending request",
    "client error (",
    "tcp connect error",
    "request or response body error",
    "error reading a body",
];

/// Returns the causes of an error, without those that only say that there is one.
pub(crate) fn in_words(error: &dyn Error) -> String {
    let mut words: Vec<String> = vec![];
    let mut cause = Some(error);
    while let Some(error) = cause {
        let text = error.to_string();
        if words.last().is_some_and(|last| PREAMBLES.iter().any(|preamble| last.starts_with(preamble))) {
            words.pop();
        }
        if !words.iter().any(|said| said.contains(&text)) {
            words.push(text);
        }
        cause = error.source();
    }
    shown(words.join(": ").as_bytes())
}

pub(crate) const REASON_CHARACTERS_MAX: usize = 200;

/// Converts foreign bytes to one short line of text that is safe in a log.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(bytes).chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    text.trim().chars().take(REASON_CHARACTERS_MAX).collect()
}
