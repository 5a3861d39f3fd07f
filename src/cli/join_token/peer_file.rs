//! The file of one peer in `conf.d`, as `fernpost join-token use` writes it.

use std::path::{Path, PathBuf};

use crate::cli::failure::CommandFailure;
use crate::identity::join_token::{JoinAuth, JoinOffer};
use crate::runtime::new_file::{self, ExistingFile};
use crate::settings::toml_text::{quoted, quoted_list};

/// A file that is written, and taken back if the configuration cannot be used with it.
pub(super) struct PeerFile {
    path: PathBuf,
    /// Text before.
    before: Option<Vec<u8>>,
}

impl PeerFile {
    /// Returns the file of a peer beside this configuration file.
    pub(super) fn beside(config: &Path, server: &str) -> Self {
        let folder = config.parent().unwrap_or(Path::new(""));
        let path = folder.join("conf.d").join(format!("peer-{server}.toml"));
        let before = std::fs::read(&path).ok();
        Self { path, before }
    }

    /// Returns its path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns whether the file was there.
    pub(super) fn exists(&self) -> bool {
        self.before.is_some()
    }

    /// Writes the section of the peer.
    pub(super) fn write(&self, text: &str) -> Result<(), CommandFailure> {
        let folder = self.path.parent().unwrap_or(Path::new(""));
        new_file::make_folder(folder, 0o755).map_err(|error| failure(folder, &error))?;
        new_file::write(&self.path, text.as_bytes(), 0o644, ExistingFile::Replace)
            .map_err(|error| failure(&self.path, &error))
    }

    /// Puts the state before [`PeerFile::write`] back.
    pub(super) fn take_back(&self) -> Result<(), CommandFailure> {
        let done = match &self.before {
            Some(text) => new_file::write(&self.path, text, 0o644, ExistingFile::Replace),
            None => std::fs::remove_file(&self.path),
        };
        done.map_err(|error| failure(&self.path, &error))
    }
}

/// Returns the section of a peer.
pub(super) fn section(offer: &JoinOffer, insecure: bool, now: &str) -> String {
    let server = quoted(offer.server.as_str());
    let mut text = format!(
        "# Written by `fernpost join-token use` at {now}, from a line of {}.\n[peers.server.{server}]\nauth = \"{}\"\nkeys = {}\n",
        offer.server,
        offer.auth.as_str(),
        quoted_list(&offer.written_keys()),
    );
    if let (JoinAuth::Mtls, Some(pin)) = (offer.auth, offer.fingerprint) {
        text += &format!("fingerprints = [\"{pin}\"]\n");
    }
    if !offer.addresses.is_empty() {
        text += &format!("addresses = {}\n", quoted_list(&offer.addresses));
    }
    if insecure {
        text += "insecure = true\n";
    }
    text
}

fn failure(path: &Path, error: &std::io::Error) -> CommandFailure {
    CommandFailure::Broken { code: "FILE", words: format!("{}: {error}", path.display()) }
}
