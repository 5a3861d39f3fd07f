//! The way of the command line to a private listener: by TCP or a Unix socket, plain or by TLS.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Client;
use rustls::ClientConfig;

use crate::cli::failure::CommandFailure;
use crate::runtime::plain_client;
use crate::settings::ListenTarget;
use crate::tls::client_config::{pinned_client, rooted_client};
use crate::tls::key_pair::KeyPairFiles;
use crate::tls::trust_roots::TrustRoots;

/// Timeout of connecting: the gateway is on this machine or near.
const CONNECT: Duration = Duration::from_secs(5);

/// A listener, and what is needed to connect to it.
pub(super) struct ReachedListener {
    base: String,
    socket: Option<PathBuf>,
    tls: Option<ClientConfig>,
}

impl ReachedListener {
    /// Returns the listener of `--admin`.
    pub(super) fn of_url(url: &str, ca: Option<&Path>) -> Result<Self, CommandFailure> {
        let bad = |why: &dyn std::fmt::Display| CommandFailure::Misused(format!("--admin {url}: {why}"));
        if let Some(path) = url.strip_prefix("unix:").filter(|path| !path.is_empty()) {
            return Ok(Self { base: "http://localhost".to_owned(), socket: Some(path.into()), tls: None });
        }
        let parsed = url::Url::parse(url).ok().filter(url::Url::has_host);
        let tls = match parsed.as_ref().map(url::Url::scheme) {
            Some("http") => None,
            Some("https") => Some(by_roots(ca)?),
            Some(other) => return Err(bad(&format!("{other} is not supported; use http, https or unix:/path"))),
            None => {
                return Err(bad(
                    &"it is not a URL; use http://HOST:PORT, such as http://127.0.0.1:9882, or unix:/path",
                ));
            }
        };
        Ok(Self { base: url.trim_end_matches('/').to_owned(), socket: None, tls })
    }

    /// Returns a private listener of a configuration: its section, address and certificate. By TLS it is known by its configured
    /// certificate, unless a root is given.
    pub(super) fn configured(
        (section, listen, tls): (&str, &ListenTarget, &Option<KeyPairFiles>),
        ca: Option<&Path>,
    ) -> Result<Self, CommandFailure> {
        let tls = match (tls, ca) {
            (None, _) => None,
            (Some(_), Some(ca)) => Some(by_roots(Some(ca))?),
            (Some(files), None) => {
                let leaf = files.load_certificate().map_err(|error| {
                    CommandFailure::Settings(format!(
                        "{section}.tls.cert: {error}; use --ca FILE to name a root instead"
                    ))
                })?;
                Some(pinned_client(leaf).map_err(|error| broken(&error))?)
            }
        };
        let scheme = if tls.is_some() { "https" } else { "http" };
        Ok(match listen {
            ListenTarget::Tcp(address) => {
                Self { base: format!("{scheme}://{}", reachable(*address)), socket: None, tls }
            }
            ListenTarget::Unix { path, .. } => {
                Self { base: format!("{scheme}://localhost"), socket: Some(path.clone()), tls }
            }
        })
    }

    /// Returns a client for the listener, and the base of its URLs.
    pub(super) fn client(self) -> Result<(Client, String), CommandFailure> {
        let mut client = plain_client::builder().connect_timeout(CONNECT).redirect(reqwest::redirect::Policy::none());
        if let Some(path) = self.socket {
            client = client.unix_socket(path);
        }
        if let Some(tls) = self.tls {
            client = client.tls_backend_preconfigured(tls);
        }
        Ok((client.build().map_err(|error| broken(&error))?, self.base))
    }
}

fn by_roots(ca: Option<&Path>) -> Result<ClientConfig, CommandFailure> {
    let roots = match ca {
        None => TrustRoots::of_system(),
        Some(file) => {
            TrustRoots::from_files(&[file]).map_err(|error| CommandFailure::Misused(format!("--ca: {error}")))?
        }
    };
    rooted_client(&roots).map_err(|error| broken(&error))
}

fn broken(error: &dyn std::fmt::Display) -> CommandFailure {
    CommandFailure::Broken { code: "CLIENT", words: format!("the HTTP client cannot be built: {error}") }
}

/// Returns the loopback address in place of one that stands for all addresses.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unspecified_listener_is_reached_on_loopback() {
        let at = |text: &str| reachable(text.parse().expect("an address")).to_string();
        assert_eq!(
            (at("0.0.0.0:1"), at("[::]:2"), at("10.0.0.2:3")),
            ("127.0.0.1:1".into(), "[::1]:2".into(), "10.0.0.2:3".into())
        );
    }

    #[test]
    fn admin_url_has_known_scheme() {
        for good in ["http://127.0.0.1:9882/", "https://admin.example:9882", "unix:/run/admin.sock"] {
            assert!(ReachedListener::of_url(good, None).is_ok(), "{good}");
        }
        for bad in ["ftp://x", "127.0.0.1:9882", "unix:", "http:///"] {
            assert!(ReachedListener::of_url(bad, None).is_err(), "{bad}");
        }
    }
}
