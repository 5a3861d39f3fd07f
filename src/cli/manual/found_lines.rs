//! `fernpost manual --search`: the lines of the manual that contain a text, such as a code or a key, each with its place.

use std::fmt::Write;

use serde::Serialize;

use crate::admin::manual::ManualTopic;

/// A line that was found.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct FoundLine {
    topic: &'static str,
    /// Heading above it.
    section: &'static str,
    line: &'static str,
}

/// All lines that were found, as JSON.
#[derive(Debug, Serialize)]
pub(super) struct FoundLines {
    pub(super) lines: Vec<FoundLine>,
}

impl FoundLines {
    /// Returns the lines of these topics that contain a text; upper and lower case are the same.
    pub(super) fn of(topics: impl IntoIterator<Item = &'static ManualTopic>, text: &str) -> Self {
        let wanted = text.to_lowercase();
        let mut lines = Vec::new();
        for topic in topics {
            let mut section = topic.title();
            let mut is_example = false;
            for line in topic.text.lines() {
                is_example ^= line.starts_with("```");
                let heading = line.trim_start_matches('#').strip_prefix(' ').filter(|_| line.starts_with('#'));
                section = heading.filter(|_| !is_example).unwrap_or(section);
                if line.to_lowercase().contains(&wanted) {
                    lines.push(FoundLine { topic: topic.name, section, line });
                }
            }
        }
        Self { lines }
    }

    /// Returns the lines, below the place of each group of them.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let mut place = None;
        for FoundLine { topic, section, line } in &self.lines {
            // Writing to a string cannot fail.
            if place != Some((topic, section)) {
                let _ = writeln!(text, "{topic}: {section}");
                place = Some((topic, section));
            }
            let _ = writeln!(text, "  {line}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn search_names_place_of_lines() {
        static TOPIC: ManualTopic = ManualTopic {
            name: "page",
            summary: "A page.",
            text: "# Page\nbusy\n```sh\n# no heading: Busy\n```\n## Codes\n| `BUSY` | 503 |\nother\n",
        };
        let found = FoundLines::of([&TOPIC], "Busy");
        assert_eq!(found.text(), "page: Page\n  busy\n  # no heading: Busy\npage: Codes\n  | `BUSY` | 503 |\n");
        assert!(FoundLines::of([&TOPIC], "nothing").lines.is_empty());
    }
}
