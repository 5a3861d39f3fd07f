//! TLS with mutual authentication between the two relays: both sides show a certificate of the same authority.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::io::{Error, Result};
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// The two roles of a server with one certificate.
#[derive(Clone)]
pub struct TlsIdentity {
    /// Accepts connections of callers that have a certificate.
    pub acceptor: TlsAcceptor,
    /// Opens connections and shows the certificate.
    pub connector: TlsConnector,
}

impl std::fmt::Debug for TlsIdentity {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("TlsIdentity").finish_non_exhaustive()
    }
}

impl TlsIdentity {
    /// Reads `NAME.pem`, `NAME.key` and `ca.pem` from `folder`.
    ///
    /// # Errors
    /// Fails when a file is missing, or is not what its name says.
    pub fn read(folder: &Path, name: &str) -> Result<TlsIdentity> {
        let chain = certificates(&folder.join(format!("{name}.pem")))?;
        let key = folder.join(format!("{name}.key"));
        let key = || PrivateKeyDer::from_pem_file(&key).map_err(|error| wrong(&key, &error));
        let mut roots = RootCertStore::empty();
        for root in certificates(&folder.join("ca.pem"))? {
            roots.add(root).map_err(Error::other)?;
        }
        let roots = Arc::new(roots);
        let verifier = WebPkiClientVerifier::builder(roots.clone()).build().map_err(Error::other)?;
        let server = ServerConfig::builder().with_client_cert_verifier(verifier);
        let server = server.with_single_cert(chain.clone(), key()?).map_err(Error::other)?;
        let client = ClientConfig::builder().with_root_certificates(roots);
        let client = client.with_client_auth_cert(chain, key()?).map_err(Error::other)?;
        Ok(TlsIdentity { acceptor: Arc::new(server).into(), connector: Arc::new(client).into() })
    }
}

/// The name that a server's certificate must cover.
///
/// # Errors
/// Fails when `name` is no host name.
pub fn server_name(name: &str) -> Result<ServerName<'static>> {
    ServerName::try_from(name.to_owned()).map_err(Error::other)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(path).map_err(|error| wrong(path, &error))?;
    read.collect::<std::result::Result<_, _>>().map_err(|error| wrong(path, &error))
}

fn wrong(path: &Path, error: &rustls::pki_types::pem::Error) -> Error {
    Error::other(format!("{}: {error}", path.display()))
}
