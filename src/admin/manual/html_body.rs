//! Markdown as HTML: headings with anchors, links between topics, and no HTML of the source.

use std::collections::BTreeMap;

use pulldown_cmark::{CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd, html};

use crate::admin::manual::ManualTopic;

/// A page's body and the headings of its sections.
pub(super) struct HtmlBody {
    pub(super) html: String,
    /// Anchor and text of each heading of the second level, or of each of the first level if there are several.
    pub(super) sections: Vec<(String, String)>,
}

/// Turns headings of one page into anchors, as GitHub does: the second heading of the same text gets a number.
#[derive(Default)]
struct AnchorNames(BTreeMap<String, usize>);

impl AnchorNames {
    fn next(&mut self, text: &str) -> String {
        let kept = text.to_lowercase();
        let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        let count = self.0.entry(anchor.clone()).or_default();
        *count += 1;
        if *count == 1 { anchor } else { format!("{anchor}-{}", *count - 1) }
    }
}

/// Returns the address of a link's target on the pages of the manual; `None`: the target is no page, such as a file of the source.
fn address(target: &str) -> Option<String> {
    if target.starts_with('#') || target.starts_with("https://") {
        return Some(target.to_owned());
    }
    let (page, anchor) = target.split_once('#').map_or((target, None), |(page, anchor)| (page, Some(anchor)));
    let topic = ManualTopic::named(page.strip_suffix(".md")?)?;
    Some(anchor.map_or_else(|| format!("/manual/{}", topic.name), |anchor| format!("/manual/{}#{anchor}", topic.name)))
}

/// Returns the plain text of a heading that begins before these events.
fn heading_text(events: &[Event<'_>]) -> String {
    let inner = events.iter().take_while(|event| !matches!(event, Event::End(TagEnd::Heading(_))));
    let texts = inner.filter_map(|event| match event {
        Event::Text(text) | Event::Code(text) => Some(text.as_ref()),
        _ => None,
    });
    texts.collect()
}

impl HtmlBody {
    /// Renders a text.
    pub(super) fn of(markdown: &str) -> Self {
        let events: Vec<Event<'_>> = Parser::new_ext(markdown, Options::ENABLE_TABLES).collect();
        let (mut anchors, mut sections, mut titles) = (AnchorNames::default(), Vec::new(), Vec::new());
        let mut rendered = Vec::with_capacity(events.len());
        // Links that lead to no page are left out; their texts stay.
        let mut is_link_kept = Vec::new();
        for (at, event) in events.iter().enumerate() {
            match event {
                // HTML of the source is a text like any other.
                Event::Html(source) | Event::InlineHtml(source) => rendered.push(Event::Text(source.clone())),
                Event::Start(Tag::Heading { level, classes, attrs, .. }) => {
                    let text = heading_text(&events[at..]);
                    let anchor = anchors.next(&text);
                    match level {
                        HeadingLevel::H1 => titles.push((anchor.clone(), text)),
                        HeadingLevel::H2 => sections.push((anchor.clone(), text)),
                        _ => {}
                    }
                    let (id, classes, attrs) = (Some(CowStr::from(anchor)), classes.clone(), attrs.clone());
                    rendered.push(Event::Start(Tag::Heading { level: *level, id, classes, attrs }));
                }
                Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
                    let found = address(dest_url);
                    is_link_kept.push(found.is_some());
                    if let Some(found) = found {
                        let (title, id) = (title.clone(), id.clone());
                        rendered.push(Event::Start(Tag::Link {
                            link_type: *link_type,
                            dest_url: found.into(),
                            title,
                            id,
                        }));
                    }
                }
                Event::End(TagEnd::Link) => {
                    if is_link_kept.pop() == Some(true) {
                        rendered.push(event.clone());
                    }
                }
                // Images are not served; their texts stay.
                Event::Start(Tag::Image { .. }) | Event::End(TagEnd::Image) => {}
                // Wide tables scroll by themselves on a narrow screen.
                Event::Start(Tag::Table(_)) => {
                    rendered.push(Event::Html("<div class=\"wide\">".into()));
                    rendered.push(event.clone());
                }
                Event::End(TagEnd::Table) => {
                    rendered.push(event.clone());
                    rendered.push(Event::Html("</div>\n".into()));
                }
                _ => rendered.push(event.clone()),
            }
        }
        let mut text = String::with_capacity(markdown.len() * 2);
        html::push_html(&mut text, rendered.into_iter());
        if titles.len() > 1 {
            sections = titles;
        }
        Self { html: text, sections }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::manual::TOPICS;

    #[test]
    fn source_html_stays_text() {
        let body = HtmlBody::of("# A\n\n<script>alert(1)</script>\n\ntext <b onclick=\"x()\">b</b> `<i>`\n");
        assert!(
            !body.html.contains("<script") && !body.html.contains("<b") && !body.html.contains("<i>"),
            "{}",
            body.html
        );
        assert!(body.html.contains("&lt;script&gt;"), "{}", body.html);
    }

    #[test]
    fn links_lead_to_topics() {
        assert_eq!(address("operating.md#log").as_deref(), Some("/manual/operating#log"));
        assert_eq!(address("messenger.md").as_deref(), Some("/manual/messenger"));
        assert_eq!(address("#log").as_deref(), Some("#log"));
        for target in ["../README.md", "javascript:alert(1)", "http://x/", "data:text/html,x", "nothing.md"] {
            assert_eq!(address(target), None, "{target}");
        }
        let body = HtmlBody::of("[a](start.md) [b](javascript:x) ![c](demo.png)");
        assert_eq!(body.html, "<p><a href=\"/manual/start\">a</a> b c</p>\n");
    }

    #[test]
    fn equal_headings_get_numbers() {
        let body = HtmlBody::of("# Page\n\n## The `init` verb\n\n## Log\n\n## Log\n");
        let anchors: Vec<&str> = body.sections.iter().map(|(anchor, _)| anchor.as_str()).collect();
        assert_eq!(anchors, ["the-init-verb", "log", "log-1"]);
        assert!(body.html.contains("<h2 id=\"log-1\">"), "{}", body.html);
    }

    #[test]
    fn topic_links_lead_to_anchors() {
        let bodies: BTreeMap<&str, HtmlBody> = TOPICS.iter().map(|t| (t.name, HtmlBody::of(t.text))).collect();
        for (name, body) in &bodies {
            for target in body.html.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
                let Some((page, anchor)) = target.split_once('#') else { continue };
                let page = page.strip_prefix("/manual/").unwrap_or(name);
                let has_anchor = bodies.get(page).is_some_and(|body| body.html.contains(&format!("id=\"{anchor}\"")));
                assert!(has_anchor || target.starts_with("https://"), "{name} links to {target}, which is not there");
            }
        }
    }
}
