//! The methods that the gateway answers itself, with or without a messenger.

use actors::model::{Millis, ServerName};
use serde::Serialize;

use crate::comparison::CompareAnswerer;
use crate::http::responses::rfc3339;

/// The names that begin so are the gateway's; none of them is passed on to the messenger.
const OWN_NAMES: &str = "fernpost.";

const PING: &str = "fernpost.ping";

/// The method by which a peer asks to be looked up and called.
pub(crate) const REACH: &str = "fernpost.reach";

/// The answer to a ping.
#[derive(Debug, Serialize)]
struct PingAnswer<'a> {
    method: &'a str,
    server: &'a str,
    version: &'a str,
    time: String,
}

/// The side that answers a method.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum MethodOwner {
    /// The messenger answers it.
    Messenger,
    /// The gateway answers it with this JSON.
    Gateway(Vec<u8>),
    /// The gateway compares histories; the answer depends on the peer and on the body.
    Comparison,
    /// The gateway looks the caller up and calls it.
    Reach,
    /// The gateway has no such method.
    Nobody,
}

/// Returns who answers a call of this method, at the server `us` now.
pub(crate) fn owner(name: Option<&str>, us: &ServerName, now: Millis) -> MethodOwner {
    match name {
        Some(PING) => {
            let version = env!("CARGO_PKG_VERSION");
            let answer = PingAnswer { method: PING, server: us.as_str(), version, time: rfc3339(now) };
            MethodOwner::Gateway(serde_json::to_vec(&answer).expect("texts into memory"))
        }
        Some(name) if CompareAnswerer::answers(Some(name)) => MethodOwner::Comparison,
        Some(REACH) => MethodOwner::Reach,
        Some(name) if name.starts_with(OWN_NAMES) => MethodOwner::Nobody,
        _ => MethodOwner::Messenger,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_names_never_reach_messenger() {
        let us = "red.example".parse().expect("valid");
        let of = |name| owner(name, &us, Millis(1_000));
        let MethodOwner::Gateway(answer) = of(Some("fernpost.ping")) else { panic!("a ping is answered") };
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            String::from_utf8(answer).expect("text"),
            format!(
                r#"{{"method":"fernpost.ping","server":"red.example","version":"{version}","time":"1970-01-01T00:00:01.000Z"}}"#
            )
        );
        assert_eq!(of(Some("fernpost.compare")), MethodOwner::Comparison);
        assert_eq!(of(Some("fernpost.reach")), MethodOwner::Reach);
        for name in ["fernpost.", "fernpost.pings", "fernpost.ping.x", "fernpost.reached"] {
            assert_eq!(of(Some(name)), MethodOwner::Nobody, "{name}");
        }
        for name in [None, Some("fernpost"), Some("Fernpost.ping"), Some("x.fernpost.ping"), Some("")] {
            assert_eq!(of(name), MethodOwner::Messenger, "{name:?}");
        }
    }
}
