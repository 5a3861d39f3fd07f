//! HTTP to the authority: bounded, without redirects and without a proxy.

use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::http::{Request, Response};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use reqwest::redirect::Policy;

use crate::runtime::plain_client;
use crate::tls::client_config::rooted_client;
use crate::tls::trust_roots::{TrustRoots, TrustRootsError};

/// Maximum time of one request.
const REQUEST_TIME: Duration = Duration::from_secs(30);

/// Maximum bytes of an answer: a chain of certificates is a few kilobytes.
const ANSWER_MAX: usize = 1 << 20;

/// The client of one account.
pub(super) struct DirectoryClient(reqwest::Client);

/// Error: the client cannot be set up.
#[derive(Debug, thiserror::Error)]
pub(super) enum DirectoryClientError {
    /// The roots cannot be read.
    #[error("federation.acme.roots: {0}")]
    Roots(#[from] TrustRootsError),
    /// TLS cannot be set up.
    #[error("TLS to the authority cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// The HTTP library refuses its options.
    #[error("HTTP to the authority cannot be set up: {0}")]
    Http(#[from] reqwest::Error),
}

impl DirectoryClient {
    /// Returns a client that accepts servers under these roots; without files, under those of the system.
    pub(super) fn new(roots: &[PathBuf]) -> Result<Self, DirectoryClientError> {
        let roots = if roots.is_empty() { TrustRoots::of_system() } else { TrustRoots::from_files(roots)? };
        let client = plain_client::builder().redirect(Policy::none()).timeout(REQUEST_TIME);
        Ok(Self(client.tls_backend_preconfigured(rooted_client(&roots)?).build()?))
    }
}

impl HttpClient for DirectoryClient {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let client = self.0.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let Ok(body) = body.collect().await;
            let body = body.to_bytes();
            let request = client.request(parts.method, parts.uri.to_string()).headers(parts.headers).body(body);
            let mut answer = request.send().await.map_err(|error| with_causes(&error))?;
            let mut content = BytesMut::new();
            while let Some(part) = answer.chunk().await.map_err(|error| with_causes(&error))? {
                if content.len() + part.len() > ANSWER_MAX {
                    return Err(Error::Other(format!("an answer is larger than {ANSWER_MAX} bytes").into()));
                }
                content.extend_from_slice(&part);
            }
            let mut response = Response::new(Full::new(content.freeze()));
            *response.status_mut() = answer.status();
            *response.headers_mut() = std::mem::take(answer.headers_mut());
            Ok(BytesResponse::from(response))
        })
    }
}

/// Returns an error that tells its causes: the HTTP library's own words are only that a request failed.
fn with_causes(error: &dyn std::error::Error) -> Error {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words = format!("{words}: {error}");
        cause = error.source();
    }
    Error::Other(words.into())
}
