//! Advice for a listener's address that cannot be bound.

use std::io::{Error, ErrorKind};

/// Returns the advice for an address that the system refuses.
pub fn remedy(refused: &Error) -> &'static str {
    match refused.kind() {
        ErrorKind::AddrInUse => "another process listens there; stop it, or choose another port",
        ErrorKind::PermissionDenied => {
            "this user may not listen there, because ports below 1024 are privileged; choose a port from 1024 on, or \
             give the process CAP_NET_BIND_SERVICE (systemd: AmbientCapabilities=CAP_NET_BIND_SERVICE)"
        }
        ErrorKind::AddrNotAvailable => "this machine does not have this address; `ip address` lists its addresses",
        _ => "check the address and the port",
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn each_refused_address_has_its_remedy() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = taken.local_addr().expect("an address");
        let in_use = TcpListener::bind(address).expect_err("it is taken");
        assert!(remedy(&in_use).starts_with("another process listens there"));
        // 203.0.113.0/24 is reserved for documentation, so no machine has an address in it.
        let elsewhere = TcpListener::bind("203.0.113.1:0").expect_err("no address of this machine");
        assert!(remedy(&elsewhere).starts_with("this machine does not have this address"));
        // The system returns this error for port 80 to a user without privileges. It is built here, because the tests may
        // run as root.
        let privileged = remedy(&Error::from(ErrorKind::PermissionDenied));
        assert!(privileged.contains("CAP_NET_BIND_SERVICE") && !privileged.contains("another process"), "{privileged}");
    }
}
