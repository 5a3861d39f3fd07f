//! Formats ages, sizes and numbers for people.

use std::borrow::Cow;
use std::io::IsTerminal;
use std::time::{Duration, UNIX_EPOCH};

use actors::model::Millis;
use actors::ports::Clock;

use crate::app::SystemClock;
use crate::runtime::readable_text::span;

pub(crate) use crate::runtime::readable_text::{count, counted, items, size};

/// Parses a time of the gateway to milliseconds since 1970; `None` if it is not one.
fn moment(text: &str) -> Option<u64> {
    let since = humantime::parse_rfc3339(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok()
}

/// Returns the time since then; empty for a time that is unset, which is written as the beginning of 1970.
pub(crate) fn ago(text: &str) -> String {
    let Millis(now) = SystemClock.now();
    match moment(text) {
        Some(0) | None => String::new(),
        Some(then) => span(Duration::from_millis(now.saturating_sub(then))),
    }
}

/// Returns the time until then.
pub(crate) fn until(text: &str) -> String {
    let Millis(now) = SystemClock.now();
    match moment(text) {
        None => String::new(),
        Some(then) if then <= now => "now".to_owned(),
        Some(then) => format!("in {}", span(Duration::from_millis(then - now))),
    }
}

/// Formats a number of times: "once", "7 times".
pub(crate) fn format_times(number: u64) -> String {
    match number {
        1 => "once".to_owned(),
        _ => format!("{} times", count(number)),
    }
}

/// The room for a value in a line; output to a file or another program is never cut.
pub(crate) fn room(on_a_terminal: usize) -> usize {
    if std::io::stdout().is_terminal() { on_a_terminal } else { usize::MAX }
}

/// Returns a long text on one line, cut at its end if the output is a terminal.
pub(crate) fn truncate(text: &str, length: usize) -> String {
    cut(text, room(length))
}

/// Returns a long text on one line, cut in its middle if the output is a terminal: an error begins with the part that
/// failed and ends with the reason.
pub(crate) fn truncate_middle(text: &str, length: usize) -> String {
    cut_middle(text, room(length))
}

fn cut(text: &str, length: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(length) {
        None => line,
        Some((at, _)) => format!("{}\u{2026}", line[..at].trim_end()),
    }
}

fn cut_middle(text: &str, length: usize) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let characters: Vec<char> = words.chars().collect();
    if characters.len() <= length {
        return words;
    }
    let (head, tail) = (length / 3, length - length / 3);
    let part = |part: &[char]| part.iter().collect::<String>();
    let (head, tail) = (part(&characters[..head]), part(&characters[characters.len() - tail..]));
    format!("{}\u{2026}{}", head.trim_end(), tail.trim_start())
}

/// Escapes control characters, and characters that change the writing direction, as in JSON, so that the text cannot
/// control a terminal. Line breaks stay.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let steers = |c: char| (c.is_control() && c != '\n') || turns(c);
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\t' => shown.push_str("\\t"),
            '\r' => shown.push_str("\\r"),
            c if steers(c) => shown.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_texts_are_readable() {
        assert_eq!([1, 2_000].map(format_times), ["once", "2,000 times"]);
        assert_eq!(cut("a\n  b  c", 9), "a b c");
        assert_eq!(cut("gr\u{fc}n und blau", 5), "gr\u{fc}n\u{2026}");
        assert_eq!(cut_middle("unreachable:  http://x: Connection refused", 24), "unreacha\u{2026}nnection refused");
        assert_eq!(cut_middle("no\nroute", 24), "no route");
        assert_eq!(ago("1970-01-01T00:00:00.000Z"), "", "never");
        assert_eq!(until("1970-01-01T00:00:00.000Z"), "now");
    }
    #[test]
    fn piped_output_is_not_cut() {
        let long = "x".repeat(1000);
        assert_eq!(cut(&long, usize::MAX), long);
        assert_eq!(cut_middle(&long, usize::MAX), long);
    }

    #[test]
    fn escape_sequences_are_escaped() {
        assert_eq!(printable("a\u{1b}[2Jb\u{9b}1m\u{7}\r\tc\nd"), "a\\u001b[2Jb\\u009b1m\\u0007\\r\\tc\nd");
        assert_eq!(printable("\u{202e}elpmaxe.der"), "\\u202eelpmaxe.der");
        assert!(matches!(printable("gr\u{fc}n, \u{1f600}\n"), Cow::Borrowed(_)));
        // The escapes do not change the value of a JSON text.
        let json = "{\"a\":\"\u{7f}\u{9b}31m\"}";
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
        assert!(!printable(json).contains('\u{9b}') && read(&printable(json)) == read(json));
    }
}
