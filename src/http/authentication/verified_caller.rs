//! A caller that is authenticated, with the kind of its proof.

use actors::model::{ServerName, UsedNonce};

/// Value for a proof by address, as the messenger sees it.
pub const PROVED_BY_NETWORK: &str = "network";

/// Value for a proof by signature, as the messenger sees it.
pub const PROVED_BY_SIGNATURE: &str = "signature";

/// Value for a proof by client certificate, as the messenger sees it.
pub const PROVED_BY_CERTIFICATE: &str = "mtls";

/// A caller that is authenticated and authorized.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedCaller {
    /// Name of the caller.
    pub server: ServerName,
    /// Kind of proof, as the messenger sees it.
    pub proof: &'static str,
    /// Nonce of the request's signature, if it has one.
    pub nonce: Option<UsedNonce>,
}
