//! The source files of the repository, and the modules of a crate without comments and tests.

use std::fs;
use std::path::{Path, PathBuf};

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns all files below a folder except hidden ones and build output; none if the folder does not exist.
pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
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

pub(crate) fn sources() -> Vec<(PathBuf, String)> {
    let folders = ["src", "actors", "tests", "benches"].map(|folder| root().join(folder));
    let files = folders.iter().flat_map(|folder| files_below(folder));
    let rust = files.filter(|path| path.extension().is_some_and(|ext| ext == "rs"));
    rust.map(|path| (path.clone(), fs::read_to_string(&path).expect("UTF-8"))).collect()
}

pub(crate) fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

pub(crate) fn assert_none(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

/// One file of a crate, without comments and without its tests.
pub(crate) struct Module {
    /// Path from the crate's root, without `.rs` and `/mod`.
    pub(crate) path: String,
    pub(crate) code: String,
}

pub(crate) fn modules(crate_root: &Path) -> Vec<Module> {
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
