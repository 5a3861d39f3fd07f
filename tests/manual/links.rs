//! Links: each one leads to a file of the repository, and its anchor to a heading there.

use std::collections::BTreeMap;
use std::path::Path;

use fernpost::admin::manual::TOPICS;

use crate::pages::{ManualPage, assert_complete, page, pages, root};

/// Returns the anchors of a page, as GitHub makes them from its headings.
fn anchors(page: &ManualPage) -> Vec<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let prose = page.prose();
    let headings = prose
        .lines()
        .filter_map(|line| line.trim_start_matches('#').strip_prefix(' ').filter(|_| line.starts_with('#')));
    let mut anchors = Vec::new();
    for heading in headings {
        let kept = heading.to_lowercase();
        let kept = kept.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        let count = counts.entry(anchor.clone()).or_default();
        anchors.push(if *count == 0 { anchor } else { format!("{anchor}-{count}") });
        *count += 1;
    }
    anchors
}

#[test]
fn every_link_leads_somewhere() {
    let pages = pages();
    let mut complaints = Vec::new();
    for ManualPage { path, text } in &pages {
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.starts_with("https://") || target.starts_with("http://") || target.contains(' ') {
                continue;
            }
            let (file, anchor) = target.split_once('#').map_or((target, None), |(file, anchor)| (file, Some(anchor)));
            let folder = Path::new(path).parent().expect("a path of a file");
            let parts = folder.join(file);
            let mut whole = Vec::new();
            for part in parts.iter().map(|part| part.to_string_lossy().into_owned()) {
                if part == ".." { drop(whole.pop()) } else { whole.push(part) }
            }
            let whole = if file.is_empty() { path.clone() } else { whole.join("/") };
            if !root().join(&whole).exists() {
                complaints.push(format!("{path}: the link to {target} leads to no file"));
            } else if let Some(anchor) = anchor.filter(|_| whole.ends_with(".md"))
                && !anchors(&page(&whole)).iter().any(|known| known == anchor)
            {
                complaints.push(format!("{path}: the link to {target} leads to no heading"));
            }
        }
    }
    assert_complete(&complaints);
}

#[test]
fn every_page_is_a_topic() {
    let missing = pages().into_iter().filter_map(|page| {
        let name = page.path.strip_prefix("docs/")?.strip_suffix(".md")?.to_owned();
        let is_topic = TOPICS.iter().any(|topic| topic.name == name);
        (!is_topic).then(|| format!("src/admin/manual/manual_topics.rs has no topic {name}, which is docs/{name}.md"))
    });
    assert_complete(&missing.collect::<Vec<_>>());
    for topic in TOPICS {
        assert!(topic.summary.ends_with('.') && topic.title() != topic.name, "{}", topic.name);
    }
}
