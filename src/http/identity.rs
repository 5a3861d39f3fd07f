//! Who is calling. One proof today: the network; a name is believed only from the address ranges listed for it.

use std::future::{Ready, ready};
use std::net::IpAddr;

use actix_web::dev::Payload;
use actix_web::http::header::HeaderMap;
use actix_web::{FromRequest, HttpRequest, web};
use actors::model::ServerName;

use super::refusal::Problem;

/// The header in which a peer says its name.
pub const ORIGIN_HEADER: &str = "Fernpost-Origin";

/// The word for a proof by address, as the messenger is told it.
pub const PROVED_BY_NETWORK: &str = "network";

/// What the configuration says of names and addresses.
pub trait Admission: Send + Sync + 'static {
    /// Whether the operator shut this server out; asked before anything that would let it in.
    fn denied(&self, server: &ServerName) -> bool;

    /// Whether the name is listed and the address lies in the ranges listed for it.
    fn believes(&self, server: &ServerName, address: IpAddr) -> bool;

    /// Who a caller without a name is: the peer with the longest listed prefix that holds the address.
    fn who_may_be(&self, address: IpAddr) -> Option<ServerName>;

    /// Whether this server is a peer of ours.
    fn listed(&self, server: &ServerName) -> bool;
}

/// A caller whose name was proved and who may talk to us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Its name.
    pub server: ServerName,
    /// How it was proved, in the word the messenger is told.
    pub proof: &'static str,
}

/// The name a request claims in its header; more than one, or one that is no name, cannot be read.
fn claimed(headers: &HeaderMap) -> Result<Option<ServerName>, Problem> {
    let mut values = headers.get_all(ORIGIN_HEADER);
    let Some(first) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Problem::bad_request("BAD_ORIGIN", format!("{ORIGIN_HEADER} is there more than once")));
    }
    let text =
        first.to_str().map_err(|_| Problem::bad_request("BAD_ORIGIN", format!("{ORIGIN_HEADER} is not text")))?;
    let name =
        text.trim().parse().map_err(|bad| Problem::bad_request("BAD_ORIGIN", format!("{ORIGIN_HEADER}: {bad}")))?;
    Ok(Some(name))
}

/// Who calls from this address with these headers.
///
/// A name is proved first and judged afterwards, so a stranger learns nothing about whom we shut out.
pub fn identify(admission: &dyn Admission, address: Option<IpAddr>, headers: &HeaderMap) -> Result<Caller, Problem> {
    let claimed = claimed(headers)?;
    let Some(address) = address.map(|address| address.to_canonical()) else {
        return Err(Problem::unauthenticated("the connection has no address to know its caller by"));
    };
    let server = match claimed {
        Some(name) if admission.believes(&name, address) => name,
        Some(name) => {
            return Err(Problem::unauthenticated(format!(
                "no proof that {address} is {name}: its allow_from here does not hold that address"
            )));
        }
        None => admission.who_may_be(address).ok_or_else(|| {
            Problem::unauthenticated(format!("no {ORIGIN_HEADER} header, and no peer is listed for {address}"))
        })?,
    };
    if admission.denied(&server) {
        return Err(Problem::forbidden(format!("{server} is denied by federation.deny")));
    }
    if !admission.listed(&server) {
        return Err(Problem::forbidden(format!("{server} is not a peer of this server")));
    }
    Ok(Caller { server, proof: PROVED_BY_NETWORK })
}

impl FromRequest for Caller {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let admission = request
            .app_data::<web::Data<dyn Admission>>()
            .expect("every application whose routes ask for a caller has an Admission in its data");
        let address = request.peer_addr().map(|peer| peer.ip());
        ready(identify(&***admission, address, request.headers()))
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};
    use ipnet::IpNet;

    use super::*;

    /// red on 10.0.0.0/8 and loopback, blue on a part of it, black listed and denied.
    struct Book;

    const RANGES: [(&str, &str); 4] = [
        ("red.example", "10.0.0.0/8"),
        ("blue.example", "10.1.0.0/16"),
        ("black.example", "10.2.0.0/16"),
        ("red.example", "::1/128"),
    ];

    fn ranges() -> impl Iterator<Item = (ServerName, IpNet)> {
        RANGES.iter().map(|(name, net)| (name.parse().expect("a name"), net.parse().expect("a range")))
    }

    impl Admission for Book {
        fn denied(&self, server: &ServerName) -> bool {
            server.as_str() == "black.example"
        }
        fn believes(&self, server: &ServerName, address: IpAddr) -> bool {
            ranges().any(|(name, net)| name == *server && net.contains(&address))
        }
        fn who_may_be(&self, address: IpAddr) -> Option<ServerName> {
            let holding = ranges().filter(|(_, net)| net.contains(&address));
            holding.max_by_key(|(_, net)| net.prefix_len()).map(|(name, _)| name)
        }
        fn listed(&self, server: &ServerName) -> bool {
            ranges().any(|(name, _)| name == *server)
        }
    }

    fn asked(address: Option<&str>, origins: &[&[u8]]) -> Result<String, (u16, &'static str)> {
        let mut headers = HeaderMap::new();
        for origin in origins {
            let value = HeaderValue::from_bytes(origin).expect("a header value");
            headers.append(HeaderName::from_static("fernpost-origin"), value);
        }
        let address = address.map(|address| address.parse().expect("an address"));
        let caller = identify(&Book, address, &headers).map_err(|no| (no.status().as_u16(), no.code()))?;
        assert_eq!(caller.proof, "network");
        Ok(caller.server.to_string())
    }

    #[test]
    fn a_name_is_believed_only_from_its_own_ranges() {
        let red = || Ok("red.example".to_owned());
        let unproved = || Err((401, "UNAUTHENTICATED"));
        assert_eq!(asked(Some("10.9.9.9"), &[b"red.example"]), red());
        assert_eq!(asked(Some("10.9.9.9"), &[b" RED.example "]), red());
        assert_eq!(asked(Some("10.1.0.1"), &[b"red.example"]), red());
        assert_eq!(asked(Some("::1"), &[b"red.example"]), red());
        assert_eq!(asked(Some("::ffff:10.9.9.9"), &[b"red.example"]), red());
        assert_eq!(asked(Some("11.0.0.1"), &[b"red.example"]), unproved());
        assert_eq!(asked(Some("10.9.9.9"), &[b"blue.example"]), unproved());
        assert_eq!(asked(Some("10.9.9.9"), &[b"stranger.example"]), unproved());
        assert_eq!(asked(None, &[b"red.example"]), unproved());
    }

    #[test]
    fn a_caller_without_a_name_is_the_peer_with_the_longest_prefix() {
        assert_eq!(asked(Some("10.1.2.3"), &[]), Ok("blue.example".to_owned()));
        assert_eq!(asked(Some("10.3.2.1"), &[]), Ok("red.example".to_owned()));
        assert_eq!(asked(Some("::ffff:10.1.2.3"), &[]), Ok("blue.example".to_owned()));
        assert_eq!(asked(Some("192.0.2.1"), &[]), Err((401, "UNAUTHENTICATED")));
        assert_eq!(asked(None, &[]), Err((401, "UNAUTHENTICATED")));
    }

    #[test]
    fn a_denied_peer_is_told_so_only_once_it_proved_its_name() {
        assert_eq!(asked(Some("10.2.0.1"), &[b"black.example"]), Err((403, "FORBIDDEN")));
        assert_eq!(asked(Some("10.2.0.1"), &[]), Err((403, "FORBIDDEN")));
        assert_eq!(asked(Some("10.3.0.1"), &[b"black.example"]), Err((401, "UNAUTHENTICATED")));
    }

    #[test]
    fn a_header_that_is_no_server_name_is_a_bad_request() {
        let bad = || Err((400, "BAD_ORIGIN"));
        for origin in
            [&b""[..], b"red..example", b"red example", b"red.example/", b"http://red.example", b"r\xc3\xa9d", b"\xff"]
        {
            assert_eq!(asked(Some("10.9.9.9"), &[origin]), bad(), "{origin:?}");
        }
        assert_eq!(asked(Some("10.9.9.9"), &[b"red.example", b"red.example"]), bad());
    }
}
