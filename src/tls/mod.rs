//! TLS by rustls with aws-lc-rs: certificates of peers, our own certificates, and the roots that both chain to.
//!
//! A handshake proves that the other side holds the key of its certificate. What the certificate proves about its name is judged
//! apart from the handshake, by [`judge`](certificate_judge), at each request: dates, roots and pins may have changed since. See
//! `docs/protocol.md#certificates`.

pub mod acme;
pub mod certificate;
pub mod certificate_fault;
pub mod certificate_judge;
pub mod client_config;
pub mod file_watch;
pub mod key_pair;
pub mod live_pair;
pub mod live_roots;
pub mod own_certificate;
pub mod provider;
pub mod server_config;
pub mod spki_pin;
pub mod trust_roots;
