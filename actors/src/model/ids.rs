//! Names that peers and clients send, parsed once: an invalid name cannot be represented outside this module.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

/// The name of a server: a host name, an IPv4 address or a bracketed IPv6 address, with an optional port.
///
/// Compared and stored in lower case, as host names are. Cloning is a reference count.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerName(Arc<str>);

/// Error: a text is not a valid server name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// The name is empty, or there is nothing before the port.
    #[error("a server name is empty")]
    Empty,
    /// The name is longer than a host name may be.
    #[error("a server name has more than 255 characters")]
    TooLong,
    /// The host is neither an IP address nor labels of 1 to 63 letters, digits and `-` that are separated by `.`.
    #[error("a server name is letters, digits, '-' and '.', or an IP address (IPv6 in brackets)")]
    Host,
    /// The port is not a number from 1 to 65535.
    #[error("the port of a server name is a number from 1 to 65535")]
    Port,
}

const NAME_LENGTH_MAX: usize = 255;
const LABEL_LENGTH_MAX: usize = 63;

impl ServerName {
    /// Returns the name as text, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the host without the port; an IPv6 address keeps its brackets.
    pub fn host(&self) -> &str {
        split_port(&self.0).0
    }

    /// Returns the port, if the name has one.
    pub fn port(&self) -> Option<u16> {
        split_port(&self.0).1.and_then(|port| port.parse().ok())
    }
}

fn split_port(text: &str) -> (&str, Option<&str>) {
    let port_may_start = text.rfind(']').map_or(0, |bracket| bracket + 1);
    match text[port_may_start..].find(':') {
        Some(colon) => (&text[..port_may_start + colon], Some(&text[port_may_start + colon + 1..])),
        None => (text, None),
    }
}

fn is_host(host: &str) -> bool {
    if let Some(inner) = host.strip_prefix('[') {
        return inner.strip_suffix(']').is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    }
    let looks_numeric = host.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if looks_numeric {
        return host.parse::<Ipv4Addr>().is_ok();
    }
    host.split('.').all(|label| {
        (1..=LABEL_LENGTH_MAX).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    })
}

impl FromStr for ServerName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        if text.len() > NAME_LENGTH_MAX {
            return Err(BadName::TooLong);
        }
        let (host, port) = split_port(text);
        if host.is_empty() {
            return Err(BadName::Empty);
        }
        if !is_host(host) {
            return Err(BadName::Host);
        }
        if let Some(port) = port {
            let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
            if !digits || !matches!(port.parse::<u16>(), Ok(1..)) {
                return Err(BadName::Port);
            }
        }
        // Nearly all names are written in small letters, and then one copy is enough.
        let is_small = !text.bytes().any(|byte| byte.is_ascii_uppercase());
        Ok(Self(if is_small { text.into() } else { text.to_ascii_lowercase().into() }))
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for ServerName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// The id that a messenger gives to a submission: 1 to 128 characters of `A-Za-z0-9._~-`.
///
/// Messages and updates share one id space; a second submission with the same id is a repeat of the first.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubmissionId(Arc<str>);

/// Error: a text is not a valid submission id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id is 1 to 128 characters of A-Z a-z 0-9 . _ ~ -")]
pub struct BadSubmissionId;

/// The beginning of the ids of forwards, which no messenger can write.
const FORWARD: &str = "forward/";

impl SubmissionId {
    /// Returns the id under which an outbox lists a forward: the messenger did not submit it.
    pub fn of_forward(id: &str) -> Self {
        let shown: String = id.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(64).collect();
        Self(format!("{FORWARD}{shown}").into())
    }

    /// Returns whether this is the id of a forward.
    pub fn is_forward(&self) -> bool {
        self.0.starts_with(FORWARD)
    }

    /// Reads an id of an outbox.
    pub fn queued(text: &str) -> Result<Self, BadSubmissionId> {
        text.strip_prefix(FORWARD).map_or_else(|| text.parse(), |id| Ok(Self::of_forward(id)))
    }

    /// Returns the id as it was submitted.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SubmissionId {
    type Err = BadSubmissionId;

    fn from_str(text: &str) -> Result<Self, BadSubmissionId> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'~' | b'-');
        if (1..=128).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.into()))
        } else {
            Err(BadSubmissionId)
        }
    }
}

impl fmt::Display for SubmissionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SubmissionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Error: a text is not a valid context id or PDU id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is 1 to 255 bytes without control characters")]
pub struct BadId(&'static str);

const ID_BYTES_MAX: usize = 255;

/// The key of the hashes that ids keep. It is secret and differs in each process, because peers choose the ids.
static ID_HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);

macro_rules! opaque_id {
    ($(#[$doc:meta])* $name:ident, $noun:literal) => {
        $(#[$doc])*
        ///
        /// It keeps the hash of its text, because a PDU is looked up in some twenty maps on its way. Cloning is a reference count.
        #[derive(Clone)]
        pub struct $name {
            text: Arc<str>,
            hash: u64,
        }

        impl $name {
            /// Returns the id as it was received.
            pub fn as_str(&self) -> &str {
                &self.text
            }
        }

        impl FromStr for $name {
            type Err = BadId;

            fn from_str(text: &str) -> Result<Self, BadId> {
                let sound = (1..=ID_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control);
                if sound { Ok(Self { text: text.into(), hash: ID_HASHER.hash_one(text) }) } else { Err(BadId($noun)) }
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.hash == other.hash && self.text == other.text
            }
        }

        impl Eq for $name {}

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl Ord for $name {
            fn cmp(&self, other: &Self) -> Ordering {
                self.text.cmp(&other.text)
            }
        }

        impl Hash for $name {
            fn hash<H: Hasher>(&self, state: &mut H) {
                state.write_u64(self.hash);
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.text)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.text)
            }
        }
    };
}

opaque_id! {
    /// The id of a context. It is opaque: the server that creates the context chooses it.
    ContextId, "a context's name"
}

opaque_id! {
    /// The id that the origin gave to a PDU. It is unique only together with the origin.
    PduId, "an id"
}

/// The identity of a PDU: its origin and the id that the origin gave to it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PduRef {
    /// Server that created the PDU.
    pub origin: ServerName,
    /// Id that the origin gave to it.
    pub id: PduId,
}

impl fmt::Display for PduRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.origin, self.id)
    }
}

impl fmt::Debug for PduRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_name_validates_host_and_port() {
        for good in
            ["red", "red.example", "RED.Example:8448", "127.0.0.1", "127.0.0.1:1", "[::1]", "[::1]:9880", "a-b.c"]
        {
            assert_eq!(good.parse::<ServerName>().map(|n| n.to_string()), Ok(good.to_ascii_lowercase()), "{good}");
        }
        for (bad, why) in [
            ("", BadName::Empty),
            (":80", BadName::Empty),
            ("red:0", BadName::Port),
            ("red:65536", BadName::Port),
            ("red:", BadName::Port),
            ("red:+80", BadName::Port),
            ("red:80:80", BadName::Port),
            ("red..example", BadName::Host),
            ("-red", BadName::Host),
            ("red/", BadName::Host),
            ("r\u{e9}d", BadName::Host),
            ("red example", BadName::Host),
            ("1.2.3", BadName::Host),
            ("[::1", BadName::Host),
            ("::1", BadName::Empty),
        ] {
            assert_eq!(bad.parse::<ServerName>(), Err(why), "{bad}");
        }
        assert_eq!("a".repeat(256).parse::<ServerName>(), Err(BadName::TooLong));
    }

    #[test]
    fn server_name_splits_host_and_port() {
        let name: ServerName = "[::1]:9880".parse().expect("valid");
        assert_eq!((name.host(), name.port()), ("[::1]", Some(9880)));
        let name: ServerName = "red.example".parse().expect("valid");
        assert_eq!((name.host(), name.port()), ("red.example", None));
    }

    #[test]
    fn submission_id_rejects_unsafe_characters() {
        assert!("A-z.9_~".parse::<SubmissionId>().is_ok());
        for bad in ["", "a/b", "a b", "\u{e9}", &"a".repeat(129)] {
            assert_eq!(bad.parse::<SubmissionId>(), Err(BadSubmissionId), "{bad}");
        }
    }

    #[test]
    fn equal_ids_have_equal_hashes() {
        let [one, same, other]: [PduId; 3] = ["p1", "p1", "p2"].map(|text| text.parse().expect("valid"));
        assert!(one == same && one != other && one < other);
        let hasher = RandomState::new();
        assert_eq!(hasher.hash_one(&one), hasher.hash_one(&same));
        assert_ne!(hasher.hash_one(&one), hasher.hash_one(&other));
    }
}
