//! The check of the merged values: it knows where each value was written, and collects all problems.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::{Component, Path, PathBuf};

use super::problem::{ProblemKind, ProblemPlace, SettingsProblem};

/// A key as segments, because names of servers contain dots.
pub(super) type Key = Vec<String>;

/// Returns the key as it would be written in TOML.
pub(super) fn written(key: &[impl AsRef<str>]) -> String {
    let bare = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    let segment = |s: &str| if bare(s) { s.to_owned() } else { format!("\"{}\"", s.escape_debug()) };
    key.iter().map(|s| segment(s.as_ref())).collect::<Vec<_>>().join(".")
}

/// The places of all keys, and the problems that were found.
#[derive(Debug, Default)]
pub(super) struct CheckReport {
    /// Place of each key and table in the strongest layer.
    pub(super) places: HashMap<Key, ProblemPlace>,
    /// Keys whose value was dropped: consequences of their absence are not reported.
    dropped: HashSet<Key>,
    problems: Vec<SettingsProblem>,
    /// Hints that are not problems.
    pub(super) notes: Vec<String>,
}

impl CheckReport {
    /// Reports a problem, unless the same one was reported before.
    pub(super) fn report(&mut self, problem: SettingsProblem) {
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// Suppresses later problems of this key, because they would only be consequences.
    pub(super) fn suppress_key(&mut self, key: &[impl AsRef<str>]) {
        self.dropped.insert(key.iter().map(|s| s.as_ref().to_owned()).collect());
    }

    fn is_dropped(&self, key: &[String]) -> bool {
        (1..=key.len()).any(|length| self.dropped.contains(&key[..length]))
    }

    /// Returns whether a file could not be read: checks without its values would give wrong results.
    pub(super) fn lacks_a_file(&self) -> bool {
        self.problems.iter().any(|problem| matches!(problem.fault, ProblemKind::File(_) | ProblemKind::Unreadable(_)))
    }

    /// Returns all problems that were found.
    pub(super) fn take_problems(&mut self) -> Vec<SettingsProblem> {
        std::mem::take(&mut self.problems)
    }
}

/// The context of the sections' checks.
pub(super) struct SettingsCheck<'a> {
    pub(super) found: &'a mut CheckReport,
    pub(super) folder: &'a Path,
    /// True if the files and folders that are named must be usable by this process.
    pub(super) to_run: bool,
    /// True if a secret that others can read is a warning, and not a problem.
    pub(super) allow_open_secrets: bool,
}

impl SettingsCheck<'_> {
    /// Returns a configured path, relative to the configuration's folder.
    pub(super) fn path(&self, path: &Path) -> PathBuf {
        normalize_path(&self.folder.join(path))
    }

    /// Reports that the value of this key is invalid.
    pub(super) fn invalid(&mut self, key: &[&str], why: impl fmt::Display) {
        self.fault(key, ProblemKind::Invalid(why.to_string()));
    }

    /// Reports that others can read the secret of this key; if that is allowed, each start warns of it.
    pub(super) fn open_secret(&mut self, key: &[&str], why: impl fmt::Display) {
        match self.allow_open_secrets {
            true => self.note(key, why),
            false => {
                self.fault(key, ProblemKind::OpenSecret(format!("{why}, or set server.allow_open_secrets = true")));
            }
        }
    }

    /// Reports a fault of this key, unless it is a consequence of one that was reported.
    pub(super) fn fault(&mut self, key: &[&str], fault: ProblemKind) {
        let key: Key = key.iter().map(|&s| s.to_owned()).collect();
        if !self.found.is_dropped(&key) {
            let place = self.place(&key);
            self.found.report(SettingsProblem { key: written(&key), place, fault });
        }
    }

    /// Adds a note about a valid value that could be better or has less effect than it seems.
    pub(super) fn note(&mut self, key: &[&str], why: impl fmt::Display) {
        let key: Key = key.iter().map(|&s| s.to_owned()).collect();
        if !self.found.is_dropped(&key) {
            let problem = SettingsProblem {
                key: written(&key),
                place: self.place(&key),
                fault: ProblemKind::Invalid(why.to_string()),
            };
            self.found.notes.push(problem.to_string());
        }
    }

    /// Returns the place of a key; of an absent key, the place of its table.
    fn place(&self, key: &[String]) -> Option<ProblemPlace> {
        (1..=key.len()).rev().find_map(|length| self.found.places.get(&key[..length]).cloned())
    }

    /// Checks that each of these numbers of a section is 1 or more.
    pub(super) fn at_least_one(&mut self, section: &[&str], numbers: &[(&str, u64)]) {
        for (name, _) in numbers.iter().filter(|(_, number)| *number == 0) {
            self.invalid(&[section, &[*name]].concat(), "it must be more than 0, because 0 lets nothing through");
        }
    }
}

/// Returns the path without `a/..`; after a symbolic link that part is kept, because it would change the meaning.
fn normalize_path(path: &Path) -> PathBuf {
    let mut short = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir if short.file_name().is_some() && !short.is_symlink() => drop(short.pop()),
            part => short.push(part),
        }
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_normalization_respects_symlinks() {
        assert_eq!(normalize_path(Path::new("config/two/../../target/red")), Path::new("target/red"));
        assert_eq!(normalize_path(Path::new("../data")), Path::new("../data"));
        let folder = tempfile::tempdir().expect("a folder");
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("/usr/lib", &link).expect("a link");
        assert_eq!(normalize_path(&link.join("../data")), link.join("../data"));
    }

    #[test]
    fn keys_print_as_toml() {
        assert_eq!(written(&["peers", "server", "blue.example", "retain"]), "peers.server.\"blue.example\".retain");
    }
}
