//! A certificate that was issued with its key, and the way of both into the files of the listener.
//!
//! Two files cannot be replaced at once, and a crash between them would leave a key without its certificate. Both are therefore kept in
//! one file of the data folder first, from which the next start completes the two.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::runtime::durable_file::sync_folder_of;
use crate::runtime::new_file::{self, ExistingFile};
use crate::tls::key_pair::{KeyPairError, KeyPairFiles};

/// Name of the file with both.
const NAME: &str = "acme-pair.pem";

/// Start of a certificate in a PEM file. The key precedes it.
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----";

/// A key and its chain, as PEM.
pub(super) struct IssuedPair {
    pub(super) key: Zeroizing<String>,
    pub(super) chain: String,
}

/// Error: an issued certificate is not in use.
#[derive(Debug, thiserror::Error)]
pub enum IssuedPairError {
    /// The certificate is not what was ordered.
    #[error("what the authority issued cannot be used: {0}")]
    Unusable(#[from] KeyPairError),
    /// A file cannot be read or written.
    #[error("{}: {source}; it must be a file that this user may write", .path.display())]
    File {
        /// Path of the file.
        path: PathBuf,
        /// Error of the system.
        source: io::Error,
    },
}

impl IssuedPair {
    /// Checks the pair and writes the files. A pair that does not fit changes nothing.
    pub(super) fn write(&self, data_dir: &Path, files: &KeyPairFiles) -> Result<(), IssuedPairError> {
        let kept = data_dir.join(NAME);
        let draft = kept.with_extension("new");
        let both = Zeroizing::new(format!("{}{}", *self.key, self.chain));
        write(&draft, both.as_bytes(), 0o600)?;
        if let Err(fault) = load(&draft) {
            // The next order replaces it if it stays.
            let _ = fs::remove_file(&draft);
            return Err(fault.into());
        }
        let renamed = fs::rename(&draft, &kept).and_then(|()| sync_folder_of(&kept));
        renamed.map_err(|source| IssuedPairError::File { path: kept, source })?;
        self.write_files(files)
    }

    fn write_files(&self, files: &KeyPairFiles) -> Result<(), IssuedPairError> {
        // The key precedes the certificate, because the watch of the files takes over a certificate with the key that fits.
        write(&files.key, self.key.as_bytes(), 0o600)?;
        write(&files.cert, self.chain.as_bytes(), 0o644)
    }
}

/// Writes the files of the listener again if they do not fit and an issued pair is kept. Returns whether it did.
pub fn complete(data_dir: &Path, files: &KeyPairFiles) -> Result<bool, IssuedPairError> {
    let kept = data_dir.join(NAME);
    if files.load().is_ok() || load(&kept).is_err() {
        return Ok(false);
    }
    let text = fs::read_to_string(&kept).map(Zeroizing::new);
    let text = text.map_err(|source| IssuedPairError::File { path: kept, source })?;
    let place = text.find(CERTIFICATE).unwrap_or(text.len());
    let (key, chain) = (Zeroizing::new(text[..place].to_owned()), text[place..].to_owned());
    IssuedPair { key, chain }.write_files(files)?;
    Ok(true)
}

fn load(both: &Path) -> Result<(), KeyPairError> {
    KeyPairFiles { cert: both.to_owned(), key: both.to_owned() }.load().map(|_| ())
}

fn write(path: &Path, text: &[u8], mode: u32) -> Result<(), IssuedPairError> {
    let failed = |source| IssuedPairError::File { path: path.to_owned(), source };
    new_file::write(path, text, mode, ExistingFile::Replace).map_err(failed)
}

#[cfg(test)]
mod tests {
    use rcgen::generate_simple_self_signed;

    use super::*;

    fn pair(name: &str) -> IssuedPair {
        let made = generate_simple_self_signed([name.to_owned()]).expect("a certificate");
        IssuedPair { key: Zeroizing::new(made.signing_key.serialize_pem()), chain: made.cert.pem() }
    }

    fn names(files: &KeyPairFiles) -> String {
        files.load().expect("they fit").certificate.names_text()
    }

    #[test]
    fn interrupted_replacement_is_completed() {
        let folder = tempfile::tempdir().expect("a folder");
        let files = KeyPairFiles { cert: folder.path().join("cert.pem"), key: folder.path().join("key.pem") };
        assert!(!complete(folder.path(), &files).expect("nothing is kept"));
        pair("one.example").write(folder.path(), &files).expect("written");
        let old = fs::read(&files.cert).expect("there");
        pair("two.example").write(folder.path(), &files).expect("written");
        assert!(!complete(folder.path(), &files).expect("they fit"));
        // The crash came between the key and the certificate.
        fs::write(&files.cert, old).expect("written");
        assert!(files.load().is_err());
        assert!(complete(folder.path(), &files).expect("completed"));
        assert_eq!(names(&files), "two.example");
        for lost in [&files.cert, &files.key] {
            fs::remove_file(lost).expect("there");
            assert!(complete(folder.path(), &files).expect("completed"));
            assert_eq!(names(&files), "two.example");
        }
    }

    #[test]
    fn unfit_pair_changes_no_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let files = KeyPairFiles { cert: folder.path().join("cert.pem"), key: folder.path().join("key.pem") };
        pair("one.example").write(folder.path(), &files).expect("written");
        for chain in [pair("two.example").chain, String::new(), "no PEM".to_owned()] {
            let unfit = IssuedPair { chain, ..pair("two.example") };
            assert!(matches!(unfit.write(folder.path(), &files), Err(IssuedPairError::Unusable(_))));
            fs::remove_file(&files.cert).expect("there");
            assert!(complete(folder.path(), &files).expect("completed"));
            assert_eq!(names(&files), "one.example");
        }
    }
}
