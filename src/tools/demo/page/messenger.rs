//! Calls of a page server to the messenger API of its gateway.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{ACCEPT, HeaderValue};
use reqwest::{Client, Method, Response};

use crate::runtime::plain_client;
use crate::tools::demo::page::error::PageError;

/// Timeout of a call; a read of history may wait for other servers for 20 seconds.
const CALL: Duration = Duration::from_secs(30);

/// A client of the messenger API. Each worker has its own, because its connections belong to the worker's runtime.
#[derive(Debug, Clone)]
pub(super) struct PageMessenger {
    client: Client,
    url: String,
}

/// An answer of the gateway: its status and JSON.
pub(super) struct PassedAnswer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

impl From<PassedAnswer> for HttpResponse {
    /// Passes it on as it is.
    fn from(PassedAnswer { status, body }: PassedAnswer) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
        Self::build(status).content_type("application/json").body(body)
    }
}

impl PageMessenger {
    /// Returns a client for the API at `url`.
    pub(super) fn new(url: &str) -> Self {
        let client = plain_client::builder().build().expect("without TLS files nothing can fail");
        Self { client, url: url.to_owned() }
    }

    /// Makes a call.
    pub(super) async fn call(&self, method: Method, path: &str, body: Vec<u8>) -> Result<PassedAnswer, PageError> {
        let request = self.client.request(method, format!("{}/{path}", self.url)).timeout(CALL);
        let answer = request.body(body).send().await?;
        Ok(PassedAnswer { status: answer.status().as_u16(), body: answer.bytes().await?.into() })
    }

    /// Reads the answer to a GET; `None` if the gateway refuses it.
    pub(super) async fn get(&self, path: &str) -> Result<Option<Vec<u8>>, PageError> {
        let PassedAnswer { status, body } = self.call(Method::GET, path, vec![]).await?;
        Ok((status == 200).then_some(body))
    }

    /// Opens the stream of events after `last`, or after the acknowledged position.
    pub(super) async fn stream(&self, last: Option<HeaderValue>) -> Result<Response, PageError> {
        let mut request = self.client.get(format!("{}/events", self.url)).header(ACCEPT, "text/event-stream");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        Ok(request.send().await?.error_for_status()?)
    }
}

/// Encodes a name as one segment of a path.
pub(super) fn segment(name: &str) -> String {
    utf8_percent_encode(name, NON_ALPHANUMERIC).to_string()
}
