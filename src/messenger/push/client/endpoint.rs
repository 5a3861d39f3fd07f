//! The messenger's end: how it is reached, how it proves itself, and who signs.

use std::sync::Arc;
use std::time::Duration;

use hyper::header::HeaderValue;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use crate::messenger::push::client::connection::{DuplexStream, WebhookConnection};
use crate::messenger::push::fault::PushFault;
use crate::messenger::push::signature::WebhookSigner;
use crate::settings::{PushRoute, PushSettings, PushTarget};
use crate::tls::client_config::rooted_client;
use crate::tls::trust_roots::{TrustRoots, TrustRootsError};

/// Error: push mode cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum PushSetupError {
    /// The roots cannot be read.
    #[error("messenger.push.ca: {0}")]
    Roots(#[from] TrustRootsError),
    /// TLS cannot be set up.
    #[error("messenger.push.ca: {0}")]
    Tls(#[from] rustls::Error),
    /// No certificate can be for this host.
    #[error("messenger.push.url: no certificate can be for {0:?}")]
    Host(String),
}

/// The messenger's end. Clones share its keys.
#[derive(Clone)]
pub(crate) struct WebhookEndpoint {
    target: PushTarget,
    host: HeaderValue,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    signer: WebhookSigner,
    timeout: Duration,
    connect_timeout: Duration,
}

impl WebhookEndpoint {
    pub(crate) fn new(settings: &PushSettings) -> Result<Self, PushSetupError> {
        let (host, tls) = match &settings.target.route {
            PushRoute::Unix(_) => ("localhost", None),
            PushRoute::Tcp { authority, is_tls: false, .. } => (authority.as_str(), None),
            PushRoute::Tcp { host, authority, is_tls: true, .. } => {
                let name = ServerName::try_from(host.clone()).map_err(|_| PushSetupError::Host(host.clone()))?;
                (authority.as_str(), Some((Arc::new(client_config(settings)?), name)))
            }
        };
        let host = HeaderValue::try_from(host).map_err(|_| PushSetupError::Host(host.to_owned()))?;
        Ok(Self {
            target: settings.target.clone(),
            host,
            tls,
            signer: WebhookSigner::new(&settings.secrets),
            timeout: settings.timeout,
            connect_timeout: settings.connect_timeout,
        })
    }

    /// Returns the maximum time of a request.
    pub(super) const fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(super) fn prefix(&self) -> &str {
        &self.target.prefix
    }

    pub(super) const fn host(&self) -> &HeaderValue {
        &self.host
    }

    pub(super) const fn signer(&self) -> &WebhookSigner {
        &self.signer
    }

    /// Makes a connection.
    pub(super) async fn connect(&self, deadline: Instant) -> Result<WebhookConnection, PushFault> {
        let until = deadline.min(Instant::now() + self.connect_timeout);
        let connected = match timeout_at(until, self.stream()).await {
            Ok(Ok(stream)) => WebhookConnection::begin(stream).await,
            Ok(Err(words)) => Err(words),
            Err(_elapsed) => Err("no connection within messenger.push.connect_timeout".to_owned()),
        };
        connected.map_err(|words| {
            let words = format!("{} cannot be reached: {words}", self.target);
            PushFault::Unavailable { words, retry_after: None }
        })
    }

    /// Connects and closes the connection again; an error says why the messenger is not reached.
    pub(crate) async fn reach(&self) -> Result<(), String> {
        match timeout_at(Instant::now() + self.connect_timeout, self.stream()).await {
            Ok(connected) => connected.map(drop),
            Err(_elapsed) => Err("no connection within messenger.push.connect_timeout".to_owned()),
        }
    }

    async fn stream(&self) -> Result<Box<dyn DuplexStream>, String> {
        let (host, port) = match &self.target.route {
            PushRoute::Unix(path) => {
                let stream = UnixStream::connect(path).await.map_err(|error| error.to_string())?;
                return Ok(Box::new(stream));
            }
            PushRoute::Tcp { host, port, .. } => (host.as_str(), *port),
        };
        let mut failure = format!("{host} has no address");
        for address in lookup_host((host, port)).await.map_err(|error| error.to_string())? {
            match TcpStream::connect(address).await {
                Ok(stream) => return self.protected(stream).await,
                Err(error) => failure = error.to_string(),
            }
        }
        Err(failure)
    }

    /// Makes the TLS handshake, if the URL asks for it.
    async fn protected(&self, stream: TcpStream) -> Result<Box<dyn DuplexStream>, String> {
        // A batch and its answer are whole messages, so waiting for more bytes only delays them.
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        let Some((config, name)) = &self.tls else { return Ok(Box::new(stream)) };
        let handshake = TlsConnector::from(Arc::clone(config)).connect(name.clone(), stream).await;
        let stream = handshake.map_err(|error| format!("the TLS handshake failed: {error}"))?;
        Ok(Box::new(stream))
    }
}

fn client_config(settings: &PushSettings) -> Result<ClientConfig, PushSetupError> {
    let roots = match &settings.ca {
        Some(file) => TrustRoots::from_files(&[file])?,
        None => TrustRoots::of_system(),
    };
    let mut config = rooted_client(&roots)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
