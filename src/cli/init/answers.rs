//! The answers of an operator, each checked when it is read.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use actors::model::ServerName;

use crate::egress::PeerAddress;

/// Port at which peers of the updates dialect look for a server without SRV records.
pub(super) const DEFAULT_PORT: u16 = 9880;

/// Answer that means that there is none.
pub(super) const NONE: &str = "none";

/// All answers.
#[derive(Debug)]
pub(super) struct InitAnswers {
    pub(super) name: ServerName,
    pub(super) reached_at: PublicAddress,
    pub(super) certificate: Option<PairFiles>,
    pub(super) push: Option<String>,
    /// Folder of the configuration, absolute.
    pub(super) dir: PathBuf,
    pub(super) data_dir: PathBuf,
    pub(super) listen: SocketAddr,
    pub(super) messenger: SocketAddr,
    pub(super) admin: SocketAddr,
}

/// Files of a certificate and its private key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PairFiles {
    pub(super) cert: PathBuf,
    pub(super) key: PathBuf,
}

/// Host and port at which peers reach this server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PublicAddress {
    /// A name, an IPv4 address, or an IPv6 address in brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

/// The file of a certificate, if there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CertificateAnswer(pub(super) Option<PathBuf>);

/// A URL, if there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UrlAnswer(pub(super) Option<String>);

impl InitAnswers {
    /// Returns the path of the configuration file.
    pub(super) fn config_file(&self) -> PathBuf {
        self.dir.join("fernpost.toml")
    }
}

impl FromStr for PublicAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let address = format!("https://{}", text.trim());
        let example = "a host and a port are written as red.example:9880, 192.0.2.1:9880 or [2001:db8::1]:9880";
        address.parse::<PeerAddress>().map_err(|_| example.to_owned())?;
        let authority = text.trim();
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| example.to_owned())?),
            _ => (authority, DEFAULT_PORT),
        };
        match port {
            0 => Err("port 0 cannot be reached".to_owned()),
            _ => Ok(Self { host: host.to_ascii_lowercase(), port }),
        }
    }
}

impl fmt::Display for PublicAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl FromStr for CertificateAnswer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "" => Err("a file, or \"none\"".to_owned()),
            NONE => Ok(Self(None)),
            file => match std::fs::metadata(file) {
                Ok(state) if state.is_file() => {
                    Ok(Self(Some(std::path::absolute(file).unwrap_or_else(|_| file.into()))))
                }
                Ok(_) => Err(format!("{file} is no file")),
                Err(error) => Err(format!("{file}: {error}")),
            },
        }
    }
}

impl FromStr for UrlAnswer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "" => Err("a URL, or \"none\"".to_owned()),
            NONE => Ok(Self(None)),
            url if ["http://", "https://", "unix:"].iter().any(|scheme| url.starts_with(scheme)) => {
                Ok(Self(Some(url.to_owned())))
            }
            _ => Err("a URL begins with http://, https:// or unix:".to_owned()),
        }
    }
}

/// Returns the file of the private key of a certificate: the given one, or the first that is beside it.
pub(super) fn key_of(cert: &Path, given: Option<PathBuf>) -> Result<PathBuf, String> {
    if let Some(key) = given {
        return Ok(std::path::absolute(&key).unwrap_or(key));
    }
    let folder = cert.parent().unwrap_or(Path::new("/"));
    let candidates = [folder.join("privkey.pem"), folder.join("key.pem"), cert.with_extension("key")];
    let named = candidates.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
    let words = || format!("the private key of {} is not beside it ({named}); name it with --key", cert.display());
    candidates.into_iter().find(|path| path.is_file()).ok_or_else(words)
}

/// Returns the listener for peers: all addresses with a certificate, else loopback, for a reverse proxy on this machine.
pub(super) fn listener(given: Option<SocketAddr>, has_certificate: bool, port: u16) -> SocketAddr {
    given.unwrap_or_else(|| match has_certificate {
        true => (Ipv4Addr::UNSPECIFIED, port).into(),
        false => (Ipv4Addr::LOCALHOST, DEFAULT_PORT).into(),
    })
}

/// Returns whether a host is written as an address.
pub(super) fn is_address(host: &str) -> bool {
    host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_address_has_host_and_port() {
        let read = |text: &str| text.parse::<PublicAddress>().map(|address| address.to_string());
        assert_eq!(read("Red.example").as_deref(), Ok("red.example:9880"));
        assert_eq!(read("red.example:443").as_deref(), Ok("red.example:443"));
        assert_eq!(read("192.0.2.1").as_deref(), Ok("192.0.2.1:9880"));
        assert_eq!(read("[2001:db8::1]").as_deref(), Ok("[2001:db8::1]:9880"));
        assert_eq!(read("[2001:db8::1]:1").as_deref(), Ok("[2001:db8::1]:1"));
        for bad in [
            "",
            "red.example:0",
            "red.example:x",
            "red.example:99999",
            "a b",
            "https://red.example",
            "2001:db8::1",
            "red/x",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn key_beside_certificate_is_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let cert = folder.path().join("red.pem");
        assert!(key_of(&cert, None).expect_err("none").contains("--key"));
        std::fs::write(folder.path().join("red.key"), "").expect("written");
        assert_eq!(key_of(&cert, None), Ok(folder.path().join("red.key")));
        std::fs::write(folder.path().join("privkey.pem"), "").expect("written");
        assert_eq!(key_of(&cert, None), Ok(folder.path().join("privkey.pem")), "as certbot names it");
        assert_eq!(key_of(&cert, Some("/x".into())), Ok("/x".into()));
    }
}
