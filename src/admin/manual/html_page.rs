//! The pages around the bodies: the list of topics beside each of them.

use std::fmt::Write;

use crate::admin::manual::html_body::HtmlBody;
use crate::admin::manual::{ManualTopic, TOPICS};
use crate::runtime::build_facts;

/// Returns a text with the characters replaced that HTML gives a meaning.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn page(title: &str, current: Option<&ManualTopic>, body: &str) -> String {
    let mut topics = String::new();
    // Writing to a string cannot fail.
    for topic in TOPICS {
        let here = if current == Some(topic) { " aria-current=\"page\"" } else { "" };
        let _ = write!(topics, "<li><a href=\"/manual/{0}\"{here}>{0}</a></li>", topic.name);
    }
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title} - Fernpost</title>\n\
         <link rel=\"stylesheet\" href=\"/manual/manual.css\">\n</head>\n<body>\n\
         <a class=\"skip\" href=\"#text\">To the text</a>\n\
         <nav aria-label=\"Topics\"><p><a href=\"/manual\">Manual of Fernpost {version}</a></p>\n<ul>{topics}</ul></nav>\n\
         <main id=\"text\">\n{body}</main>\n</body>\n</html>\n",
        title = escaped(title),
        version = build_facts::VERSION,
    )
}

fn rows() -> String {
    let mut rows = String::new();
    for topic in TOPICS {
        let summary = escaped(topic.summary);
        let _ = writeln!(rows, "<dt><a href=\"/manual/{0}\">{0}</a></dt><dd>{summary}</dd>", topic.name);
    }
    format!("<dl>\n{rows}</dl>\n")
}

/// Returns the page that lists all topics.
pub(super) fn list() -> String {
    page("Manual", None, &format!("<h1>Manual</h1>\n{}", rows()))
}

/// Returns the page for a name that no topic has.
pub(super) fn missing() -> String {
    page("No such page", None, &format!("<h1>There is no page of this name</h1>\n{}", rows()))
}

/// Returns the page of a topic.
pub(super) fn of(topic: &ManualTopic) -> String {
    let HtmlBody { html, sections } = HtmlBody::of(topic.text);
    let mut contents = String::new();
    for (anchor, text) in &sections {
        let _ = write!(contents, "<li><a href=\"#{anchor}\">{}</a></li>", escaped(text));
    }
    let contents = format!("<details open><summary>Contents</summary><ul>{contents}</ul></details>\n");
    let contents = if sections.len() > 1 { contents } else { String::new() };
    page(topic.title(), Some(topic), &format!("{contents}<article>\n{html}</article>\n"))
}
