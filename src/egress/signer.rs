//! Signs the requests to peers that authenticate us by signature.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use actors::model::ServerName;
use actors::ports::Clock;

use crate::identity::key_ring::LiveKeyRing;
use crate::identity::request_signature::{NONCE_BYTES, SignatureHeaders, sign_request};
use crate::identity::signature_base::SignedParts;

/// The peers whose requests are signed.
pub trait SignedPeers: Send + Sync + 'static {
    /// Returns whether requests to this server are signed.
    fn signs_to(&self, server: &ServerName) -> bool;
}

/// Signs requests with the key that is active.
pub struct RequestSigner {
    us: ServerName,
    keys: LiveKeyRing,
    peers: Arc<dyn SignedPeers>,
    clock: Arc<dyn Clock>,
}

impl RequestSigner {
    /// Returns a signer for the server `us`.
    pub fn new(
        us: ServerName,
        keys: impl Into<LiveKeyRing>,
        peers: Arc<dyn SignedPeers>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { us, keys: keys.into(), peers, clock }
    }

    /// Returns the headers that sign a request; `None`: requests to this peer are not signed. Each attempt is signed anew, because
    /// a nonce is used once.
    pub(crate) fn sign(&self, to: &ServerName, parts: &SignedParts<'_>, body: &[u8]) -> Option<SignatureHeaders> {
        if !self.peers.signs_to(to) {
            return None;
        }
        let now = self.clock.now();
        let keys = self.keys.current();
        let key = keys.active(UNIX_EPOCH + Duration::from_millis(now.0))?;
        let mut nonce = [0; NONCE_BYTES];
        // Without random bytes the request goes out unsigned; the peer refuses it, and its refusal is shown.
        getrandom::fill(&mut nonce).ok()?;
        let seconds = i64::try_from(now.0 / 1000).unwrap_or(i64::MAX);
        Some(sign_request(key, &self.us, parts, body, seconds, nonce))
    }
}
