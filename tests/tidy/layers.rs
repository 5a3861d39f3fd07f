//! Levels: which folder may import which, and which files are pure state machines.

use std::path::Path;

use crate::sources::{assert_none, modules, root};

/// The levels of the core, lowest first. A file may import its own level and lower ones; the longest line that its path
/// starts with counts. A new folder needs a new line.
const CORE: &[(&str, u8)] = &[
    ("word_enum", 0),
    ("model", 0),
    ("change", 1),
    ("errors", 1),
    ("limits", 1),
    ("reply_token", 1),
    ("backoff", MACHINES),
    ("context/admit", MACHINES),
    ("context/compose", MACHINES),
    ("context/event", MACHINES),
    ("context/groups", MACHINES),
    ("context/machine", MACHINES),
    ("context/missing", MACHINES),
    ("context/ordering", MACHINES),
    ("context/provenance", MACHINES),
    ("context/quarantine_walks", MACHINES),
    ("context/stage_page", MACHINES),
    ("context/stage_reader", MACHINES),
    ("context/state", MACHINES),
    ("context/step", MACHINES),
    ("overload/watermarks", MACHINES),
    ("peer/effect", MACHINES),
    ("peer/fetch_budget", MACHINES),
    ("peer/first_dialect", MACHINES),
    ("peer/inbound", MACHINES),
    ("peer/machine", MACHINES),
    ("peer/notices", MACHINES),
    ("peer/outbound", MACHINES),
    ("peer/rate_limit", MACHINES),
    ("peer/receipts", MACHINES),
    ("router/generations", MACHINES),
    ("router/sparse_map", MACHINES),
    ("supervise/restart_intensity", MACHINES),
    ("ports", 3),
    ("overload", 4),
    ("supervise", 4),
    ("context/metrics", 4),
    ("peer", 5),
    ("context", 5),
    ("router/registry", 5),
    ("router", 6),
    ("gateway", 7),
    ("testkit", 8),
    ("lib", 9),
];

/// Files up to this level are pure: time and chance are arguments, nothing is sent, logged or serialised.
const MACHINES: u8 = 2;

/// Words that files up to [`MACHINES`] must not contain.
const IMPURE: &[&str] = &["actix", "tokio", "tracing", "serde"];

/// The levels of the gateway.
const GATEWAY: &[(&str, u8)] = &[
    ("api", 0),
    ("identity", 0),
    ("json", 0),
    ("runtime", 0),
    ("store", 0),
    ("tls", 0),
    ("maintenance", 0),
    ("comparison", 0),
    ("telemetry", 0),
    ("http", 1),
    ("egress", 1),
    ("openapi", 1),
    ("raw_targets", 1),
    ("rpc", 1),
    ("wire", 2),
    ("settings", 2), // it knows the dialects by name
    ("messenger", 2),
    ("admin", 2),
    ("app", 3),
    ("terminal", 4),
    ("tools", 4),
    ("fuzz_targets", 4),
    ("cli", 4),
    ("main", 5),
    ("lib", 5),
];

/// Folders of the gateway that never import one another, whatever their levels: the composition root connects them.
const SEPARATED: &[&[&str]] =
    &[&["store", "wire", "messenger"], &["store", "settings"], &["wire/transactions", "wire/updates"]];

#[test]
fn core_imports_point_one_way() {
    assert_none(&upward(&root().join("actors/src"), CORE, &[]));
}

#[test]
fn gateway_imports_point_one_way() {
    assert_none(&upward(&root().join("src"), GATEWAY, SEPARATED));
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

fn is_within(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn level<'a>(table: &'a [(&'a str, u8)], path: &str) -> Option<(&'a str, u8)> {
    table.iter().filter(|(folder, _)| is_within(path, folder)).max_by_key(|(folder, _)| folder.len()).copied()
}

/// Returns the imports that point upward, or at a folder that is never imported.
fn upward(crate_root: &Path, table: &[(&str, u8)], separated: &[&[&str]]) -> Vec<String> {
    let mut complaints = Vec::new();
    for module in modules(crate_root) {
        let Some((_, own)) = level(table, &module.path) else {
            complaints.push(format!("{} has no line in the table of levels", module.path));
            continue;
        };
        for import in module.imports(|_| false) {
            let import = import.path.join("/");
            let Some((folder, theirs)) = level(table, &import) else { continue };
            let is_above = theirs > own;
            let are_separated = separated.iter().any(|group| {
                let home = group.iter().find(|folder| is_within(&module.path, folder));
                home.is_some_and(|home| group.iter().any(|other| other != home && is_within(&import, other)))
            });
            if is_above || are_separated {
                complaints.push(format!("{} must not import {import} ({folder})", module.path));
            }
        }
    }
    complaints
}

#[test]
fn longest_folder_decides_level() {
    assert_eq!(level(CORE, "peer/outbound"), Some(("peer/outbound", MACHINES)));
    assert_eq!(level(CORE, "peer/PeerHandle"), Some(("peer", 5)));
    assert_eq!(level(CORE, "context/guarded_step"), Some(("context", 5)));
}
