//! Configuration: the tables of docs/configuration.md are those of the commented defaults, `config/fernpost.toml`.
//!
//! `FERNPOST_WRITE_MANUAL=1 cargo test --test manual` writes them anew.

use std::collections::BTreeSet;
use std::fmt::Write;

use fernpost::settings::Settings;

use crate::pages::{assert_complete, page, root};

/// Page of the tables.
const PAGE: &str = "docs/configuration.md";

/// Heading that the tables follow, up to the end of the page.
const HEADING: &str = "\n## Every key\n";

/// A key of the defaults.
struct KeyRow {
    section: String,
    name: String,
    default: String,
    form: &'static str,
    reload: String,
    meaning: String,
}

/// Returns the name of a key and its value, if a line sets one or has one in a comment.
fn assignment(line: &str) -> Option<(bool, &str, &str)> {
    let (is_set, code) = line.strip_prefix("# ").map_or((true, line), |code| (false, code));
    let (name, value) = code.split_once(" = ")?;
    let is_name = name.chars().all(|c| c.is_ascii_lowercase() || c == '_') && !name.is_empty();
    is_name.then_some((is_set, name, value.trim()))
}

/// Returns the form of a value, which tells its unit.
fn form(value: &str) -> &'static str {
    let text = value.trim_matches('"');
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let has_number = unit.len() < text.len() && value.starts_with('"');
    match value {
        "true" | "false" => "yes or no",
        _ if has_number && ["ms", "s", "m", "h", "d"].contains(&unit) => "time",
        _ if has_number && ["B", "KiB", "MiB", "GiB"].contains(&unit) => "size",
        _ if value.starts_with('[') => "list",
        _ if value.starts_with('{') => "table",
        _ if value.starts_with('"') => "text",
        _ => "number",
    }
}

fn keys() -> Vec<KeyRow> {
    let (mut section, mut words, mut rows) = (String::new(), String::new(), Vec::new());
    for line in Settings::defaults_toml().lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name.to_owned();
        } else if let Some((is_set, name, value)) = assignment(line) {
            let (meaning, reload) = words.rsplit_once("reloadable: ").unwrap_or_else(|| panic!("{name}: {words}"));
            let default = if is_set { format!("`{value}`") } else { "-".to_owned() };
            rows.push(KeyRow {
                section: section.clone(),
                name: name.to_owned(),
                default,
                form: form(value),
                reload: reload.trim().to_owned(),
                meaning: meaning.trim().to_owned(),
            });
        } else if let Some(text) = line.strip_prefix("# ") {
            words = format!("{words} {text}");
            continue;
        }
        words.clear();
    }
    rows
}

/// Returns the row of a key.
fn row(key: &KeyRow) -> String {
    let KeyRow { section, name, default, form, reload, meaning } = key;
    format!(
        "| `{section}.{name}` | {} | {form} | {reload} | {} |",
        default.replace('|', "\\|"),
        meaning.replace('|', "\\|")
    )
}

fn tables() -> String {
    let mut text = String::new();
    let mut section = "";
    let keys = keys();
    for key in &keys {
        if key.section != section {
            section = &key.section;
            // Writing to a string cannot fail.
            let _ =
                write!(text, "\n### {section}\n\n| key | default | form | reload | meaning |\n|---|---|---|---|---|\n");
        }
        let _ = writeln!(text, "{}", row(key));
    }
    text
}

#[test]
fn every_key_stands_in_manual() {
    let text = page(PAGE).text;
    let (before, written) = text.split_once(HEADING).expect("the heading of the tables");
    let expected = tables();
    if std::env::var_os("FERNPOST_WRITE_MANUAL").is_some() {
        std::fs::write(root().join(PAGE), format!("{before}{HEADING}{expected}")).expect("a writable file");
        return;
    }
    let is_row = |line: &&str| line.starts_with("| `");
    let has: BTreeSet<&str> = written.lines().filter(is_row).collect();
    let wanted: BTreeSet<&str> = expected.lines().filter(is_row).collect();
    let missing = wanted.difference(&has).map(|row| format!("{PAGE}: this row is missing: {row}"));
    let invented =
        has.difference(&wanted).map(|row| format!("{PAGE}: this row is not that of config/fernpost.toml: {row}"));
    let hint = "FERNPOST_WRITE_MANUAL=1 cargo test --test manual writes them".to_owned();
    let mut complaints: Vec<String> = missing.chain(invented).collect();
    if complaints.is_empty() && written != expected {
        complaints.push(format!("{PAGE}: the order of the tables is not that of config/fernpost.toml"));
    }
    complaints.extend((!complaints.is_empty()).then_some(hint));
    assert_complete(&complaints);
}

/// The defaults list exactly the known keys, as a test of the settings shows; here each of them is found as a row.
#[test]
fn key_rows_are_complete() {
    let rows = keys();
    let defaults: toml::Table = toml::from_str(Settings::defaults_toml()).expect("TOML");
    let mut set = BTreeSet::new();
    let mut open: Vec<(String, &toml::Table)> = vec![(String::new(), &defaults)];
    while let Some((path, table)) = open.pop() {
        for (name, value) in table {
            let path = format!("{path}.{name}");
            match value {
                toml::Value::Table(inner) => open.push((path, inner)),
                _ => drop(set.insert(path.trim_start_matches('.').to_owned())),
            }
        }
    }
    let found: BTreeSet<String> = rows.iter().map(|key| format!("{}.{}", key.section, key.name)).collect();
    let lost: Vec<&String> = set.difference(&found).collect();
    assert!(lost.is_empty() && found.len() > set.len() && found.len() == rows.len(), "{lost:?}");
    for KeyRow { section, name, form, reload, meaning, .. } in &rows {
        assert!(matches!(&**reload, "yes" | "no"), "{section}.{name}: reloadable: {reload}");
        assert!(meaning.ends_with(['.', ':', ';']) && !form.is_empty(), "{section}.{name}: {meaning}");
    }
}
