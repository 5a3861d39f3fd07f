//! Documents: each file, folder and page that they or comments of the code name exists, and the README stays short.

use std::fs;
use std::path::PathBuf;

use crate::sources::{assert_none, files_below, root, shown, sources};

/// Maximum number of lines of the README; details are in `docs`.
const README_LINES_MAX: usize = 150;

/// Folders whose files documents name in backticks.
const FOLDERS: &[&str] = &["src/", "actors/", "tests/", "config/", "scripts/", "benches/", "docs/"];

fn documents() -> Vec<(PathBuf, String)> {
    let pages = ["README.md", "CONTRIBUTING.md", "actors/README.md"].map(|page| root().join(page));
    let docs =
        files_below(&root().join("docs")).into_iter().filter(|path| path.extension().is_some_and(|ext| ext == "md"));
    pages.into_iter().chain(docs).map(|path| (path.clone(), fs::read_to_string(&path).expect("UTF-8"))).collect()
}

/// Returns the paths in backticks that begin with one of [`FOLDERS`]. A text with a `*` or a space is no path.
fn named_paths(text: &str) -> impl Iterator<Item = &str> {
    let quoted = text.split('`').skip(1).step_by(2).filter_map(|quoted| quoted.split('#').next());
    quoted.filter(|path| FOLDERS.iter().any(|folder| path.starts_with(folder)) && !path.contains(['*', ' ', '\n']))
}

/// Returns the targets of links to pages, without their anchors.
fn linked_pages(text: &str) -> impl Iterator<Item = &str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.filter_map(|target| target.split('#').next()).filter(|page| page.ends_with(".md") && !page.contains("://"))
}

#[test]
fn documents_name_existing_files() {
    let mut complaints = Vec::new();
    for (document, text) in documents() {
        let folder = document.parent().expect("a file has a folder");
        for path in named_paths(&text).filter(|path| !root().join(path).exists()) {
            complaints.push(format!("{} names {path}, which does not exist", shown(&document)));
        }
        for page in linked_pages(&text).filter(|page| !folder.join(page).exists()) {
            complaints.push(format!("{} links to {page}, which does not exist", shown(&document)));
        }
    }
    assert_none(&complaints);
}

/// Each row of the attack table ends with the tests that show it.
#[test]
fn attack_table_names_existing_tests() {
    let table = fs::read_to_string(root().join("docs/attacks.md")).expect("UTF-8");
    let code: String = sources().into_iter().map(|(_, text)| text).collect();
    let mut complaints = Vec::new();
    let rows = table.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| attempt"));
    for row in rows {
        let tests = row.trim_end_matches('|').rsplit('|').next().expect("a last cell");
        let named: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "{row}: no test");
        let missing = named.iter().filter(|test| !code.contains(&format!("fn {test}(")));
        complaints.extend(missing.map(|test| format!("docs/attacks.md names the test {test}, which does not exist")));
    }
    assert_none(&complaints);
}

#[test]
fn comments_name_existing_files() {
    let mut complaints = Vec::new();
    for (file, text) in sources() {
        for line in text.lines().filter(|line| line.trim_start().starts_with("//")) {
            for path in named_paths(line).filter(|path| !root().join(path).exists()) {
                complaints.push(format!("{} names {path}, which does not exist", shown(&file)));
            }
        }
    }
    assert_none(&complaints);
}

#[test]
fn walks_of_a_pdu_stay_short() {
    let page = fs::read_to_string(root().join("docs/life-of-a-pdu.md")).expect("the page");
    let walks: Vec<usize> = page.split("\n## ").skip(1).map(|walk| named_paths(walk).count()).collect();
    assert!(walks.len() == 4 && walks.iter().all(|files| (5..=35).contains(files)), "files of each walk: {walks:?}");
}

#[test]
fn readme_respects_line_limit() {
    let lines = fs::read_to_string(root().join("README.md")).expect("a README").lines().count();
    assert!(lines <= README_LINES_MAX, "README.md has {lines} lines, {README_LINES_MAX} is the limit");
}
