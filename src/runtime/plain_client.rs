//! HTTP clients for listeners of this machine, which are reached without TLS, or with a configuration of their own.

use reqwest::{Client, ClientBuilder};

/// Returns a client that uses no proxy, and trusts no certificate unless it is told to. The library would read the roots of the system
/// otherwise, and build no client on a machine that has none, such as a small container.
pub(crate) fn builder() -> ClientBuilder {
    Client::builder().no_proxy().tls_certs_only([])
}
