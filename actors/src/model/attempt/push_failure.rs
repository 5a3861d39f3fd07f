//! The failures of requests to peers, and their codes for programs.

use std::fmt;
use std::time::Duration;

use crate::word_enum::word_enum;

word_enum! {
    /// The step at which no connection to a peer came about.
    pub enum ConnectCode {
        /// The name of the peer, or of a host that leads to it, does not exist or has no address.
        NameNotFound = "NAME_NOT_FOUND",
        /// A lookup got no usable answer, so that it is unknown whether the name exists.
        DnsFailed = "DNS_FAILED",
        /// The domain states that it does not offer the service of the dialect.
        ServiceNotOffered = "SERVICE_NOT_OFFERED",
        /// All addresses are in ranges that are not public and not allowed.
        AddressNotAllowed = "ADDRESS_NOT_ALLOWED",
        /// The addresses accept no connection.
        ConnectRefused = "CONNECT_REFUSED",
        /// No connection, with TLS where it is needed, was made in time.
        ConnectTimeout = "CONNECT_TIMEOUT",
        /// The TLS handshake failed, and not because of the certificate.
        TlsFailed = "TLS_FAILED",
        /// The certificate has expired.
        CertificateExpired = "CERTIFICATE_EXPIRED",
        /// The certificate is not valid yet.
        CertificateNotYetValid = "CERTIFICATE_NOT_YET_VALID",
        /// The certificate does not contain the name of the peer.
        CertificateWrongName = "CERTIFICATE_WRONG_NAME",
        /// No trusted CA has issued the certificate.
        CertificateUnknownIssuer = "CERTIFICATE_UNKNOWN_ISSUER",
        /// The certificate is that of a CA, which must not act as a server.
        CertificateIsACa = "CERTIFICATE_IS_A_CA",
        /// The certificate is not meant for servers.
        CertificateWrongPurpose = "CERTIFICATE_WRONG_PURPOSE",
        /// The key of the certificate is not one of those that are pinned for the peer.
        CertificateNotPinned = "CERTIFICATE_NOT_PINNED",
        /// The certificate cannot be parsed.
        CertificateUnreadable = "CERTIFICATE_UNREADABLE",
    }
}

/// The reason for which no connection to a peer came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreachedReason {
    /// The step that failed; `None` if the request did not come as far.
    pub code: Option<ConnectCode>,
    /// The reason, for people.
    pub words: String,
}

impl fmt::Display for UnreachedReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

impl From<&str> for UnreachedReason {
    fn from(words: &str) -> Self {
        Self { code: None, words: words.to_owned() }
    }
}

impl From<String> for UnreachedReason {
    fn from(words: String) -> Self {
        Self { code: None, words }
    }
}

/// A push without a usable response. Each variant is handled differently by the sender.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PushFailure {
    /// The connection failed or broke. The item is kept, because an unreachable peer says nothing about the item.
    #[error("unreachable: {0}")]
    Unreachable(UnreachedReason),
    /// A connection existed, but no readable response came: the connection broke, or the bytes are not HTTP. The item
    /// is kept, as for an unreachable peer.
    #[error("no answer: {0}")]
    Broken(String),
    /// No response came within the deadline.
    #[error("no answer within the deadline")]
    TimedOut,
    /// The peer failed (5xx), or it asks for time by status 429 instead of the dialect's `wait`.
    #[error("status {status}: {reason}")]
    Troubled {
        /// HTTP status of the response.
        status: u16,
        /// Start of the response body.
        reason: String,
        /// Value of `Retry-After`, if present.
        retry_after: Option<Duration>,
    },
    /// The peer refuses us or what we send (other 4xx).
    #[error("refused with status {status}: {reason}")]
    Refused {
        /// HTTP status of the response.
        status: u16,
        /// Start of the response body.
        reason: String,
    },
    /// The peer answered with a redirect, which is never followed: the place that it names was not configured by anybody. It
    /// counts like a failure of the peer.
    #[error("status {status}: redirects are not followed; set the address of the gateway itself")]
    Redirected {
        /// HTTP status of the response.
        status: u16,
    },
    /// The answer is larger than a limit, so that its rest was not read.
    #[error("the answer is larger than {limit} ({bytes_max} bytes)")]
    AnswerTooLarge {
        /// Configuration key of the limit, or what the limit is about.
        limit: &'static str,
        /// The limit in bytes.
        bytes_max: usize,
    },
    /// The peer answered 200 with a body that is not a valid response.
    #[error("unreadable answer: {0}")]
    Unreadable(String),
}

/// The code of a failure, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureCode {
    /// No connection came about.
    Connect(ConnectCode),
    /// The answer was a redirect.
    Redirected,
    /// The answer was larger than a limit.
    AnswerTooLarge,
    /// No answer came within the deadline.
    Timeout,
    /// The answer had this status.
    Http(u16),
}

const REDIRECTED: &str = "REDIRECTED";
const ANSWER_TOO_LARGE: &str = "ANSWER_TOO_LARGE";
const TIMEOUT: &str = "TIMEOUT";
const HTTP: &str = "HTTP_";

impl fmt::Display for FailureCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(code) => f.write_str(code.as_str()),
            Self::Redirected => f.write_str(REDIRECTED),
            Self::AnswerTooLarge => f.write_str(ANSWER_TOO_LARGE),
            Self::Timeout => f.write_str(TIMEOUT),
            Self::Http(status) => write!(f, "{HTTP}{status}"),
        }
    }
}

impl FailureCode {
    /// Reads a code as it is printed; `None`: the text is none.
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            REDIRECTED => Some(Self::Redirected),
            ANSWER_TOO_LARGE => Some(Self::AnswerTooLarge),
            TIMEOUT => Some(Self::Timeout),
            word => match word.strip_prefix(HTTP) {
                Some(status) => status.parse().ok().map(Self::Http),
                None => ConnectCode::from_word(word).map(Self::Connect),
            },
        }
    }
}

impl PushFailure {
    /// Returns the code of the failure; `None` for a failure that is told in words only.
    pub const fn code(&self) -> Option<FailureCode> {
        match self {
            Self::Unreachable(UnreachedReason { code: Some(code), .. }) => Some(FailureCode::Connect(*code)),
            Self::TimedOut => Some(FailureCode::Timeout),
            Self::Troubled { status, .. } | Self::Refused { status, .. } => Some(FailureCode::Http(*status)),
            Self::Redirected { .. } => Some(FailureCode::Redirected),
            Self::AnswerTooLarge { .. } => Some(FailureCode::AnswerTooLarge),
            Self::Unreachable(_) | Self::Broken(_) | Self::Unreadable(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failure_codes_are_read_back() {
        let fixed =
            [FailureCode::Redirected, FailureCode::AnswerTooLarge, FailureCode::Timeout, FailureCode::Http(503)];
        let connect = ConnectCode::ALL.iter().map(|code| FailureCode::Connect(*code));
        for code in fixed.into_iter().chain(connect) {
            assert_eq!(FailureCode::from_word(&code.to_string()), Some(code), "{code}");
        }
        assert_eq!(FailureCode::Http(401).to_string(), "HTTP_401");
        for other in ["", "HTTP_", "HTTP_x", "http_401", "no route"] {
            assert_eq!(FailureCode::from_word(other), None, "{other}");
        }
    }

    #[test]
    fn failure_names_its_step() {
        let code = |failure: PushFailure| failure.code().map(|code| code.to_string());
        let unreached = UnreachedReason { code: Some(ConnectCode::TlsFailed), words: "no".to_owned() };
        assert_eq!(code(PushFailure::Unreachable(unreached)).as_deref(), Some("TLS_FAILED"));
        assert_eq!(code(PushFailure::TimedOut).as_deref(), Some("TIMEOUT"));
        assert_eq!(code(PushFailure::Redirected { status: 307 }).as_deref(), Some("REDIRECTED"));
        let refused = PushFailure::Refused { status: 401, reason: String::new() };
        assert_eq!(code(refused).as_deref(), Some("HTTP_401"));
        assert_eq!(code(PushFailure::Unreachable("the journal has stopped".into())), None);
    }
}
