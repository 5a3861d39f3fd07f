//! The imports of a module, as paths from the root of its crate.

use crate::sources::Module;

/// One imported path.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Import {
    /// Segments from the crate's root.
    pub(crate) path: Vec<String>,
    /// True if the import is a re-export (`pub use`).
    pub(crate) is_public: bool,
}

impl Module {
    /// Returns everything that the module imports from its own crate. `is_module` says which paths are modules of the
    /// crate: a path may also begin with the name of a child module.
    pub(crate) fn imports(&self, is_module: impl Fn(&str) -> bool) -> Vec<Import> {
        let mut imports = Vec::new();
        for (is_public, tree) in use_trees(&self.code) {
            let mut paths = Vec::new();
            leaves("", &tree, &mut paths);
            let paths = paths.iter().filter_map(|path| self.resolve(path, &is_module));
            imports.extend(paths.map(|path| Import { path, is_public }));
        }
        imports
    }

    fn resolve(&self, import: &str, is_module: impl Fn(&str) -> bool) -> Option<Vec<String>> {
        let mut segments: Vec<&str> = import.split("::").collect();
        let is_root = ["lib", "main"].contains(&self.path.as_str());
        let mut base: Vec<&str> = if is_root { Vec::new() } else { self.path.split('/').collect() };
        match segments[0] {
            "crate" | "fernpost" => base.clear(),
            "self" => {}
            "super" => drop(base.pop()),
            child if is_module(&[&base[..], &[child]].concat().join("/")) => segments.insert(0, "self"),
            _ => return None,
        }
        segments.remove(0);
        while segments.first() == Some(&"super") {
            segments.remove(0);
            base.pop();
        }
        Some([base, segments].concat().into_iter().map(str::to_owned).collect())
    }
}

/// Returns the trees of all `use` declarations without white space and `as` names; true if the declaration is public.
fn use_trees(code: &str) -> Vec<(bool, String)> {
    let mut trees = Vec::new();
    let mut rest = code;
    while !rest.is_empty() {
        let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
        let start = line.trim_start();
        let private = start.strip_prefix("pub").map_or(start, |inner| match inner.split_once(')') {
            Some((_, behind)) if inner.starts_with('(') => behind.trim_start(),
            _ => inner.trim_start(),
        });
        match private.strip_prefix("use ") {
            Some(_) => {
                let (declaration, after) = rest.split_once(';').unwrap_or((rest, ""));
                let tree = declaration.split_once("use ").map_or("", |(_, tree)| tree);
                trees.push((private.len() < start.len(), without_renames(tree)));
                rest = after;
            }
            None => rest = after,
        }
    }
    trees
}

fn without_renames(tree: &str) -> String {
    let mut parts = tree.split(" as ");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push_str(part.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_'));
    }
    plain.split_whitespace().collect()
}

/// The paths of a `use` tree.
fn leaves(before: &str, tree: &str, into: &mut Vec<String>) {
    let Some((head, rest)) = tree.split_once('{') else {
        return into.push(format!("{before}{tree}"));
    };
    let before = format!("{before}{head}");
    let inner = rest.strip_suffix('}').unwrap_or(rest);
    let (mut depth, mut start) = (0, 0);
    for (at, c) in inner.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                leaves(&before, &inner[start..at], into);
                start = at + 1;
            }
            _ => {}
        }
    }
    if start < inner.len() {
        leaves(&before, &inner[start..], into);
    }
}

#[test]
fn import_scan_finds_every_form() {
    let seen = |path: &str, code: &str| {
        let module = Module { path: path.into(), code: code.into() };
        let imports = module.imports(|path| path == "wire/updates/push").into_iter();
        imports.map(|import| (import.path.join("/"), import.is_public)).collect::<Vec<_>>()
    };
    let private = |paths: &[&str]| paths.iter().map(|path| ((*path).to_owned(), false)).collect::<Vec<_>>();
    assert_eq!(
        seen("wire/updates", "use crate::{store::{self, Tables}, http};"),
        private(&["store/self", "store/Tables", "http"])
    );
    assert_eq!(seen("wire/updates/push", "use super::super::transactions::x as y;"), private(&["wire/transactions/x"]));
    assert_eq!(seen("wire/updates", "use self::{a as b, c};"), private(&["wire/updates/a", "wire/updates/c"]));
    assert_eq!(seen("wire/updates", "use push::Push;\nuse std::fmt;"), private(&["wire/updates/push/Push"]));
    assert_eq!(seen("main", "use std::fmt;\npub(crate) use fernpost::cli;"), [("cli".to_owned(), true)]);
}
