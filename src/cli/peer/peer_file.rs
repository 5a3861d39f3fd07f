//! The file of one peer in `conf.d`, as `fernpost peer add` and `fernpost join-token use` write it.

use std::path::{Path, PathBuf};

use crate::cli::failure::CommandFailure;
use crate::runtime::new_file::{self, ExistingFile};
use crate::settings::toml_text::{quoted, quoted_list};

/// A file that is written or removed, and put back if the configuration cannot be used with the change.
pub(in crate::cli) struct PeerFile {
    path: PathBuf,
    /// Text before.
    before: Option<Vec<u8>>,
}

impl PeerFile {
    /// Returns the file of a peer beside this configuration file.
    pub(in crate::cli) fn beside(config: &Path, server: &str) -> Self {
        let folder = config.parent().unwrap_or(Path::new(""));
        let path = folder.join("conf.d").join(format!("peer-{server}.toml"));
        let before = std::fs::read(&path).ok();
        Self { path, before }
    }

    /// Returns its path.
    pub(in crate::cli) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns whether the file was there.
    pub(in crate::cli) fn exists(&self) -> bool {
        self.before.is_some()
    }

    /// Writes the section of the peer.
    pub(in crate::cli) fn write(&self, text: &str) -> Result<(), CommandFailure> {
        let folder = self.path.parent().unwrap_or(Path::new(""));
        new_file::make_folder(folder, 0o755).map_err(|error| failure(folder, &error))?;
        new_file::write(&self.path, text.as_bytes(), 0o644, ExistingFile::Replace)
            .map_err(|error| failure(&self.path, &error))
    }

    /// Removes the file.
    pub(super) fn remove(&self) -> Result<(), CommandFailure> {
        std::fs::remove_file(&self.path).map_err(|error| failure(&self.path, &error))
    }

    /// Puts the state before [`PeerFile::write`] or [`PeerFile::remove`] back.
    pub(super) fn take_back(&self) -> Result<(), CommandFailure> {
        let done = match &self.before {
            Some(text) => new_file::write(&self.path, text, 0o644, ExistingFile::Replace),
            None => std::fs::remove_file(&self.path),
        };
        done.map_err(|error| failure(&self.path, &error))
    }
}

/// The section of a peer.
pub(in crate::cli) struct PeerSectionText<'a> {
    pub(in crate::cli) server: &'a str,
    /// Comment above the section.
    pub(in crate::cli) comment: String,
    pub(in crate::cli) auth: &'a str,
    /// Further keys with one text each.
    pub(in crate::cli) texts: Vec<(&'a str, &'a str)>,
    /// Keys with a list of texts each; empty ones are left out.
    pub(in crate::cli) lists: Vec<(&'a str, &'a [String])>,
    pub(in crate::cli) insecure: bool,
}

impl PeerSectionText<'_> {
    /// Returns the section as TOML.
    pub(in crate::cli) fn toml(&self) -> String {
        let Self { server, comment, auth, texts, lists, insecure } = self;
        let mut text = format!("# {comment}\n[peers.server.{}]\nauth = {}\n", quoted(server), quoted(auth));
        for (key, value) in texts {
            text += &format!("{key} = {}\n", quoted(value));
        }
        for (key, values) in lists.iter().filter(|(_, values)| !values.is_empty()) {
            text += &format!("{key} = {}\n", quoted_list(values));
        }
        if *insecure {
            text += "insecure = true\n";
        }
        text
    }
}

/// Returns those of the files that have a section of the peer. A file that is no TOML has none.
pub(super) fn files_that_list(files: &[PathBuf], server: &str) -> Vec<PathBuf> {
    files
        .iter()
        .filter(|file| servers_in(file).is_some_and(|(names, _)| names.iter().any(|name| name == server)))
        .cloned()
        .collect()
}

/// Returns whether the file holds the section of this peer and nothing else.
pub(super) fn holds_only(file: &Path, server: &str) -> bool {
    servers_in(file).is_some_and(|(names, holds_more)| !holds_more && names == [server])
}

/// Returns the servers that a file has sections of, in lower case as they are read, and whether it sets anything else.
fn servers_in(file: &Path) -> Option<(Vec<String>, bool)> {
    let whole: toml::Table = std::fs::read_to_string(file).ok()?.parse().ok()?;
    let peers = whole.get("peers").and_then(toml::Value::as_table);
    let servers = peers.and_then(|peers| peers.get("server")).and_then(toml::Value::as_table);
    let holds_more = whole.len() > 1 || peers.is_none_or(|peers| peers.len() > 1);
    let names = servers.into_iter().flatten().map(|(name, _)| name.to_ascii_lowercase()).collect();
    Some((names, holds_more))
}

fn failure(path: &Path, error: &std::io::Error) -> CommandFailure {
    CommandFailure::Broken { code: "FILE", words: format!("{}: {error}", path.display()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn section_reads_as_written() {
        let keys = ["1:AAAA".to_owned()];
        let section = PeerSectionText {
            server: "blue.example:1",
            comment: "Written by a test.".to_owned(),
            auth: "signature",
            texts: vec![("dialect", "updates")],
            lists: vec![("keys", &keys), ("addresses", &[])],
            insecure: true,
        };
        let read: toml::Table = section.toml().parse().expect("TOML");
        let server = &read["peers"]["server"]["blue.example:1"];
        assert_eq!((server["auth"].as_str(), server["keys"][0].as_str()), (Some("signature"), Some("1:AAAA")));
        assert_eq!((server["insecure"].as_bool(), server.get("addresses")), (Some(true), None));
    }

    #[test]
    fn listing_files_are_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("writable");
            path
        };
        let main = file("a.toml", "[server]\nname = \"red\"\n[peers.server.\"Blue\"]\nauth = \"mtls\"\n");
        let own = file("b.toml", "[peers.server.blue]\nauth = \"mtls\"\n");
        let more = file("c.toml", "[peers.default]\nkeep = \"1d\"\n[peers.server.blue]\nauth = \"mtls\"\n");
        let broken = file("d.toml", "[peers.server.blue\n");
        let files = [main.clone(), own.clone(), more.clone(), broken];
        assert_eq!(files_that_list(&files, "blue"), [main.clone(), own.clone(), more.clone()]);
        assert_eq!([&main, &own, &more].map(|file| holds_only(file, "blue")), [false, true, false]);
        assert!(!holds_only(&own, "green") && !holds_only(&folder.path().join("none"), "blue"));
    }
}
