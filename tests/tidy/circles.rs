//! Import circles: no file imports another one that, over any number of files, imports it.
//!
//! A re-export (`pub use`) counts as the file that defines the name: the importer depends on that file, and the file that
//! re-exports depends on nothing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::sources::{Module, assert_none, modules, root};

/// The import graph of a crate: for each file the files that it imports.
type ImportGraph = BTreeMap<String, BTreeSet<String>>;

/// Maximum number of re-exports that lead to a definition.
const REEXPORTS_MAX: usize = 5;

fn graph(files: &[Module]) -> ImportGraph {
    let files: Vec<&Module> = files.iter().filter(|file| !["lib", "main"].contains(&file.path.as_str())).collect();
    let known: BTreeSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
    let imports = |file: &Module| file.imports(|path| known.contains(path));
    let mut reexports: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for file in &files {
        for import in imports(file).into_iter().filter(|import| import.is_public) {
            let name = import.path.last().cloned().unwrap_or_default();
            reexports.insert((file.path.clone(), name), import.path);
        }
    }
    let defining_file = |mut path: Vec<String>| {
        for _ in 0..REEXPORTS_MAX {
            let length = (1..=path.len()).rev().find(|&length| known.contains(path[..length].join("/").as_str()))?;
            let file = path[..length].join("/");
            let next = path.get(length).and_then(|name| reexports.get(&(file.clone(), name.clone())));
            match next {
                Some(target) => path = [target, &path[length + 1..]].concat(),
                None => return Some(file),
            }
        }
        None
    };
    let edges = |file: &&Module| {
        let private = imports(file).into_iter().filter(|import| !import.is_public);
        let targets = private.filter_map(|import| defining_file(import.path)).filter(|target| *target != file.path);
        (file.path.clone(), targets.collect())
    };
    files.iter().map(edges).collect()
}

/// Returns the shortest path from a file back to itself.
fn circle_of(start: &str, graph: &ImportGraph) -> Option<Vec<String>> {
    let mut ways = VecDeque::from([vec![start.to_owned()]]);
    let mut seen = BTreeSet::new();
    while let Some(way) = ways.pop_front() {
        for next in way.last().and_then(|last| graph.get(last)).into_iter().flatten() {
            if next == start {
                return Some([way, vec![start.to_owned()]].concat());
            }
            if seen.insert(next.clone()) {
                ways.push_back([&way[..], std::slice::from_ref(next)].concat());
            }
        }
    }
    None
}

fn circles(files: &[Module]) -> Vec<String> {
    let graph = graph(files);
    graph.keys().filter_map(|file| circle_of(file, &graph)).map(|way| way.join(" -> ")).collect()
}

#[test]
fn files_import_in_no_circle() {
    for folder in ["src", "actors/src", "tests/support/src"] {
        assert_none(&circles(&modules(&root().join(folder))));
    }
}

#[test]
fn circle_scan_follows_reexports() {
    let file = |path: &str, code: &str| Module { path: path.into(), code: code.into() };
    let through = |code: &str| {
        let home = file("a", "pub use self::b::B;\npub use self::c::C;");
        circles(&[home, file("a/b", "use crate::a::C;"), file("a/c", code)])
    };
    assert_eq!(through("use std::fmt;"), [""; 0]);
    assert_eq!(through("use super::B;"), ["a/b -> a/c -> a/b", "a/c -> a/b -> a/c"]);
}
