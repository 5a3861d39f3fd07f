//! The reasons for which a gateway cannot start.

use std::path::PathBuf;

use actors::ports::ArchiveError;

use crate::http::listener::bind_advice;
use crate::identity::key_folder::KeyFolderError;
use crate::messenger::push::PushSetupError;
use crate::store::OpenError;
use crate::tls::acme::first_certificate::FirstCertificateError;
use crate::tls::acme::issued_pair::IssuedPairError;
use crate::tls::key_pair::KeyPairError;
use crate::tls::trust_roots::TrustRootsError;

/// Error: a gateway cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener's address is not available.
    #[error("{key} = {address}: {source}; {}", bind_advice::remedy(source))]
    Listen {
        /// Configuration key of the listener.
        key: &'static str,
        /// Address that the listener is bound to.
        address: String,
        /// Error of the system.
        source: std::io::Error,
    },
    /// The certificate of a listener cannot be used.
    #[error("{subject}: {source}")]
    Certificate {
        /// Configuration key of the certificate.
        subject: &'static str,
        /// The fault of its files.
        source: Box<KeyPairError>,
    },
    /// The first certificate of a listener cannot be made.
    #[error("federation.acme: {0}")]
    FirstCertificate(#[from] FirstCertificateError),
    /// The files of an issued certificate cannot be completed.
    #[error("federation.acme: {0}")]
    IssuedPair(#[from] IssuedPairError),
    /// The roots of client certificates cannot be read.
    #[error("federation.tls.client_ca: {0}")]
    Roots(Box<TrustRootsError>),
    /// TLS of a listener cannot be set up.
    #[error("{subject}: {source}")]
    Tls {
        /// Configuration key of the certificate.
        subject: &'static str,
        /// Error of the library.
        source: rustls::Error,
    },
    /// Push mode cannot be set up.
    #[error(transparent)]
    Push(#[from] PushSetupError),
    /// The export of traces cannot be set up.
    #[error("otlp: {0}")]
    Otlp(String),
    /// The data folder cannot be created.
    #[error("server.data_dir = {}: {source}; it must be a folder that this user may create and write", .path.display())]
    DataDir {
        /// Path of the folder.
        path: PathBuf,
        /// Error of the system.
        source: std::io::Error,
    },
    /// The signing keys cannot be used.
    #[error("the signing keys cannot be used: {0}")]
    Keys(#[from] KeyFolderError),
    /// The nonces of accepted signatures cannot be read.
    #[error("the nonces of accepted signatures cannot be read: {0}")]
    Nonces(ArchiveError),
    /// The log of deliveries cannot be started.
    #[error(
        "log.deliveries: {path} cannot be written: {source}; name a file that this user may write by log.deliveries_file"
    )]
    Deliveries {
        /// Output of the log.
        path: String,
        /// Error of the system.
        source: std::io::Error,
    },
    /// The threads of the store cannot be started.
    #[error("the threads of the store cannot start: {0}")]
    Threads(std::io::Error),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// A server cannot be started on its listener.
    #[error("a listener cannot be served: {0}")]
    Serve(std::io::Error),
    /// The core's thread ended before it started.
    #[error("the core did not start; see the log")]
    Core,
}

impl StartError {
    /// Returns whether the start was refused because others can read a secret.
    pub const fn is_open_secret(&self) -> bool {
        matches!(self, Self::Keys(KeyFolderError::OpenMode { .. } | KeyFolderError::OpenFolder { .. }))
    }
}
