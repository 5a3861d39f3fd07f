//! Signatures over requests: making one, and judging one; see `docs/protocol.md#signatures`.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::identity::content_digest::{CONTENT_DIGEST, ContentDigestError, content_digest};
use crate::identity::key_id::KeyName;
use crate::identity::public_key::PublicKey;
use crate::identity::signature_base::{SignedParts, signature_base};
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
    message: &SignedParts<'_>,
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
    let with_digest = SignedParts { headers: &[(CONTENT_DIGEST, &digest)], ..*message };
    let base = signature_base(&stated, &with_digest).expect("the digest is the only header that it covers");
    let signature = signature_value(&key.sign(base.as_bytes()));
    SignatureHeaders { signature_input: format!("{LABEL}={}", stated.params), content_digest: digest, signature }
}

/// Checks that the request is for this server: the authority is our name. The port of our listener may be added to a name without a
/// port, and left out of one with this port.
pub fn check_target(message: &SignedParts<'_>, us: &ServerName, port: Option<u16>) -> Result<(), SignatureError> {
    let (authority, ours) = (message.authority, us.as_str());
    let is = |name: &str| authority.eq_ignore_ascii_case(name);
    let is_for_us = is(ours)
        || port.is_some_and(|port| match own_port(ours) {
            Some((host, own)) => own == port && is(host),
            None => is(&format!("{ours}:{port}")),
        });
    if is_for_us {
        return Ok(());
    }
    let shown = authority.chars().take(AUTHORITY_SHOWN).collect();
    Err(SignatureError::WrongTarget { authority: shown, server: us.clone() })
}

/// Characters of a foreign authority that are shown.
const AUTHORITY_SHOWN: usize = 80;

/// Returns host and port of a server name with a port. The colons of an IPv6 address stand in brackets.
fn own_port(name: &str) -> Option<(&str, u16)> {
    let (host, port) = name.rsplit_once(':')?;
    Some((host, port.parse().ok()?))
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

/// Returns whether the signature is that of this request under this key. The digest of the body is another check.
pub fn is_signature_of(signature: &StatedSignature, message: &SignedParts<'_>, key: &PublicKey) -> bool {
    signature_base(signature, message).is_some_and(|base| key.verifies(base.as_bytes(), &signature.bytes))
}

#[cfg(test)]
mod tests;
