//! The reasons for which a certificate proves nothing.

use actors::model::Millis;

/// Error: a certificate does not prove what it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateFault {
    /// The certificate cannot be parsed.
    #[error("the certificate cannot be read: {0}")]
    Unreadable(String),
    /// The certificate may sign others.
    #[error("the certificate is that of a CA (CA:TRUE), and a CA is no server")]
    IsCa,
    /// The certificate has ended.
    #[error("the certificate ended on {}", date(.0))]
    Expired(Millis),
    /// The certificate begins in the future.
    #[error("the certificate is valid from {} on", date(.0))]
    NotYetValid(Millis),
    /// The extended key usage excludes this role.
    #[error("the certificate's extended key usage does not allow this role")]
    WrongPurpose,
    /// The chain does not end at a root that is trusted here.
    #[error("the certificate does not chain to a trusted root: {0}")]
    UnknownIssuer(String),
    /// The public key is none of the pinned ones.
    #[error("the certificate's public key {0} is none of the pinned ones")]
    NotPinned(String),
    /// The certificate names other servers.
    #[error("the certificate names {found}, not {expected}")]
    WrongName {
        /// Name that was expected.
        expected: String,
        /// Names in the certificate.
        found: String,
    },
}

impl CertificateFault {
    /// Returns the code of the fault, as refusals and traces show it.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "CERTIFICATE_UNREADABLE",
            Self::IsCa => "CERTIFICATE_IS_A_CA",
            Self::Expired(_) => "CERTIFICATE_EXPIRED",
            Self::NotYetValid(_) => "CERTIFICATE_NOT_YET_VALID",
            Self::WrongPurpose => "CERTIFICATE_WRONG_PURPOSE",
            Self::UnknownIssuer(_) => "CERTIFICATE_UNKNOWN_ISSUER",
            Self::NotPinned(_) => "CERTIFICATE_NOT_PINNED",
            Self::WrongName { .. } => "CERTIFICATE_WRONG_NAME",
        }
    }
}

/// Returns a time as RFC 3339.
fn date(at: &Millis) -> String {
    let since = std::time::Duration::from_millis(at.0);
    humantime::format_rfc3339_seconds(std::time::UNIX_EPOCH + since).to_string()
}
