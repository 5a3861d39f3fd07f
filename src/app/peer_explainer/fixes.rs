//! Remedies of the steps that can fail, in one sentence each.

use actors::limits::PeerLimits;
use actors::model::{ConnectCode, ServerName, ShortDuration};

use crate::settings::{PeerAuth, PeerSettings};

/// Returns what to do about a connection that failed at this step.
pub(super) fn of_code(code: ConnectCode, server: &ServerName) -> String {
    let key = |key: &str| format!("peers.server.\"{server}\".{key}");
    match code {
        ConnectCode::NameNotFound => {
            format!("correct the name, set {}, or ask its operator to publish an address", key("addresses"))
        }
        ConnectCode::DnsFailed => {
            "check the name servers (network.resolvers, or /etc/resolv.conf), or ask its operator to check the zone"
                .to_owned()
        }
        ConnectCode::ServiceNotOffered => {
            format!("set {} to the one that it offers, or {}", key("dialect"), key("addresses"))
        }
        ConnectCode::AddressNotAllowed => {
            format!(
                "if the address is right, add its range to network.allow, or set {} to the address",
                key("addresses")
            )
        }
        ConnectCode::ConnectRefused => {
            format!("start the peer, or correct {} or its DNS records", key("addresses"))
        }
        ConnectCode::ConnectTimeout => {
            format!("open the firewalls between the servers, or raise {}", key("connect_timeout"))
        }
        ConnectCode::TlsFailed => {
            format!("let the peer serve TLS 1.2 or 1.3 at this port, or correct the port in {}", key("addresses"))
        }
        ConnectCode::CertificateExpired => "ask its operator to renew the certificate".to_owned(),
        ConnectCode::CertificateNotYetValid => {
            "check our clock, and ask its operator when the certificate begins".to_owned()
        }
        ConnectCode::CertificateWrongName => {
            format!("ask its operator for a certificate that names {}, or correct the address", server.host())
        }
        ConnectCode::CertificateUnknownIssuer => {
            format!("add its CA to network.roots, or pin its key in {}", key("fingerprints"))
        }
        ConnectCode::CertificateIsACa => "ask its operator for a certificate that is no CA's".to_owned(),
        ConnectCode::CertificateWrongPurpose => {
            "ask its operator for a certificate with serverAuth, or without an extended key usage".to_owned()
        }
        ConnectCode::CertificateNotPinned => {
            format!("if the peer has a new key, replace the pin in {}", key("fingerprints"))
        }
        ConnectCode::CertificateUnreadable => "ask its operator to replace the certificate".to_owned(),
    }
}

/// Returns what to do if something else than a gateway answers.
pub(super) fn of_foreign_answer(server: &ServerName) -> String {
    format!(
        "another program answers there: correct peers.server.\"{server}\".addresses, profile or dialect, or the proxy of the peer"
    )
}

/// Returns what to do if the peer does not answer over a connection.
pub(super) fn of_failure(server: &ServerName, limits: Option<&PeerLimits>) -> String {
    let within = limits.map(|limits| format!(" within {}", ShortDuration(limits.request_timeout))).unwrap_or_default();
    format!("check that {server} answers HTTP at this address{within}")
}

pub(super) fn of_redirect(server: &ServerName) -> String {
    format!("set peers.server.\"{server}\".addresses to the gateway itself, because redirects are never followed")
}

pub(super) fn of_trouble(server: &ServerName) -> String {
    format!("ask the operator of {server} to read its log")
}

/// Returns what to do if the peer does not accept our proof.
pub(super) fn of_refusal(us: &ServerName, peer: &PeerSettings) -> String {
    let proof = match &peer.link.auth {
        PeerAuth::Network { .. } => "the address that we call from in allow_from",
        PeerAuth::Signature { .. } => {
            "auth = \"signature\", and our public key (`fernpost keys list`) in keys, or a way to our key directory"
        }
        PeerAuth::Certificate { .. } => "auth = \"mtls\", and roots or a fingerprint that our certificate fits",
    };
    format!("ask the operator of {} to list {us} with {proof}", peer.name)
}

pub(super) fn of_unlisted(server: &ServerName) -> String {
    format!("list it under [peers.server.\"{server}\"]")
}

pub(super) fn of_denied(server: &ServerName) -> String {
    format!("remove the pattern that matches {server} from federation.deny, if it is to be a peer")
}

pub(super) fn of_signing_key() -> String {
    "run `fernpost check keys`; `fernpost serve` makes the first key".to_owned()
}

/// Returns what to do if the keys of a peer cannot be fetched.
pub(crate) fn of_directory(server: &ServerName) -> String {
    format!(
        "pin its keys in peers.server.\"{server}\".keys (`fernpost keys list` there prints them), or let it serve its key directory"
    )
}

pub(super) fn of_certificate() -> String {
    "set federation.tls.cert and federation.tls.key to a readable pair".to_owned()
}

pub(super) fn of_skew(server: &ServerName) -> String {
    format!("set the clock of this machine or of {server}, because signatures are refused from five minutes on")
}

/// Returns what to do about a connection that another server could not make with this one, for the operator of this one.
pub(crate) fn of_the_reached(code: ConnectCode, server: &ServerName) -> String {
    let host = server.host();
    match code {
        ConnectCode::NameNotFound => format!("publish addresses of {host}, or correct the hosts of its SRV record"),
        ConnectCode::DnsFailed => format!("check the name servers of the zone of {host}"),
        ConnectCode::ServiceNotOffered => format!("replace the SRV record of {host} whose target is \".\""),
        ConnectCode::AddressNotAllowed => {
            format!("publish public addresses of {host}; names must not lead into private networks")
        }
        ConnectCode::ConnectRefused => {
            "let federation.listen accept at this address and port, or correct the record; check port forwarding"
                .to_owned()
        }
        ConnectCode::ConnectTimeout => {
            "open the firewall for this address and port, or remove the record of it".to_owned()
        }
        ConnectCode::TlsFailed => {
            "serve TLS 1.2 or 1.3 at this port (federation.tls, or the proxy in front)".to_owned()
        }
        ConnectCode::CertificateExpired => "renew the certificate; a running gateway takes a new file over".to_owned(),
        ConnectCode::CertificateNotYetValid => "check when the certificate begins, and the clocks".to_owned(),
        ConnectCode::CertificateWrongName => {
            format!("get a certificate that names {host}, whatever host the records name")
        }
        ConnectCode::CertificateUnknownIssuer | ConnectCode::CertificateNotPinned => {
            "send the whole chain, and get a certificate of a public CA; others have to trust yours or pin its key"
                .to_owned()
        }
        ConnectCode::CertificateIsACa | ConnectCode::CertificateWrongPurpose | ConnectCode::CertificateUnreadable => {
            "run `fernpost check tls`, and replace the certificate".to_owned()
        }
    }
}

/// Returns what to do if something else than the gateway answers another server.
pub(crate) fn of_other_answer() -> String {
    "let the gateway itself answer there, or let the proxy pass all paths on to federation.listen unchanged".to_owned()
}
