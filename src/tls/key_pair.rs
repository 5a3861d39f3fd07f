//! Our own certificate with its private key, from two PEM files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::InconsistentKeys;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use rustls::sign::CertifiedKey;
use zeroize::{Zeroize, Zeroizing};

use crate::tls::certificate::PresentedCertificate;
use crate::tls::certificate_fault::CertificateFault;

/// The files of a certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPairFiles {
    /// PEM file with the certificate first, and those between it and a root after it.
    pub cert: PathBuf,
    /// PEM file with the private key: PKCS #8, PKCS #1 or SEC 1.
    pub key: PathBuf,
}

/// A certificate whose key fits.
#[derive(Debug, Clone)]
pub struct TlsKeyPair {
    /// Chain and key as the library takes them.
    pub certified: Arc<CertifiedKey>,
    /// The facts of the certificate.
    pub certificate: PresentedCertificate,
}

/// Error: a pair cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyPairError {
    /// A file cannot be read, or is no PEM of this kind.
    #[error("{} cannot be read: {source}", .path.display())]
    File {
        /// Path of the file.
        path: PathBuf,
        /// Error of the reader.
        source: pem::Error,
    },
    /// The certificate file holds no certificate.
    #[error("{} holds no certificate", .0.display())]
    NoCertificate(PathBuf),
    /// The certificate cannot be parsed.
    #[error("{}: {fault}", .path.display())]
    Certificate {
        /// Path of the file.
        path: PathBuf,
        /// The fault of the certificate.
        fault: CertificateFault,
    },
    /// The key is not the certificate's.
    #[error("{} and {} do not belong together: {source}", .files.cert.display(), .files.key.display())]
    Mismatch {
        /// The two files.
        files: KeyPairFiles,
        /// Error of the library.
        source: rustls::Error,
    },
}

impl KeyPairFiles {
    /// Reads the pair and checks that the key is the certificate's.
    pub fn load(&self) -> Result<TlsKeyPair, KeyPairError> {
        let unreadable = |path: &Path, source| KeyPairError::File { path: path.to_owned(), source };
        let read = CertificateDer::pem_file_iter(&self.cert).map_err(|error| unreadable(&self.cert, error))?;
        let chain: Vec<_> = read.collect::<Result<_, _>>().map_err(|error| unreadable(&self.cert, error))?;
        if chain.is_empty() {
            return Err(KeyPairError::NoCertificate(self.cert.clone()));
        }
        let certificate = PresentedCertificate::parse(chain.clone())
            .map_err(|fault| KeyPairError::Certificate { path: self.cert.clone(), fault })?;
        let text = std::fs::read(&self.key).map(Zeroizing::new);
        let text = text.map_err(|error| unreadable(&self.key, pem::Error::Io(error)))?;
        let mut der = PrivateKeyDer::from_pem_slice(&text).map_err(|error| unreadable(&self.key, error))?;
        // The library overwrites its own form of the key when it is dropped, but not the bytes that it is made of.
        let key = any_supported_type(&der);
        der.zeroize();
        let mismatch = |source| KeyPairError::Mismatch { files: self.clone(), source };
        let certified = CertifiedKey::new(chain, key.map_err(mismatch)?);
        match certified.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(source) => return Err(mismatch(source)),
        }
        Ok(TlsKeyPair { certified: Arc::new(certified), certificate })
    }

    /// Reads the first certificate alone, for those who may not read the key.
    pub fn load_certificate(&self) -> Result<CertificateDer<'static>, KeyPairError> {
        CertificateDer::from_pem_file(&self.cert)
            .map_err(|source| KeyPairError::File { path: self.cert.clone(), source })
    }
}
