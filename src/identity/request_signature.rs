//! Signatures over requests: making one, and judging one; see `docs/protocol.md#signatures`.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::identity::content_digest::{CONTENT_DIGEST, ContentDigestError, check_content_digest, content_digest};
use crate::identity::key_id::KeyName;
use crate::identity::public_key::PublicKey;
use crate::identity::signature_base::{SignedMessage, signature_base};
use crate::identity::signature_fields::{LABEL, REQUIRED, StatedSignature, signature_value};
use crate::identity::signing_key::OwnKey;
use actors::model::ServerName;

/// Longest time between the creation of a signature and its arrival, in both directions.
pub const CREATED_WITHIN: Duration = Duration::from_secs(300);

/// Number of random bytes in a nonce.
pub const NONCE_BYTES: usize = 18;

/// Error: a signature proves nothing. The variants stand in the order in which they are checked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The request was made for another server.
    #[error("the request is signed for {authority}, and this server is {server}")]
    WrongTarget {
        /// Authority that the request names.
        authority: String,
        /// Our name.
        server: ServerName,
    },
    /// The signature was made too long ago, or is over.
    #[error("the signature is too old: the caller's clock is {} ms behind ours, or the request was late", -.skew_ms)]
    TooOld {
        /// Time of the caller's clock less ours, in milliseconds.
        skew_ms: i64,
    },
    /// The signature was made in the future.
    #[error("the signature is too new: the caller's clock is {skew_ms} ms ahead of ours")]
    TooNew {
        /// Time of the caller's clock less ours, in milliseconds.
        skew_ms: i64,
    },
    /// The digest does not fit the body.
    #[error(transparent)]
    Digest(#[from] ContentDigestError),
    /// The signature is not that of the request.
    #[error("the signature is not that of this request under {0}")]
    BadSignature(KeyName),
}

/// The headers that a signature adds to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureHeaders {
    /// Value of `Content-Digest`.
    pub content_digest: String,
    /// Value of `Signature-Input`.
    pub signature_input: String,
    /// Value of `Signature`.
    pub signature: String,
}

/// Signs a request to a peer. `message` needs no headers: the signature covers only those that it adds.
pub fn sign_request(
    key: &OwnKey,
    us: &ServerName,
    message: &dyn SignedMessage,
    body: &[u8],
    now_secs: i64,
    nonce: [u8; NONCE_BYTES],
) -> SignatureHeaders {
    let name = KeyName { server: us.clone(), id: key.id().clone() };
    let nonce = URL_SAFE_NO_PAD.encode(nonce);
    let covered = REQUIRED.map(|name| format!("\"{name}\"")).join(" ");
    let params = format!("({covered});created={now_secs};keyid=\"{name}\";alg=\"ed25519\";nonce=\"{nonce}\"");
    let digest = content_digest(body);
    let stated = StatedSignature {
        components: REQUIRED.map(str::to_owned).to_vec(),
        key: name,
        created: now_secs,
        expires: None,
        nonce,
        params,
        bytes: [0; 64],
    };
    let with_digest = WithDigest { message, digest: &digest };
    let base = signature_base(&stated, &with_digest).expect("the digest is the only header that it covers");
    let signature = signature_value(&key.sign(base.as_bytes()));
    SignatureHeaders { signature_input: format!("{LABEL}={}", stated.params), content_digest: digest, signature }
}

/// A request with the digest of its body.
struct WithDigest<'a> {
    message: &'a dyn SignedMessage,
    digest: &'a str,
}

impl SignedMessage for WithDigest<'_> {
    fn method(&self) -> &str {
        self.message.method()
    }

    fn scheme(&self) -> &str {
        self.message.scheme()
    }

    fn authority(&self) -> &str {
        self.message.authority()
    }

    fn target(&self) -> &str {
        self.message.target()
    }

    fn header(&self, name: &str) -> Vec<&str> {
        if name == CONTENT_DIGEST { vec![self.digest] } else { self.message.header(name) }
    }
}

/// Checks that the request is for this server: the authority is our name, with or without the port of our listener.
pub fn check_target(message: &dyn SignedMessage, us: &ServerName, port: Option<u16>) -> Result<(), SignatureError> {
    let authority = message.authority();
    let ours = us.as_str();
    let with_port = |port: u16| authority.strip_suffix(&format!(":{port}"));
    let is_ours = |name: &str| name.eq_ignore_ascii_case(ours);
    let without_own = ours.rsplit_once(':').map(|(host, _)| host);
    let is_for_us = is_ours(authority)
        || port.and_then(with_port).is_some_and(is_ours)
        || without_own.is_some_and(|host| authority.eq_ignore_ascii_case(host));
    match is_for_us {
        true => Ok(()),
        false => Err(SignatureError::WrongTarget { authority: authority.to_owned(), server: us.clone() }),
    }
}

/// Checks the times of a signature against our clock.
pub fn check_times(signature: &StatedSignature, now_ms: i64) -> Result<(), SignatureError> {
    let within = i64::try_from(CREATED_WITHIN.as_millis()).expect("five minutes");
    let skew_ms = signature.created.saturating_mul(1000).saturating_sub(now_ms);
    let is_over = signature.expires.is_some_and(|expires| expires.saturating_mul(1000) <= now_ms);
    match () {
        () if skew_ms < -within || is_over => Err(SignatureError::TooOld { skew_ms }),
        () if skew_ms > within => Err(SignatureError::TooNew { skew_ms }),
        () => Ok(()),
    }
}

/// Checks that the signature is that of this request with this body, under this key.
pub fn check_request(
    signature: &StatedSignature,
    message: &dyn SignedMessage,
    body: &[u8],
    key: &PublicKey,
) -> Result<(), SignatureError> {
    check_content_digest(&message.header(CONTENT_DIGEST).join(", "), body)?;
    let bad = || SignatureError::BadSignature(signature.key.clone());
    let base = signature_base(signature, message).ok_or_else(bad)?;
    if key.verifies(base.as_bytes(), &signature.bytes) { Ok(()) } else { Err(bad()) }
}

#[cfg(test)]
mod tests;
