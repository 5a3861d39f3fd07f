//! Calls of one listener of a gateway over HTTP, whichever API it serves.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::{Client, Method};
use serde_json::Value;

/// Longer than the gateway holds a read of the feed.
const CALL_TIMEOUT: Duration = Duration::from_secs(75);

/// A client of one listener, with connections of its own. Tests call operators' and peers' listeners with it; for the
/// messenger's listener there is [`MessengerClient`](crate::clients::messenger_client::MessengerClient).
#[derive(Debug, Clone)]
pub struct HttpCaller {
    client: Client,
    base: String,
    token: Option<String>,
}

impl HttpCaller {
    /// Returns a client without a token.
    pub fn at(listener: SocketAddr) -> Self {
        let client = Client::builder().no_proxy().timeout(CALL_TIMEOUT).build().expect("a client");
        Self { client, base: format!("http://{listener}"), token: None }
    }

    /// Returns a client by TLS that accepts any certificate.
    pub fn by_tls(listener: SocketAddr) -> Self {
        let client = Client::builder().no_proxy().tls_danger_accept_invalid_certs(true).build().expect("a client");
        Self { client, base: format!("https://{listener}"), token: None }
    }

    /// Adds an `Authorization` header.
    #[must_use]
    pub fn authorized(mut self, header: &str) -> Self {
        self.token = Some(header.to_owned());
        self
    }

    /// Sends a request; returns status and JSON of the response, null without a body.
    pub async fn call(&self, method: Method, path: &str, body: &str) -> reqwest::Result<(u16, Value)> {
        let mut request = self.client.request(method, format!("{}{path}", self.base)).body(body.to_owned());
        if let Some(token) = &self.token {
            request = request.header("Authorization", token);
        }
        let answer = request.send().await?;
        let status = answer.status().as_u16();
        let body = answer.bytes().await?;
        let json =
            if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).expect("an answer is JSON") };
        Ok((status, json))
    }

    /// Sends a request that has to be answered with this status, and returns the JSON of the response.
    pub async fn call_expecting(&self, expected: u16, method: Method, path: &str, body: &str) -> Value {
        let (status, json) = self.call(method, path, body).await.expect("an answer");
        assert_eq!(status, expected, "{path}: {json}");
        json
    }

    /// Sends a GET that has to succeed.
    pub async fn get(&self, path: &str) -> Value {
        self.call_expecting(200, Method::GET, path, "").await
    }
}
