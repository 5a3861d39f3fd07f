//! `fernpost manual`: prints a topic of the manual, which is part of the binary.

mod found_lines;

use std::fmt::Write;
use std::io::{self, IsTerminal};

use clap::Args;
use serde::Serialize;

use crate::admin::manual::{ManualTopic, TOPICS};
use crate::cli::failure::CommandFailure;
use crate::cli::manual::found_lines::FoundLines;
use crate::cli::print_json;
use crate::terminal::exit_code::{FINE, WRONG};
use crate::terminal::output::print_script;

/// Escape sequences of a terminal around a bold text.
const BOLD: (&str, &str) = ("\x1b[1m", "\x1b[0m");

/// Similarity from which a name counts as misspelt.
const SLIP: f64 = 0.8;

/// Arguments of `manual`.
#[derive(Debug, Args)]
pub(super) struct ManualOptions {
    /// Topic, such as start or trouble; without it, all topics are listed.
    topic: Option<String>,
    /// Print the lines that contain this text, such as a code or a key, of the topic or of all topics; 1 if there are none.
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// Print the topics, or the text of the topic, as JSON.
    #[arg(long)]
    json: bool,
}

/// A topic as JSON.
#[derive(Debug, Serialize)]
struct TopicRow {
    name: &'static str,
    summary: &'static str,
    /// Markdown of the page, if it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'static str>,
}

impl From<&'static ManualTopic> for TopicRow {
    fn from(topic: &'static ManualTopic) -> Self {
        Self { name: topic.name, summary: topic.summary, text: None }
    }
}

/// All topics as JSON.
#[derive(Debug, Serialize)]
struct TopicList {
    topics: Vec<TopicRow>,
}

/// Prints a topic, or the list of topics, and returns the exit code.
pub(super) fn run(options: &ManualOptions) -> u8 {
    let found = options.topic.as_deref().map(|name| ManualTopic::named(name).ok_or_else(|| unknown(name))).transpose();
    match (found, &options.search) {
        (Err(failure), _) => failure.tell(options.json),
        (Ok(topic), Some(text)) => search(topic, text, options.json),
        (Ok(Some(topic)), None) if options.json => json(&TopicRow { text: Some(topic.text), ..topic.into() }, FINE),
        (Ok(None), None) if options.json => {
            json(&TopicList { topics: TOPICS.iter().map(TopicRow::from).collect() }, FINE)
        }
        (Ok(Some(topic)), None) => print_script(shown(topic.text, is_bold_shown()).as_bytes(), FINE),
        (Ok(None), None) => print_script(list().as_bytes(), FINE),
    }
}

/// Prints the lines with a text, and returns the exit code: 1 if there are none.
fn search(topic: Option<&'static ManualTopic>, text: &str, is_json: bool) -> u8 {
    let found = topic.map_or_else(|| FoundLines::of(TOPICS, text), |topic| FoundLines::of([topic], text));
    let code = if found.lines.is_empty() { WRONG } else { FINE };
    match is_json {
        true => json(&found, code),
        false => print_script(found.text().as_bytes(), code),
    }
}

fn json(answer: &impl Serialize, code: u8) -> u8 {
    print_json(&serde_json::to_string(answer).expect("texts always serialize"), code)
}

fn unknown(name: &str) -> CommandFailure {
    let nearest = TOPICS.iter().map(|topic| (strsim::jaro_winkler(name, topic.name), topic.name));
    let nearest = nearest.max_by(|(a, _), (b, _)| a.total_cmp(b)).filter(|(similarity, _)| *similarity >= SLIP);
    let hint = nearest.map(|(_, name)| format!("did you mean {name}? ")).unwrap_or_default();
    CommandFailure::Misused(format!("the manual has no topic {name}; {hint}`fernpost manual` lists all topics"))
}

/// Returns whether the output is a terminal that shows bold text.
fn is_bold_shown() -> bool {
    io::stdout().is_terminal() && std::env::var_os("TERM").is_some_and(|term| term != "dumb")
}

/// Returns the list of topics, with the width of the longest name.
fn list() -> String {
    let width = TOPICS.iter().map(|topic| topic.name.len()).max().unwrap_or_default();
    let mut text = String::new();
    // Writing to a string cannot fail.
    for ManualTopic { name, summary, .. } in TOPICS {
        let _ = writeln!(text, "{name:width$}  {summary}");
    }
    text.push_str("\n`fernpost manual TOPIC` prints one, `fernpost manual --search TEXT` the lines with a text. A running gateway serves them at \
         /manual of admin.listen.\n");
    text
}

/// Returns a text with its headings in bold, if that is wanted. A line of an example that begins with `#` is no heading.
fn shown(markdown: &str, is_bold: bool) -> String {
    if !is_bold {
        return markdown.to_owned();
    }
    let mut text = String::with_capacity(markdown.len());
    let mut is_example = false;
    for line in markdown.lines() {
        is_example ^= line.starts_with("```");
        let is_heading = !is_example && line.starts_with('#') && line.trim_start_matches('#').starts_with(' ');
        let (before, after) = if is_heading { BOLD } else { ("", "") };
        let _ = writeln!(text, "{before}{line}{after}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_are_bold_outside_examples() {
        let source = "# A\ntext\n```sh\n# {\"id\"}\n```\n## B\n#hash\n";
        assert_eq!(shown(source, false), source);
        assert_eq!(shown(source, true), "\x1b[1m# A\x1b[0m\ntext\n```sh\n# {\"id\"}\n```\n\x1b[1m## B\x1b[0m\n#hash\n");
    }

    #[test]
    fn unknown_topic_names_nearest() {
        assert_eq!(
            unknown("troubles").to_string(),
            "the manual has no topic troubles; did you mean trouble? `fernpost manual` lists all topics"
        );
        assert_eq!(unknown("x").to_string(), "the manual has no topic x; `fernpost manual` lists all topics");
    }
}
