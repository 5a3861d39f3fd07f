//! Writes requests to peers: the server name is the host, whatever address the request is sent to.

use actors::model::ServerName;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue, USER_AGENT};
use hyper::http::uri::{Parts, PathAndQuery, Scheme};
use hyper::{Method, Request, Uri};

use crate::egress::http_connection::PeerRequest;
use crate::egress::signer::RequestSigner;
use crate::egress::{EgressMethod, EgressRequest};
use crate::identity::content_digest::CONTENT_DIGEST;
use crate::identity::request_signature::SignatureHeaders;
use crate::identity::signature_base::SignedParts;
use crate::identity::signature_fields::{SIGNATURE, SIGNATURE_INPUT};
use crate::telemetry::spans::write_trace;

const ORIGIN: &str = "fernpost-origin";
const AGENT: &str = concat!("fernpost/", env!("CARGO_PKG_VERSION"));

/// The scheme in a signature. A receiver takes it also where its listener has no TLS, because a proxy may end it.
const SIGNED_SCHEME: &str = "https";

/// Writes the requests of this server.
pub(super) struct RequestWriter {
    us: HeaderValue,
    signer: Option<RequestSigner>,
}

impl RequestWriter {
    /// Returns a writer for the server `us`, which signs nothing.
    pub(super) fn new(us: &ServerName) -> Self {
        Self { us: HeaderValue::from_str(us.as_str()).expect("a server name is visible ASCII"), signer: None }
    }

    /// Signs the requests to peers that authenticate us by signature.
    pub(super) fn signed_by(self, signer: RequestSigner) -> Self {
        Self { signer: Some(signer), ..self }
    }

    /// Returns a request as it is sent.
    pub(super) fn written(&self, to: &ServerName, target: PathAndQuery, request: &EgressRequest) -> PeerRequest {
        let mut uri = Parts::default();
        uri.scheme = Some(Scheme::HTTPS);
        uri.authority = Some(to.as_str().parse().expect("a server name is an authority"));
        uri.path_and_query = Some(target);
        let mut written = Request::new(Full::new(request.body.clone()));
        *written.uri_mut() = Uri::from_parts(uri).expect("all parts are there");
        *written.method_mut() = match request.method {
            EgressMethod::Get => Method::GET,
            EgressMethod::Post => Method::POST,
            EgressMethod::Put => Method::PUT,
        };
        let headers = written.headers_mut();
        headers.insert(HOST, HeaderValue::from_str(to.as_str()).expect("a server name is visible ASCII"));
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        headers.insert(HeaderName::from_static(ORIGIN), self.us.clone());
        if request.method != EgressMethod::Get {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(request.content_type));
        }
        write_trace(headers);
        for (name, value) in self.signature(to, request).iter().flat_map(header_lines) {
            let value = HeaderValue::from_str(value).expect("a signature is visible ASCII");
            headers.insert(HeaderName::from_static(name), value);
        }
        written
    }

    /// Returns the headers of a GET that is written by hand, each with its line end.
    pub(super) fn header_text(&self, to: &ServerName, request: &EgressRequest) -> String {
        let us = self.us.to_str().unwrap_or_default();
        let mut headers = format!("Host: {to}\r\nUser-Agent: {AGENT}\r\n{ORIGIN}: {us}\r\n");
        for (name, value) in self.signature(to, request).iter().flat_map(header_lines) {
            headers.push_str(&format!("{name}: {value}\r\n"));
        }
        headers
    }

    /// Returns the signature of a request, if requests to the peer are signed.
    fn signature(&self, to: &ServerName, request: &EgressRequest) -> Option<SignatureHeaders> {
        let (method, body) = match request.method {
            EgressMethod::Get => ("GET", &[][..]),
            EgressMethod::Post => ("POST", &request.body[..]),
            EgressMethod::Put => ("PUT", &request.body[..]),
        };
        let (scheme, authority, target) = (SIGNED_SCHEME, to.as_str(), &*request.path);
        self.signer.as_ref()?.sign(to, &SignedParts { method, scheme, authority, target, headers: &[] }, body)
    }
}

/// Returns the target of a request line, if the library writes it as it stands. It would end at a `#`.
pub(super) fn written_target(path: &str) -> Option<PathAndQuery> {
    let target = PathAndQuery::try_from(path).ok()?;
    (path.bytes().all(|byte| byte.is_ascii_graphic()) && target.as_str() == path).then_some(target)
}

/// Returns the lines of a signature.
fn header_lines(signature: &SignatureHeaders) -> [(&'static str, &str); 3] {
    [
        (CONTENT_DIGEST, &signature.content_digest),
        (SIGNATURE_INPUT, &signature.signature_input),
        (SIGNATURE, &signature.signature),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_is_written_verbatim_only() {
        for path in ["/a/%23b/?v=1%2C2&limit=3", "/a/../b", "/pdu/green/plain/", "/a//b", "/"] {
            assert_eq!(written_target(path).as_ref().map(PathAndQuery::as_str), Some(path));
        }
        for path in ["/a/#b", "/a b", "/\u{e9}", "/a\r\nX: y", "/\t", ""] {
            assert_eq!(written_target(path), None, "{path:?}");
        }
    }
}
