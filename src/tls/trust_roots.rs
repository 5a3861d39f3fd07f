//! Roots that chains of certificates must end at.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, TrustAnchor};

/// The certificates of the authorities that are trusted for one purpose.
#[derive(Debug, Clone)]
pub struct TrustRoots(Arc<RootCertStore>);

/// Error: roots cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TrustRootsError {
    /// The file cannot be read or holds no PEM.
    #[error("{} cannot be read: {source}", .path.display())]
    File {
        /// Path of the file.
        path: PathBuf,
        /// Error of the reader.
        source: rustls::pki_types::pem::Error,
    },
    /// The file holds no certificate.
    #[error("{} holds no certificate", .0.display())]
    Empty(PathBuf),
    /// A certificate of the file is no root.
    #[error("certificate {nth} of {} cannot be a root: {source}", .path.display())]
    NotRoot {
        /// Path of the file.
        path: PathBuf,
        /// Position in the file, from 1.
        nth: usize,
        /// Error of the library.
        source: rustls::Error,
    },
}

impl TrustRoots {
    /// Reads the certificates of these PEM files.
    pub fn from_files<P: AsRef<Path>>(files: &[P]) -> Result<Self, TrustRootsError> {
        let mut roots = RootCertStore::empty();
        for file in files {
            let path = file.as_ref();
            let unreadable = |source| TrustRootsError::File { path: path.to_owned(), source };
            let certificates = CertificateDer::pem_file_iter(path).map_err(unreadable)?;
            let mut count = 0;
            for certificate in certificates {
                count += 1;
                let added = roots.add(certificate.map_err(unreadable)?);
                added.map_err(|source| TrustRootsError::NotRoot { path: path.to_owned(), nth: count, source })?;
            }
            if count == 0 {
                return Err(TrustRootsError::Empty(path.to_owned()));
            }
        }
        Ok(Self(Arc::new(roots)))
    }

    /// Returns the roots of the system. Those that the library cannot parse are left out; there may be none at all.
    pub fn of_system() -> Self {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Self(Arc::new(roots))
    }

    /// Returns roots that nothing chains to.
    pub fn none() -> Self {
        Self(Arc::new(RootCertStore::empty()))
    }

    /// Returns whether both hold the same roots in the same order.
    pub fn same(&self, other: &Self) -> bool {
        self.0.roots == other.0.roots
    }

    /// Returns whether these are clones of one another.
    pub fn is_clone_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Returns the roots as the library takes them.
    pub fn anchors(&self) -> &[TrustAnchor<'static>] {
        &self.0.roots
    }
}
