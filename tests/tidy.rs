//! What the compiler does not check of the house: size of files, a duty for each module, arrows between folders.

use std::fs;
use std::path::{Path, PathBuf};

/// A file longer than this holds more than one noun.
const LINES_MAX: usize = 500;

/// The core, from what is imported to what imports. A file may import its own level and lower ones; the longest line that its
/// path starts with counts. A new folder is a new line.
const CORE: &[(&str, u8)] = &[
    ("model", 0),
    ("change", 1),
    ("limits", 1),
    ("backoff", MACHINES),
    ("context/admit", MACHINES),
    ("context/ask", MACHINES),
    ("context/compose", MACHINES),
    ("context/deliver", MACHINES),
    ("context/desk", MACHINES),
    ("context/event", MACHINES),
    ("context/for_state", MACHINES),
    ("context/gaps", MACHINES),
    ("context/graphs", MACHINES),
    ("context/heads", MACHINES),
    ("context/keys", MACHINES),
    ("context/links", MACHINES),
    ("context/machine", MACHINES),
    ("context/members", MACHINES),
    ("context/order", MACHINES),
    ("context/past", MACHINES),
    ("context/recent", MACHINES),
    ("context/staged", MACHINES),
    ("context/state", MACHINES),
    ("context/step", MACHINES),
    ("context/wanted", MACHINES),
    ("peer/budget", MACHINES),
    ("peer/dispatch", MACHINES),
    ("peer/label", MACHINES),
    ("peer/weak", MACHINES),
    ("peer/notices", MACHINES),
    ("peer/attempts", MACHINES),
    ("peer/effect", MACHINES),
    ("peer/inbound", MACHINES),
    ("peer/machine", MACHINES),
    ("peer/outbound", MACHINES),
    ("peer/outbox", MACHINES),
    ("peer/place", MACHINES),
    ("peer/rate", MACHINES),
    ("congestion/levels", MACHINES),
    ("router/directory", MACHINES),
    ("supervise/crashes", MACHINES),
    ("ports", 3),
    ("congestion", 4),
    ("supervise", 4),
    ("tally", 4),
    ("peer", 5),
    ("routes", 5),
    ("context", 5),
    ("router", 6),
    ("gateway", 7),
    ("testkit", 8),
    ("lib", 9),
];

/// Up to here files are pure: time and chance are arguments, nothing is sent, logged or serialised.
const MACHINES: u8 = 2;

/// What files up to [`MACHINES`] must not speak of.
const IMPURE: &[&str] = &["actix", "tokio", "tracing", "serde"];

/// The gateway, in the same way.
const GATEWAY: &[(&str, u8)] = &[
    ("complaint", 0),
    ("settings", 0),
    ("store", 0),
    ("clock", 0),
    ("disk", 0),
    ("panics", 0),
    ("threads", 0),
    ("rounds", 0),
    ("forgetting", 0),
    ("telemetry", 0),
    ("http", 1),
    ("egress", 1),
    ("wire", 2),
    ("messenger", 2),
    ("admin", 2),
    ("app", 3),
    ("cli", 4),
    ("main", 5),
    ("lib", 5),
];

/// Folders of the gateway that never import one another, whatever their levels: the composition root introduces them.
const STRANGERS: &[&[&str]] =
    &[&["store", "wire", "messenger"], &["store", "settings"], &["wire/transactions", "wire/updates"]];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files below a folder, hidden ones and build output left out; none where there is no such folder.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files = Vec::new();
    for path in entries.map(|entry| entry.expect("a readable entry").path()) {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if name.starts_with('.') || name == "target" {
            continue;
        }
        if path.is_dir() { files.extend(files_below(&path)) } else { files.push(path) }
    }
    files.sort();
    files
}

fn sources() -> Vec<(PathBuf, String)> {
    let folders = ["src", "actors", "tests", "benches"].map(|folder| root().join(folder));
    let files = folders.iter().flat_map(|folder| files_below(folder));
    let rust = files.filter(|path| path.extension().is_some_and(|ext| ext == "rs"));
    rust.map(|path| (path.clone(), fs::read_to_string(&path).expect("UTF-8"))).collect()
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

fn assert_none(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn source_files_respect_line_limit() {
    let long = |(path, text): &(PathBuf, String)| {
        let lines = text.lines().count();
        (lines > LINES_MAX).then(|| format!("{} has {lines} lines, {LINES_MAX} is the ceiling", shown(path)))
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
    // In two parts, else this file would be the first to be found.
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
fn core_imports_point_one_way() {
    assert_none(&upward(&root().join("actors/src"), CORE, &[]));
}

#[test]
fn gateway_imports_point_one_way() {
    assert_none(&upward(&root().join("src"), GATEWAY, STRANGERS));
}

#[test]
fn core_machines_are_pure() {
    let mut complaints = Vec::new();
    let core = root().join("actors/src");
    for module in modules(&core) {
        let is_pure = level(CORE, &module.path).is_some_and(|(_, level)| level <= MACHINES);
        let banned = if is_pure { IMPURE } else { &["Serialize", "Deserialize"] };
        for word in banned.iter().filter(|word| module.code.contains(**word)) {
            complaints.push(format!("actors/src/{} must not speak of {word}", module.path));
        }
    }
    assert_none(&complaints);
}

/// One file of a crate, without comments and without its tests.
struct Module {
    /// From the crate's root, without `.rs` and `/mod`.
    path: String,
    code: String,
}

impl Module {
    /// Everything the file imports from its own crate, as paths from the crate's root.
    fn imports(&self) -> Vec<String> {
        let mut imports = Vec::new();
        for tree in self.code.split("use ").skip(1).filter_map(|rest| rest.split(';').next()) {
            let tree: String = tree.split(" as ").next().unwrap_or(tree).split_whitespace().collect();
            leaves("", &tree, &mut imports);
        }
        imports.iter().filter_map(|import| self.resolved(import)).collect()
    }

    fn resolved(&self, import: &str) -> Option<String> {
        let mut segments: Vec<&str> = import.split("::").collect();
        let mut base: Vec<&str> = self.path.split('/').collect();
        match segments.remove(0) {
            "crate" | "fernpost" => base.clear(),
            "self" => {}
            "super" => drop(base.pop()),
            _ => return None,
        }
        while segments.first() == Some(&"super") {
            segments.remove(0);
            base.pop();
        }
        Some([base, segments].concat().join("/"))
    }
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

fn modules(crate_root: &Path) -> Vec<Module> {
    let mut modules = Vec::new();
    for file in files_below(crate_root).into_iter().filter(|file| file.extension().is_some_and(|ext| ext == "rs")) {
        let path = file.strip_prefix(crate_root).expect("below it").with_extension("");
        let path = path.to_string_lossy().trim_end_matches("/mod").to_owned();
        if path.split('/').any(|segment| segment == "tests") {
            continue;
        }
        let text = fs::read_to_string(&file).expect("UTF-8");
        let shipped = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(&text);
        let lines = shipped.lines().filter(|line| !line.trim_start().starts_with("//"));
        modules.push(Module { path, code: lines.map(|line| format!("{line}\n")).collect() });
    }
    modules
}

fn is_within(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn level<'a>(table: &'a [(&'a str, u8)], path: &str) -> Option<(&'a str, u8)> {
    table.iter().filter(|(folder, _)| is_within(path, folder)).max_by_key(|(folder, _)| folder.len()).copied()
}

/// Imports that point upward, or at a stranger.
fn upward(crate_root: &Path, table: &[(&str, u8)], strangers: &[&[&str]]) -> Vec<String> {
    let mut complaints = Vec::new();
    for module in modules(crate_root) {
        let Some((_, own)) = level(table, &module.path) else {
            complaints.push(format!("{} has no line in the table of levels", module.path));
            continue;
        };
        for import in module.imports() {
            let Some((folder, theirs)) = level(table, &import) else { continue };
            let is_above = theirs > own;
            let are_strangers = strangers.iter().any(|group| {
                let home = group.iter().find(|folder| is_within(&module.path, folder));
                home.is_some_and(|home| group.iter().any(|other| other != home && is_within(&import, other)))
            });
            if is_above || are_strangers {
                complaints.push(format!("{} must not import {import} ({folder})", module.path));
            }
        }
    }
    complaints
}

/// The sigil that makes `tracing` print a field in its Debug form.
fn has_debug_field(line: &str) -> bool {
    line.as_bytes().windows(3).any(|at| matches!(at, [b' ' | b'(', b'?', b'a'..=b'z']))
}

#[test]
fn log_lines_hold_no_debug_forms() {
    assert!(has_debug_field("info!(?fence, n = 1)") && has_debug_field("info!(next = ?next)"));
    assert!(!has_debug_field("let n = read(text)?; f::<T: ?Sized>(\"/queue?after\")"));
    let crates = [root().join("src"), root().join("actors/src")];
    let shipped = crates.iter().flat_map(|folder| modules(folder));
    let found = |module: Module| {
        let lines = module.code.lines().filter(|line| has_debug_field(line)).map(str::to_owned).collect::<Vec<_>>();
        lines.into_iter().map(move |line| format!("{}: {} is not for people: use %", module.path, line.trim()))
    };
    assert_none(&shipped.flat_map(found).collect::<Vec<_>>());
}

/// Macros of the library that end the process with a panic where a write fails.
#[test]
fn nothing_is_printed_that_may_panic() {
    let panics = |line: &&str| line.contains(concat!("print", "ln!("));
    let found = |module: Module| {
        let lines = module.code.lines().filter(panics).map(str::to_owned).collect::<Vec<_>>();
        lines
            .into_iter()
            .map(move |line| format!("{}: {} panics on a full disk: see cli/output", module.path, line.trim()))
    };
    assert_none(&modules(&root().join("src")).into_iter().flat_map(found).collect::<Vec<_>>());
}

#[test]
fn import_scan_finds_every_form() {
    let seen = |path: &str, code: &str| Module { path: path.into(), code: code.into() }.imports();
    assert_eq!(
        seen("wire/updates", "use crate::{store::{self, Tables}, http};"),
        ["store/self", "store/Tables", "http"]
    );
    assert_eq!(seen("wire/updates/push", "use super::super::transactions::x as y;"), ["wire/transactions/x"]);
    assert_eq!(seen("main", "use std::fmt;\npub(crate) use fernpost::cli;"), ["cli"]);
    assert_eq!(level(CORE, "peer/outbound"), Some(("peer/outbound", MACHINES)));
    assert_eq!(level(CORE, "peer/PeerHandle"), Some(("peer", 5)));
}
