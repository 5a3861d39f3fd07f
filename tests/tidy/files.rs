//! Files and folders: length, number, the first line, and no path outside of the repository.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::sources::{assert_none, files_below, root, shown, sources};

/// Maximum number of lines of a file.
const LINES_MAX: usize = 500;

/// Maximum number of Rust files directly in a folder.
const FILES_MAX: usize = 15;

#[test]
fn source_files_respect_line_limit() {
    let long = |(path, text): &(PathBuf, String)| {
        let lines = text.lines().count();
        (lines > LINES_MAX).then(|| format!("{} has {lines} lines, {LINES_MAX} is the limit", shown(path)))
    };
    assert_none(&sources().iter().filter_map(long).collect::<Vec<_>>());
}

#[test]
fn every_module_starts_with_its_duty() {
    let silent = |(path, text): &(PathBuf, String)| {
        (!text.starts_with("//! ")).then(|| format!("{} does not start with //! and its duty", shown(path)))
    };
    assert_none(&sources().iter().filter_map(silent).collect::<Vec<_>>());
}

#[test]
fn repository_names_no_outside_path() {
    // The texts are split, otherwise the check would find this file first.
    let elsewhere = [concat!("sha", "red/"), concat!("/wo", "rk/")];
    let mut complaints = Vec::new();
    for path in files_below(root()) {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        for (i, line) in text.lines().enumerate().filter(|(_, line)| elsewhere.iter().any(|word| line.contains(word))) {
            complaints.push(format!("{}:{} names a place outside: {line}", shown(&path), i + 1));
        }
    }
    assert_none(&complaints);
}

#[test]
fn folders_respect_file_limit() {
    let mut counts: BTreeMap<PathBuf, usize> = BTreeMap::new();
    let folders = ["src", "actors/src", "tests"].map(|folder| root().join(folder));
    let files = folders.iter().flat_map(|folder| files_below(folder));
    for file in files.filter(|file| file.extension().is_some_and(|ext| ext == "rs")) {
        *counts.entry(file.parent().unwrap_or(Path::new("")).to_owned()).or_default() += 1;
    }
    let full = counts.iter().filter(|(_, count)| **count > FILES_MAX);
    let words = full.map(|(folder, count)| format!("{} holds {count} files, {FILES_MAX} is the limit", shown(folder)));
    assert_none(&words.collect::<Vec<_>>());
}
