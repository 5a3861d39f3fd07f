//! A certificate to begin with, until the authority has issued one: nobody trusts it, and the listener can be served.

use rcgen::{CertificateParams, KeyPair};
use zeroize::Zeroizing;

use crate::runtime::new_file::{self, ExistingFile};
use crate::tls::key_pair::KeyPairFiles;

/// Error: the certificate cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum FirstCertificateError {
    /// The library cannot make it, because of a name.
    #[error("a first certificate cannot be made: {0}")]
    Library(#[from] rcgen::Error),
    /// A file or its folder cannot be written.
    #[error("{}: {source}; it must be a file that this user may write", .path.display())]
    File {
        /// Path of the file.
        path: std::path::PathBuf,
        /// Error of the system.
        source: std::io::Error,
    },
}

/// Writes a self-signed certificate for these names and its key, if neither file exists. Returns whether it did.
pub fn make_if_missing(files: &KeyPairFiles, names: &[String]) -> Result<bool, FirstCertificateError> {
    if files.cert.exists() || files.key.exists() {
        return Ok(false);
    }
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new(names)?.self_signed(&key)?;
    let key = Zeroizing::new(key.serialize_pem());
    for (path, text, mode) in [(&files.key, key.as_bytes(), 0o600), (&files.cert, certificate.pem().as_bytes(), 0o644)]
    {
        let failed = |source| FirstCertificateError::File { path: path.clone(), source };
        if let Some(folder) = path.parent() {
            new_file::make_folder(folder, 0o755).map_err(failed)?;
        }
        new_file::write(path, text, mode, ExistingFile::Keep).map_err(failed)?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_certificate_replaces_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let files = KeyPairFiles { cert: folder.path().join("tls/cert.pem"), key: folder.path().join("tls/key.pem") };
        let names = ["red.example".to_owned()];
        assert!(make_if_missing(&files, &names).expect("made"));
        let pair = files.load().expect("they fit");
        assert!(pair.certificate.covers("red.example") && pair.certificate.is_self_signed());
        assert!(!make_if_missing(&files, &names).expect("there"));
        std::fs::remove_file(&files.key).expect("there");
        assert!(!make_if_missing(&files, &names).expect("the certificate is the operator's"));
    }
}
