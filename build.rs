//! Passes the facts of this build to the compiler, for `fernpost --version`: commit, time, features, profile and target.
//!
//! It needs neither a network nor git. The commit is that of `FERNPOST_COMMIT`, else of the git working tree, else of the source archive
//! (`git archive` writes it into this file, see `.gitattributes`), else unknown. The time is `SOURCE_DATE_EPOCH` if that is set, so that
//! two builds of the same source are equal. Only release builds state commit and time: a debug build that followed each commit would
//! compile everything again after it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

/// Commit of a source archive. In a working tree the placeholder stands as it is.
const ARCHIVED: &str = "$Format:%H$";

fn main() {
    let is_release = variable("PROFILE").is_some_and(|profile| profile == "release");
    let root = PathBuf::from(variable("CARGO_MANIFEST_DIR").unwrap_or_default());
    for name in ["FERNPOST_COMMIT", "SOURCE_DATE_EPOCH"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    println!("cargo::rerun-if-changed=build.rs");
    let (commit, built) = if is_release {
        // The working tree decides whether the commit is followed by "-modified".
        for path in ["src", "actors", "config", "Cargo.toml", "Cargo.lock"] {
            println!("cargo::rerun-if-changed={path}");
        }
        (commit(&root), built())
    } else {
        (variable("FERNPOST_COMMIT"), variable("SOURCE_DATE_EPOCH"))
    };
    pass("COMMIT", commit.as_deref().unwrap_or("unknown"));
    pass("BUILT", built.as_deref().unwrap_or_default());
    pass("FEATURES", &features());
    pass("PROFILE", if is_release { "release" } else { "debug" });
    pass("TARGET", &variable("TARGET").unwrap_or_default());
}

fn pass(name: &str, value: &str) {
    println!("cargo::rustc-env=FERNPOST_BUILD_{name}={value}");
}

/// Returns a variable that is set and not empty.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

/// Returns the seconds since 1970 that this build states as its time.
fn built() -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "a build script has no clock of the core")]
    let now = SystemTime::now();
    let seconds = || now.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs().to_string());
    variable("SOURCE_DATE_EPOCH").or_else(seconds)
}

fn commit(root: &Path) -> Option<String> {
    let archived = Some(ARCHIVED.to_owned()).filter(|commit| !commit.starts_with('$'));
    variable("FERNPOST_COMMIT").or_else(|| commit_of_tree(root)).or(archived)
}

/// Returns the commit of the working tree, with "-modified" if a file differs from it; `None` without git, or if the sources are no
/// working tree of their own, such as an archive that was unpacked inside another repository.
fn commit_of_tree(root: &Path) -> Option<String> {
    let top = git(root, &["rev-parse", "--show-toplevel"])?;
    if Path::new(&top).canonicalize().ok()? != root.canonicalize().ok()? {
        return None;
    }
    for file in ["HEAD", "logs/HEAD"] {
        let path = root.join(git(root, &["rev-parse", "--git-path", file])?);
        // cargo would run this script at every build if the file did not exist.
        if path.exists() {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
    git(root, &["describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=-modified"])
}

/// Returns what git prints; `None` if it fails, or is not installed.
fn git(root: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(root).args(arguments).output().ok()?;
    let printed = String::from_utf8(output.stdout).ok().filter(|_| output.status.success())?;
    Some(printed.trim().to_owned()).filter(|printed| !printed.is_empty())
}

/// Returns the names of the features that are on, with commas between them.
fn features() -> String {
    let enabled = std::env::vars().filter_map(|(name, _)| Some(name.strip_prefix("CARGO_FEATURE_")?.to_lowercase()));
    let mut names: Vec<String> = enabled.map(|name| name.replace('_', "-")).filter(|name| name != "default").collect();
    names.sort();
    if names.is_empty() { "none".to_owned() } else { names.join(",") }
}
