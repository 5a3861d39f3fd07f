//! The address that events are pushed to: a URL, or a path of the messenger's socket file.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use hyper::http::uri::PathAndQuery;
use url::{Host, Url};

/// The messenger's end of push mode. Paths of calls follow `prefix`, which has no trailing slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushTarget {
    /// The way to the messenger.
    pub route: PushRoute,
    /// Path before those of the calls; empty, or from its first slash.
    pub prefix: String,
}

/// The way to the messenger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PushRoute {
    /// A host and a port.
    Tcp {
        /// Name or address of the host, without brackets.
        host: String,
        /// Port of the host.
        port: u16,
        /// True if the connection is TLS.
        is_tls: bool,
        /// Host and port as the `Host` header has them.
        authority: String,
    },
    /// A socket file.
    Unix(PathBuf),
}

impl PushTarget {
    /// Reads `http://..`, `https://..` or `unix:/path/to.sock:/prefix`; an error says what is wrong.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        match text.strip_prefix("unix:") {
            Some(rest) => Self::unix(rest),
            None => Self::url(text),
        }
    }

    /// Returns whether only processes of this machine can be at its end.
    pub fn is_local(&self) -> bool {
        match &self.route {
            PushRoute::Unix(_) => true,
            PushRoute::Tcp { host, .. } => {
                host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
            }
        }
    }

    /// Returns whether the connection is TLS.
    pub const fn is_tls(&self) -> bool {
        matches!(self.route, PushRoute::Tcp { is_tls: true, .. })
    }

    fn unix(rest: &str) -> Result<Self, String> {
        let (path, prefix) = rest.split_once(':').unwrap_or((rest, ""));
        if path.is_empty() {
            return Err("\"unix:\" is followed by the path of a socket file".to_owned());
        }
        if !prefix.is_empty() && !prefix.starts_with('/') {
            return Err(format!("{prefix:?} after the socket file does not begin with /"));
        }
        let path_alone = if prefix.is_empty() { "/" } else { prefix };
        let parsed: PathAndQuery = path_alone
            .parse()
            .map_err(|_| format!("{prefix:?} after the socket file cannot be a path; percent-encode it"))?;
        if parsed.query().is_some() || prefix.contains('#') {
            return Err("it has a query; only a path may follow the socket file".to_owned());
        }
        Ok(Self { route: PushRoute::Unix(path.into()), prefix: prefix.trim_end_matches('/').to_owned() })
    }

    fn url(text: &str) -> Result<Self, String> {
        let form = "write http://HOST:PORT/PATH, https://HOST/PATH or unix:/PATH/TO.SOCK:/PATH";
        let url = Url::parse(text).map_err(|error| format!("{text:?} is no URL ({error}); {form}"))?;
        let is_tls = match url.scheme() {
            "http" => false,
            "https" => true,
            other => return Err(format!("it begins with {other}:; {form}")),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err("it has a user or a password; pushes are signed with messenger.push.secret_file".to_owned());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("it has a query or a fragment; the paths of the calls are appended to it".to_owned());
        }
        let host = match url.host() {
            Some(Host::Domain(name)) => name.to_owned(),
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
            None => return Err(format!("it has no host; {form}")),
        };
        let port = url.port_or_known_default().unwrap_or(if is_tls { 443 } else { 80 });
        let shown = url.host_str().unwrap_or_default();
        let authority = url.port().map_or_else(|| shown.to_owned(), |port| format!("{shown}:{port}"));
        let prefix = url.path().trim_end_matches('/').to_owned();
        Ok(Self { route: PushRoute::Tcp { host, port, is_tls, authority }, prefix })
    }
}

impl fmt::Display for PushTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.route {
            PushRoute::Tcp { is_tls, authority, .. } => {
                write!(f, "http{}://{authority}{}", if *is_tls { "s" } else { "" }, self.prefix)
            }
            PushRoute::Unix(path) if self.prefix.is_empty() => write!(f, "unix:{}", path.display()),
            PushRoute::Unix(path) => write!(f, "unix:{}:{}", path.display(), self.prefix),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn push_url_keeps_its_path() {
        for (text, shown, is_local) in [
            ("http://127.0.0.1:7000/fernpost", "http://127.0.0.1:7000/fernpost", true),
            ("http://localhost/", "http://localhost", true),
            ("https://chat.example/a/b/", "https://chat.example/a/b", false),
            ("http://[::1]:7000", "http://[::1]:7000", true),
            ("http://192.0.2.1:7000/x", "http://192.0.2.1:7000/x", false),
            ("unix:/run/m.sock:/fernpost/", "unix:/run/m.sock:/fernpost", true),
            ("unix:/run/m.sock", "unix:/run/m.sock", true),
        ] {
            let target = PushTarget::read(text).unwrap_or_else(|why| panic!("{text}: {why}"));
            assert_eq!((target.to_string().as_str(), target.is_local()), (shown, is_local));
        }
        let PushRoute::Tcp { host, port, .. } = PushTarget::read("http://[::1]/").expect("a URL").route else {
            panic!("a host");
        };
        assert_eq!((host.as_str(), port), ("::1", 80));
    }

    #[test]
    fn wrong_push_url_is_explained() {
        for (text, why) in [
            ("127.0.0.1:7000", "is no URL"),
            ("ftp://a/", "begins with ftp:"),
            ("http://a/?x=1", "has a query"),
            ("http://a/#x", "has a query or a fragment"),
            ("http://me:pw@a/", "has a user"),
            ("unix:", "is followed by the path"),
            ("unix:/a:b", "does not begin with /"),
            ("unix:/a:/b?c", "has a query"),
        ] {
            let wrong = PushTarget::read(text).expect_err(text);
            assert!(wrong.contains(why), "{text}: {wrong}");
        }
    }
}
