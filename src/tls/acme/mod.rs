//! Certificates for the federation listener from an authority that speaks ACME (RFC 8555).
//!
//! An actor orders a certificate when it is due, and writes key and chain to the files of `federation.tls`. The watch of those files
//! takes them over as it takes over files of an operator, so that there is one way for a certificate into use.

mod account_file;
mod certificate_order;
mod directory_client;
mod dns_hook;
pub mod first_certificate;
pub mod http_answers;
pub mod issued_pair;
pub mod options;
pub mod renewal_actor;
mod renewal_machine;
