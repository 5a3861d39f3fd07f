//! The files that `fernpost init` has written, which are removed if the configuration cannot be used after all.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::cli::failure::CommandFailure;
use crate::identity::key_folder::KeyFolder;
use crate::runtime::new_file::{self, ExistingFile};

/// Names of the files in the folder of the configuration.
const NAMES: [&str; 4] = ["fernpost.toml", "messenger.token", "admin.token", "push.secret"];

/// Secret bytes of a token.
const TOKEN_BYTES: usize = 32;

/// Paths in the order in which they were made.
#[derive(Debug, Default)]
pub(super) struct WrittenFiles {
    files: Vec<PathBuf>,
    folders: Vec<PathBuf>,
}

impl WrittenFiles {
    /// Checks that none of the files exists.
    pub(super) fn check_absent(dir: &Path) -> Result<(), CommandFailure> {
        let taken = NAMES.iter().map(|name| dir.join(name)).find(|path| path.symlink_metadata().is_ok());
        taken.map_or(Ok(()), |path| Err(exists(&path)))
    }

    /// Makes a folder, unless it exists.
    pub(super) fn folder(&mut self, path: &Path, mode: u32) -> Result<(), CommandFailure> {
        let made = new_file::make_folder(path, mode).map_err(|error| failure(path, &error))?;
        self.folders.extend(made);
        Ok(())
    }

    /// Writes a token that nobody can guess.
    pub(super) fn token(&mut self, dir: &Path, name: &str, prefix: &str) -> Result<(), CommandFailure> {
        let path = dir.join(name);
        let mut bytes = Zeroizing::new([0; TOKEN_BYTES]);
        getrandom::fill(&mut *bytes).map_err(|error| CommandFailure::Broken {
            code: "NO_RANDOM",
            words: format!("the system gives no random bytes: {error}"),
        })?;
        let text = Zeroizing::new(format!("{prefix}{}\n", STANDARD.encode(*bytes)));
        self.write(&path, text.as_bytes(), 0o600)
    }

    /// Makes the first signing key; a key that is there stays the one of this server.
    pub(super) fn key(&mut self, folder: &KeyFolder, now: SystemTime) -> Result<(), CommandFailure> {
        let had_folder = folder.path().exists();
        let before = keys_in(folder);
        let words = |error: &dyn std::fmt::Display| CommandFailure::Broken { code: "KEYS", words: error.to_string() };
        folder.load_or_begin(false, now).map_err(|error| words(&error))?;
        let made: Vec<PathBuf> = keys_in(folder).into_iter().filter(|path| !before.contains(path)).collect();
        let data_dir = folder.path().parent().unwrap_or(Path::new("/"));
        for path in std::iter::once(folder.path()).chain(made.iter().map(PathBuf::as_path)) {
            new_file::give_to_folder_owner(path, data_dir).map_err(|error| failure(path, &error))?;
        }
        self.files.extend(made);
        if !had_folder {
            self.folders.push(folder.path().to_owned());
        }
        Ok(())
    }

    /// Writes the configuration, which holds no secret.
    pub(super) fn configuration(&mut self, path: &Path, text: &str) -> Result<(), CommandFailure> {
        self.write(path, text.as_bytes(), 0o644)
    }

    fn write(&mut self, path: &Path, text: &[u8], mode: u32) -> Result<(), CommandFailure> {
        match new_file::write(path, text, mode, ExistingFile::Keep) {
            Ok(()) => self.files.push(path.to_owned()),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(exists(path)),
            Err(error) => return Err(failure(path, &error)),
        }
        Ok(())
    }

    /// Returns the paths of the files.
    pub(super) fn names(&self) -> Vec<String> {
        self.files.iter().map(|path| path.display().to_string()).collect()
    }

    /// Removes what was written, and folders that are empty then.
    pub(super) fn remove(&self) {
        for path in &self.files {
            let _ = std::fs::remove_file(path);
        }
        for path in self.folders.iter().rev() {
            // One that is not empty is somebody else's, too.
            let _ = std::fs::remove_dir(path);
        }
    }
}

/// Returns the paths in the folder of keys.
fn keys_in(folder: &KeyFolder) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder.path()).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}

fn exists(path: &Path) -> CommandFailure {
    let words =
        format!("{} exists, and nothing is overwritten; name another folder with --dir, or remove it", path.display());
    CommandFailure::Wrong { code: "EXISTS", words }
}

fn failure(path: &Path, error: &std::io::Error) -> CommandFailure {
    CommandFailure::Broken { code: "FILE", words: format!("{}: {error}", path.display()) }
}
