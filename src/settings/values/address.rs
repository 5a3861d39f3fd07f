//! The address of a peer: the base URL of its listener.

use std::fmt;
use std::net::IpAddr;

use url::{Host, Url};

/// The base URL of a peer: scheme, host and port, nothing after them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PeerAddress {
    base: String,
    host: String,
    port: u16,
    ip: Option<IpAddr>,
}

/// Error: a text is not an address of a peer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadAddress {
    /// The text is not a URL with a host.
    #[error("an address is a URL such as \"http://127.0.0.1:9880\"")]
    NotUrl,
    /// The URL has more parts than scheme, host and port.
    #[error("an address ends with the port: no user, path, query or fragment")]
    TooMuch,
    /// The scheme is `https://`, which needs the identity work.
    #[error("https is not supported by this build")]
    Tls,
}

impl PeerAddress {
    /// Returns the URL without a final slash.
    pub fn as_str(&self) -> &str {
        &self.base
    }

    /// Returns the host: a name, an IPv4 address or a bracketed IPv6 address.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the port of the address.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the IP address if the host is one: connections then need no lookup.
    pub fn ip(&self) -> Option<IpAddr> {
        self.ip
    }

    /// Returns whether the address is on this machine. `localhost` is assumed to be.
    pub fn is_loopback(&self) -> bool {
        self.ip.map_or(self.host == "localhost", |ip| ip.to_canonical().is_loopback())
    }
}

impl std::str::FromStr for PeerAddress {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let url = Url::parse(text).map_err(|_| BadAddress::NotUrl)?;
        match url.scheme() {
            "http" => {}
            "https" => return Err(BadAddress::Tls),
            _ => return Err(BadAddress::NotUrl),
        }
        let has_user = !url.username().is_empty() || url.password().is_some();
        if has_user || url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(BadAddress::TooMuch);
        }
        let host = url.host().ok_or(BadAddress::NotUrl)?;
        let port = url.port_or_known_default().filter(|port| *port != 0).ok_or(BadAddress::NotUrl)?;
        let ip = match host {
            Host::Ipv4(ip) => Some(ip.into()),
            Host::Ipv6(ip) => Some(ip.into()),
            Host::Domain(_) => None,
        };
        Ok(Self { base: url.as_str().trim_end_matches('/').to_owned(), host: host.to_string(), port, ip })
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_accepts_only_base_url() {
        let address: PeerAddress = "http://127.0.0.1:9890".parse().expect("valid");
        assert_eq!((address.as_str(), address.port()), ("http://127.0.0.1:9890", 9890));
        assert!(address.is_loopback());
        let address: PeerAddress = "http://[::1]/".parse().expect("valid");
        assert_eq!((address.as_str(), address.host(), address.port()), ("http://[::1]", "[::1]", 80));
        assert!(address.is_loopback());
        assert!(!"http://10.0.0.2:9880".parse::<PeerAddress>().expect("valid").is_loopback());
        assert!("http://[::ffff:127.0.0.1]:1".parse::<PeerAddress>().expect("valid").is_loopback());
        for (bad, why) in [
            ("https://10.0.0.2:9880", BadAddress::Tls),
            ("10.0.0.2:9880", BadAddress::NotUrl),
            ("ftp://blue.example", BadAddress::NotUrl),
            ("http://blue.example:0", BadAddress::NotUrl),
            ("http://me@blue.example", BadAddress::TooMuch),
            ("http://blue.example/x", BadAddress::TooMuch),
            ("http://blue.example?x", BadAddress::TooMuch),
            ("http://blue.example#x", BadAddress::TooMuch),
        ] {
            assert_eq!(bad.parse::<PeerAddress>(), Err(why), "{bad}");
        }
    }
}
