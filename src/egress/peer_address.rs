//! The address of a peer in the configuration: the base URL of its listener.

use std::fmt;
use std::net::IpAddr;

use url::{Host, Url};

/// The base URL of a peer: scheme, host and perhaps a port, nothing after them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PeerAddress {
    text: String,
    tls: bool,
    host: AddressHost,
    port: Option<u16>,
}

/// A host that connections are made to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum AddressHost {
    /// A name, which is looked up.
    Name(String),
    /// A literal address.
    Ip(IpAddr),
}

/// Error: a text is not an address of a peer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadAddress {
    /// The text is not a URL with a host.
    #[error("an address is a URL such as \"https://blue.example:9880\"")]
    NotUrl,
    /// The URL has more parts than scheme, host and port.
    #[error("an address ends with the port: no user, path, query or fragment")]
    TooMuch,
}

impl PeerAddress {
    /// Returns the URL without a final slash.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns whether connections use TLS (`https`).
    pub fn uses_tls(&self) -> bool {
        self.tls
    }

    /// Returns the host.
    pub fn host(&self) -> &AddressHost {
        &self.host
    }

    /// Returns the port, if one is written; else it is that of the dialect.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Returns the IP address if the host is one: connections then need no lookup.
    pub fn ip(&self) -> Option<IpAddr> {
        match &self.host {
            AddressHost::Ip(ip) => Some(*ip),
            AddressHost::Name(_) => None,
        }
    }

    /// Returns whether the address is on this machine. `localhost` is assumed to be.
    pub fn is_loopback(&self) -> bool {
        match &self.host {
            AddressHost::Ip(ip) => ip.to_canonical().is_loopback(),
            AddressHost::Name(name) => name == "localhost",
        }
    }
}

impl AddressHost {
    /// Returns the host of a server name: a name, an IPv4 address or a bracketed IPv6 address.
    pub fn of_server(host: &str) -> Self {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        bare.parse().map_or_else(|_| Self::Name(host.to_owned()), Self::Ip)
    }
}

impl fmt::Display for AddressHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Ip(IpAddr::V4(ip)) => ip.fmt(f),
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
        }
    }
}

impl std::str::FromStr for PeerAddress {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let url = Url::parse(text).map_err(|_| BadAddress::NotUrl)?;
        let tls = match url.scheme() {
            "http" => false,
            "https" => true,
            _ => return Err(BadAddress::NotUrl),
        };
        let has_user = !url.username().is_empty() || url.password().is_some();
        if has_user || url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(BadAddress::TooMuch);
        }
        let host = match url.host().ok_or(BadAddress::NotUrl)? {
            Host::Ipv4(ip) => AddressHost::Ip(ip.into()),
            Host::Ipv6(ip) => AddressHost::Ip(ip.into()),
            Host::Domain(name) => AddressHost::Name(name.trim_end_matches('.').to_owned()),
        };
        let port = url.port().or_else(|| written_port(text));
        if port == Some(0) || matches!(&host, AddressHost::Name(name) if name.is_empty()) {
            return Err(BadAddress::NotUrl);
        }
        let scheme = if tls { "https" } else { "http" };
        let text = port.map_or_else(|| format!("{scheme}://{host}"), |port| format!("{scheme}://{host}:{port}"));
        Ok(Self { text, tls, host, port })
    }
}

/// Returns the port at the end of a URL. The URL library drops one that is the scheme's own, and that is another one than the
/// dialect's.
fn written_port(text: &str) -> Option<u16> {
    let end = text.trim().trim_end_matches('/');
    let (before, port) = end.rsplit_once(':')?;
    // The colon after the scheme, and those inside of an IPv6 address, begin no port.
    if before.contains("//") && (!before.contains('[') || before.ends_with(']')) { port.parse().ok() } else { None }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> PeerAddress {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn address_accepts_only_base_url() {
        let address = read("http://127.0.0.1:9890");
        assert_eq!(
            (address.as_str(), address.port(), address.uses_tls()),
            ("http://127.0.0.1:9890", Some(9890), false)
        );
        assert!(address.is_loopback());
        let address = read("https://[::1]/");
        assert_eq!((address.as_str(), address.port(), address.uses_tls()), ("https://[::1]", None, true));
        assert_eq!((address.host().to_string().as_str(), address.is_loopback()), ("[::1]", true));
        assert!(!read("http://10.0.0.2:9880").is_loopback());
        assert!(read("http://[::ffff:127.0.0.1]:1").is_loopback());
        assert_eq!(read("https://BLUE.example.:1").as_str(), "https://blue.example:1");
        for (bad, why) in [
            ("10.0.0.2:9880", BadAddress::NotUrl),
            ("ftp://blue.example", BadAddress::NotUrl),
            ("http://blue.example:0", BadAddress::NotUrl),
            ("https://", BadAddress::NotUrl),
            ("http://me@blue.example", BadAddress::TooMuch),
            ("http://blue.example/x", BadAddress::TooMuch),
            ("http://blue.example?x", BadAddress::TooMuch),
            ("http://blue.example#x", BadAddress::TooMuch),
        ] {
            assert_eq!(bad.parse::<PeerAddress>(), Err(why), "{bad}");
        }
    }

    #[test]
    fn written_port_is_told_from_absent() {
        for (text, port) in [
            ("https://blue.example", None),
            ("https://blue.example/", None),
            ("https://blue.example:443", Some(443)),
            ("https://blue.example:443/", Some(443)),
            ("http://blue.example:80", Some(80)),
            ("http://blue.example:443", Some(443)),
            ("https://[2001:db8::443]", None),
            ("https://[2001:db8::1]:443", Some(443)),
            ("https://[2001:db8::1]:8448/", Some(8448)),
        ] {
            assert_eq!(read(text).port(), port, "{text}");
        }
        assert_eq!(read("https://blue.example:443").as_str(), "https://blue.example:443");
    }

    #[test]
    fn host_of_server_may_be_literal() {
        assert_eq!(AddressHost::of_server("blue.example").to_string(), "blue.example");
        assert_eq!(AddressHost::of_server("[::1]"), AddressHost::Ip("::1".parse().expect("an address")));
        assert_eq!(AddressHost::of_server("127.0.0.1"), AddressHost::Ip("127.0.0.1".parse().expect("an address")));
    }
}
