//! The one pass over the merged values: it knows where each was written and collects what is wrong.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::net::SocketAddr;
use std::path::{Component, Path, PathBuf};

use super::problem::{Fault, Place, Problem};

/// A key, segment by segment: names of servers contain dots.
pub(super) type Key = Vec<String>;

/// The key as it would be written in TOML.
pub(super) fn written(key: &[impl AsRef<str>]) -> String {
    let bare = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    let segment = |s: &str| if bare(s) { s.to_owned() } else { format!("\"{}\"", s.escape_debug()) };
    key.iter().map(|s| segment(s.as_ref())).collect::<Vec<_>>().join(".")
}

/// Where each key was written, and which keys were already found wrong.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The newest place of each key and table.
    pub(super) places: HashMap<Key, Place>,
    /// Keys whose value was dropped: what follows from their absence is not reported again.
    dropped: HashSet<Key>,
    problems: Vec<Problem>,
    /// What is no problem and could be better.
    pub(super) notes: Vec<String>,
}

impl Found {
    /// Report a problem, unless the same was reported.
    pub(super) fn report(&mut self, problem: Problem) {
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// What is said about this key from now on would only follow from what was said.
    pub(super) fn drop_key(&mut self, key: &[impl AsRef<str>]) {
        self.dropped.insert(key.iter().map(|s| s.as_ref().to_owned()).collect());
    }

    fn is_dropped(&self, key: &[String]) -> bool {
        (1..=key.len()).any(|length| self.dropped.contains(&key[..length]))
    }

    /// A file is missing from what was read: what is judged without it would be judged wrongly.
    pub(super) fn lacks_a_file(&self) -> bool {
        self.problems.iter().any(|problem| matches!(problem.fault, Fault::File(_) | Fault::Unreadable(_)))
    }

    /// Everything that was found.
    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }
}

/// What the sections need to check their values.
pub(super) struct Check<'a> {
    pub(super) found: &'a mut Found,
    pub(super) folder: &'a Path,
    /// Whether what is named on this machine has to be usable by this process.
    pub(super) to_run: bool,
}

impl Check<'_> {
    /// A path of the configuration, from its folder.
    pub(super) fn path(&self, path: &Path) -> PathBuf {
        clean(&self.folder.join(path))
    }

    /// This key's value cannot be used.
    pub(super) fn invalid(&mut self, key: &[&str], why: impl fmt::Display) {
        self.fault(key, Fault::Invalid(why.to_string()));
    }

    /// Report a fault of this key, unless it follows from one that was reported.
    pub(super) fn fault(&mut self, key: &[&str], fault: Fault) {
        let key: Key = key.iter().map(|&s| s.to_owned()).collect();
        if !self.found.is_dropped(&key) {
            let place = self.place(&key);
            self.found.report(Problem { key: written(&key), place, fault });
        }
    }

    /// This key's value holds, and could be better or means less than it seems to.
    pub(super) fn note(&mut self, key: &[&str], why: impl fmt::Display) {
        let key: Key = key.iter().map(|&s| s.to_owned()).collect();
        if !self.found.is_dropped(&key) {
            let problem =
                Problem { key: written(&key), place: self.place(&key), fault: Fault::Invalid(why.to_string()) };
            self.found.notes.push(problem.to_string());
        }
    }

    /// A key that is absent is looked for where its table begins.
    fn place(&self, key: &[String]) -> Option<Place> {
        (1..=key.len()).rev().find_map(|length| self.found.places.get(&key[..length]).cloned())
    }

    /// Each of these numbers of a section has to be 1 or more.
    pub(super) fn at_least_one(&mut self, section: &[&str], numbers: &[(&str, u64)]) {
        for (name, _) in numbers.iter().filter(|(_, number)| *number == 0) {
            self.invalid(&[section, &[*name]].concat(), "nothing would get through; it has to be more than 0");
        }
    }

    /// Without TLS a listener must not be reached from elsewhere.
    pub(super) fn loopback(&mut self, section: &str, listen: SocketAddr) {
        if !listen.ip().to_canonical().is_loopback() {
            self.invalid(
                &[section, "listen"],
                format!("{listen} can be reached from other machines and TLS is not available in this version; listen on 127.0.0.1"),
            );
        }
    }
}

/// The path as people write it, without `a/..`; behind a symbolic link that would be another place.
fn clean(path: &Path) -> PathBuf {
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
    fn a_path_is_shown_without_detours_but_where_a_link_makes_them_matter() {
        assert_eq!(clean(Path::new("config/two/../../target/red")), Path::new("target/red"));
        assert_eq!(clean(Path::new("../data")), Path::new("../data"));
        let folder = tempfile::tempdir().expect("a folder");
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("/usr/lib", &link).expect("a link");
        assert_eq!(clean(&link.join("../data")), link.join("../data"));
    }

    #[test]
    fn keys_are_written_as_toml_writes_them() {
        assert_eq!(written(&["peers", "server", "blue.example", "retain"]), "peers.server.\"blue.example\".retain");
    }
}
