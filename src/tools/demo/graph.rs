//! A context's graph as text: one line per message, oldest first, with one column per open branch.

use std::fmt::Write;

use super::toy::ChatLine;

/// Maximum number of columns; further branches share the last one.
const COLUMNS_MAX: usize = 12;

/// Draws the messages in the given order. A message is in the column of one of its parents; `+` marks columns that it
/// merges.
pub(super) fn draw(lines: &[&ChatLine]) -> String {
    let mut out = String::new();
    let mut open: Vec<&str> = vec![];
    for line in lines {
        let (own, merged) = place(&mut open, line);
        let marks = (0..open.len().min(COLUMNS_MAX)).map(|at| match at {
            at if at == own => 'o',
            at if merged.contains(&at) => '+',
            _ => '|',
        });
        let columns: String = marks.flat_map(|mark| [mark, ' ']).collect();
        let answers = line.answers.as_ref().map(|id| format!("  (reply to {})", short(id))).unwrap_or_default();
        // Writing to a string cannot fail.
        let _ =
            writeln!(out, "{columns:<width$} {:<14} {}{answers}", short(&line.id), line.body, width = 2 * COLUMNS_MAX);
        for at in merged.into_iter().rev() {
            open.remove(at);
        }
    }
    out
}

/// Returns the column of a message, and the other columns that end in it.
fn place<'a>(open: &mut Vec<&'a str>, line: &'a ChatLine) -> (usize, Vec<usize>) {
    let mut named = (0..open.len()).filter(|&at| line.prev.iter().any(|prev| prev == open[at])).collect::<Vec<_>>();
    // The parents of the messenger's own messages are unknown, so all heads are drawn as parents.
    if line.prev.is_empty() {
        named = (0..open.len()).collect();
    }
    match named.first().copied() {
        Some(own) => {
            open[own] = &line.id;
            (own, named.split_off(1))
        }
        None => {
            open.push(&line.id);
            (open.len() - 1, vec![])
        }
    }
}

/// Returns a short form of an id: the origin and the last characters.
fn short(id: &str) -> String {
    let (origin, pdu) = id.split_once('/').unwrap_or(("", id));
    format!("{origin}/{}", &pdu[pdu.len().saturating_sub(4)..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(id: &str, prev: &[&str]) -> ChatLine {
        ChatLine {
            id: id.to_owned(),
            context: "#x".to_owned(),
            body: "hm".to_owned(),
            answers: None,
            prev: prev.iter().map(|id| (*id).to_owned()).collect(),
        }
    }

    #[test]
    fn concurrent_messages_merge_graph_columns() {
        let lines = [
            line("red/1", &[]),
            line("blue/2", &["red/1"]),
            line("green/3", &["red/1"]),
            line("red/4", &["blue/2", "green/3"]),
            line("blue/5", &["red/4"]),
        ];
        let drawn = draw(&lines.iter().collect::<Vec<_>>());
        let columns: Vec<&str> = drawn.lines().map(|line| line[..24].trim_end()).collect();
        assert_eq!(columns, ["o", "o", "| o", "o +", "o"]);
    }
}
