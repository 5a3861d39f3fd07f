//! Metrics: each name in the source stands in the table of docs/operating.md and the reverse, and rules and dashboards use no others.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::sources::{assert_none, modules, root};

/// Beginning of every name.
const PREFIX: &str = "fernpost_";

/// Endings of the series of a histogram.
const HISTOGRAM_SERIES: [&str; 3] = ["_bucket", "_sum", "_count"];

/// Returns the words with the prefix of metrics.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with(PREFIX)).map(str::to_owned).collect()
}

/// Returns the names that the gateway exports: the literals of the files that write metrics.
fn exported() -> BTreeSet<String> {
    let writes = |path: &str| path.starts_with("admin/metrics") || path == "rpc/rpc_metrics";
    let files = modules(&root().join("src")).into_iter().filter(|module| writes(&module.path));
    let literals = files.flat_map(|module| {
        let between_quotes: Vec<String> = module.code.split('"').skip(1).step_by(2).map(str::to_owned).collect();
        between_quotes
    });
    literals.filter(|text| names(text).contains(text)).collect()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).expect("UTF-8")
}

/// Returns the names in the first column of the tables of the document.
fn documented() -> BTreeSet<String> {
    let text = read("docs/operating.md");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `fernpost_"));
    rows.flat_map(|row| names(&format!("{PREFIX}{}", row.split(" |").next().unwrap_or_default()))).collect()
}

/// Returns the names of `used` that are not exported, as series of histograms or by themselves.
fn unknown(used: &BTreeSet<String>, place: &str) -> Vec<String> {
    let exported = exported();
    let is_known = |name: &String| {
        let histogram = HISTOGRAM_SERIES.iter().find_map(|ending| name.strip_suffix(ending));
        exported.contains(name) || histogram.is_some_and(|name| exported.contains(name))
    };
    used.iter()
        .filter(|name| !is_known(name))
        .map(|name| format!("{place} uses {name}, which is not exported"))
        .collect()
}

#[test]
fn exported_metrics_are_documented() {
    let (exported, documented) = (exported(), documented());
    assert!(exported.len() > 40, "{exported:?}");
    let missing =
        exported.difference(&documented).map(|name| format!("{name} stands in no table of docs/operating.md"));
    let invented = documented.difference(&exported).map(|name| format!("docs/operating.md: {name} is not exported"));
    assert_none(&missing.chain(invented).collect::<Vec<_>>());
}

#[test]
fn alert_rules_use_exported_metrics() {
    let rules = read("config/prometheus/alerts.yml");
    let expressions: String = rules.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    let used = names(&expressions);
    assert!(used.len() >= 10, "{used:?}");
    assert_none(&unknown(&used, "config/prometheus/alerts.yml"));
    assert_eq!(rules.matches("- alert: ").count(), 12);
}

#[test]
fn dashboard_uses_exported_metrics() {
    let dashboard: Value = serde_json::from_str(&read("config/grafana/fernpost.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("a list");
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let queries: Vec<&str> = targets.map(|target| target["expr"].as_str().expect("a query")).collect();
    assert!(queries.len() > 30 && queries.iter().all(|query| !names(query).is_empty()), "{queries:#?}");
    let variables = dashboard["templating"]["list"].to_string();
    let used = queries.iter().copied().chain([variables.as_str()]).flat_map(names).collect();
    assert_none(&unknown(&used, "config/grafana/fernpost.json"));
}
