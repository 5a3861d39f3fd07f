//! Authentication of peers: by the signature of the request, or by the network, where a name is accepted only from the address ranges
//! listed for it. Each peer has one proof, and no other is accepted for it.

use std::future::{Ready, ready};
use std::net::IpAddr;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use actix_web::middleware::Next;
use actix_web::{Error, FromRequest, HttpMessage, HttpRequest, ResponseError, web};
use actors::model::ServerName;

use crate::http::authentication::signature_proof::{SignatureJudge, unknown_key};
use crate::http::authentication::signed_request::SignedRequest;
use crate::http::error::ApiError;
use crate::identity::public_key::PeerKeys;

pub use crate::http::authentication::verified_caller::{PROVED_BY_NETWORK, PROVED_BY_SIGNATURE, VerifiedCaller};

/// Header with the peer's name.
pub const ORIGIN_HEADER: &str = "Fernpost-Origin";

/// The configured rules about names and addresses.
pub trait PeerAuthPolicy: Send + Sync + 'static {
    /// Returns whether the operator denied this server. It is called before the server is authorized.
    fn denied(&self, server: &ServerName) -> bool;

    /// Returns whether the name is listed and the address is in the ranges listed for it.
    fn allows_address(&self, server: &ServerName, address: IpAddr) -> bool;

    /// Returns the peer of a caller that gives no name: the one whose listed prefix that contains the address is the
    /// longest.
    fn peer_by_address(&self, address: IpAddr) -> Option<ServerName>;

    /// Returns whether the address is in the ranges of any peer, including denied ones.
    fn is_peer_address(&self, address: IpAddr) -> bool;

    /// Returns whether this server is a peer.
    fn listed(&self, server: &ServerName) -> bool;

    /// Returns the keys of a server whose requests are proved by signature, listed or denied; `None`: by another proof.
    fn signature_keys(&self, _server: &ServerName) -> Option<PeerKeys> {
        None
    }

    /// Called when a caller is refused because it is not authenticated.
    fn on_unauthenticated(&self, _address: Option<IpAddr>, _why: &ApiError) {}
}

/// Returns the name in the request's header. Several names, or an invalid one, are an error.
fn claimed(headers: &HeaderMap) -> Result<Option<ServerName>, ApiError> {
    let mut values = headers.get_all(ORIGIN_HEADER);
    let Some(first) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(ApiError::bad_request("BAD_ORIGIN", format!("{ORIGIN_HEADER} is there more than once")));
    }
    let text =
        first.to_str().map_err(|_| ApiError::bad_request("BAD_ORIGIN", format!("{ORIGIN_HEADER} is not text")))?;
    let name =
        text.trim().parse().map_err(|bad| ApiError::bad_request("BAD_ORIGIN", format!("{ORIGIN_HEADER}: {bad}")))?;
    Ok(Some(name))
}

/// Authenticates and authorizes the caller with this address and these headers.
///
/// Authorization follows authentication, so an unknown caller learns nothing about which servers are denied.
pub fn identify(
    admission: &dyn PeerAuthPolicy,
    address: Option<IpAddr>,
    headers: &HeaderMap,
) -> Result<VerifiedCaller, ApiError> {
    let claimed = claimed(headers)?;
    let address = known_by(address)?;
    match claimed {
        Some(name) => authenticate(admission, name, address),
        None => {
            let name = admission.peer_by_address(address).ok_or_else(|| missing_origin(address))?;
            authorize(admission, name)
        }
    }
}

fn known_by(address: Option<IpAddr>) -> Result<IpAddr, ApiError> {
    let address = address.map(|address| address.to_canonical());
    address.ok_or_else(|| {
        ApiError::unauthenticated(
            "the caller cannot be identified, because the connection has no \
        address",
        )
    })
}

fn missing_origin(address: IpAddr) -> ApiError {
    ApiError::unauthenticated(format!(
        "the request has no {ORIGIN_HEADER} header, and {address} does not identify one \
        peer"
    ))
}

/// Returns the caller of this name if the address proves it.
fn authenticate(admission: &dyn PeerAuthPolicy, name: ServerName, address: IpAddr) -> Result<VerifiedCaller, ApiError> {
    if !admission.allows_address(&name, address) {
        return Err(ApiError::unauthenticated(format!(
            "{address} is not authenticated as {name}, because no peer of that name has an allow_from that contains \
             this address"
        )));
    }
    authorize(admission, name)
}

/// Returns the caller of this authenticated name if it is authorized.
fn authorize(admission: &dyn PeerAuthPolicy, server: ServerName) -> Result<VerifiedCaller, ApiError> {
    if admission.denied(&server) {
        return Err(ApiError::forbidden(format!("{server} is denied by federation.deny")));
    }
    if !admission.listed(&server) {
        return Err(ApiError::forbidden(format!("{server} is not a peer of this server")));
    }
    Ok(VerifiedCaller { server, proof: PROVED_BY_NETWORK, nonce: None })
}

/// The claim of a caller whose name is in the request's body, as far as it is known before the body is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallerClaim {
    /// The header gave a name, and it was authenticated.
    Proved(VerifiedCaller),
    /// No name was given yet; one or several peers call from this address.
    From(IpAddr),
}

impl CallerClaim {
    /// Returns the claim that follows from this address and these headers.
    pub fn from_connection(
        admission: &dyn PeerAuthPolicy,
        address: Option<IpAddr>,
        headers: &HeaderMap,
    ) -> Result<Self, ApiError> {
        let claimed = claimed(headers)?;
        let address = known_by(address)?;
        if let Some(name) = claimed {
            return authenticate(admission, name, address).map(Self::Proved);
        }
        if !admission.is_peer_address(address) {
            return Err(missing_origin(address));
        }
        // Only this peer can be authenticated from this address, so a denied one is refused now.
        if let Some(name) = admission.peer_by_address(address) {
            authorize(admission, name)?;
        }
        Ok(Self::From(address))
    }

    /// Authenticates the caller by the sender that the body names.
    pub fn verify_origin(
        self,
        admission: &dyn PeerAuthPolicy,
        origin: &ServerName,
    ) -> Result<VerifiedCaller, ApiError> {
        match self {
            Self::From(address) => authenticate(admission, origin.clone(), address)
                .inspect_err(|problem| turned_away(admission, Some(address), problem)),
            Self::Proved(caller) if caller.server == *origin => Ok(caller),
            Self::Proved(caller) if caller.nonce.is_some() => {
                let words = format!("the request is signed by {}, but the body names {origin}", caller.server);
                Err(ApiError::new(StatusCode::FORBIDDEN, "NOT_THE_SENDER", words))
            }
            Self::Proved(caller) => {
                Err(ApiError::forbidden(format!("the sender is {}, but the body names {origin}", caller.server)))
            }
        }
    }
}

fn met<T>(
    request: &HttpRequest,
    who: impl FnOnce(&dyn PeerAuthPolicy, Option<IpAddr>, &HeaderMap) -> Result<T, ApiError>,
) -> Ready<Result<T, ApiError>> {
    let admission = request
        .app_data::<web::Data<dyn PeerAuthPolicy>>()
        .expect("every application with such routes has a PeerAuthPolicy in its data");
    let address = request.peer_addr().map(|peer| peer.ip());
    let met = who(&***admission, address, request.headers());
    ready(met.inspect_err(|problem| turned_away(&***admission, address, problem)))
}

fn turned_away(admission: &dyn PeerAuthPolicy, address: Option<IpAddr>, problem: &ApiError) {
    if problem.status() == StatusCode::UNAUTHORIZED {
        admission.on_unauthenticated(address, problem);
    }
}

/// Middleware: refuses unauthenticated callers, whatever the path. If several peers call from the address and the body
/// names the sender, [`CallerClaim::verify_origin`] completes the authentication.
pub async fn meet(
    admission: web::Data<dyn PeerAuthPolicy>,
    signatures: Option<web::Data<SignatureJudge>>,
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let address = request.peer_addr().map(|peer| peer.ip());
    let met = match signatures {
        Some(judge) => meet_signed(&**admission, &judge, address, &mut request).await,
        None => CallerClaim::from_connection(&**admission, address, request.headers()).map(drop),
    };
    let mut answer = match met {
        Ok(()) => next.call(request).await?.map_into_boxed_body(),
        Err(problem) => {
            turned_away(&**admission, address, &problem);
            request.into_response(problem.error_response())
        }
    };
    if answer.status() == StatusCode::UNAUTHORIZED {
        answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Signature"));
    }
    Ok(answer)
}

/// Authenticates a caller by its signature, if the signature is that of a peer that proves itself so, or else by its address.
///
/// A signature of anybody else is no proof: a peer is authenticated by its own `auth` alone. It is named in the refusal if the
/// address proves nothing either.
async fn meet_signed(
    admission: &dyn PeerAuthPolicy,
    judge: &SignatureJudge,
    address: Option<IpAddr>,
    request: &mut ServiceRequest,
) -> Result<(), ApiError> {
    let by_address = |request: &ServiceRequest| CallerClaim::from_connection(admission, address, request.headers());
    let signed = SignedRequest::of(request);
    let stated = match SignatureJudge::stated(&signed) {
        None => return by_address(request).map(drop),
        Some(Err(unreadable)) => return by_address(request).map(drop).map_err(|no| instead(no, unreadable)),
        Some(Ok(stated)) => stated,
    };
    let Some(keys) = admission.signature_keys(&stated.key.server) else {
        // Who asks under another name learns nothing about which names are listed.
        let refusal = judge.check_target(&signed).err().unwrap_or_else(|| unknown_key(&stated.key));
        return by_address(request).map(drop).map_err(|no| instead(no, refusal));
    };
    let caller = judge.verify(request, &signed, &stated, &keys).await?;
    if let Some(claimed) = claimed(request.headers())?.filter(|claimed| *claimed != caller.server) {
        let words = format!("the request is signed by {}, but {ORIGIN_HEADER} names {claimed}", caller.server);
        return Err(ApiError::new(StatusCode::FORBIDDEN, "NOT_THE_SENDER", words));
    }
    authorize(admission, caller.server.clone())?;
    request.extensions_mut().insert(caller);
    Ok(())
}

/// Returns the refusal of the signature, if the address is no proof either.
fn instead(by_address: ApiError, by_signature: ApiError) -> ApiError {
    if by_address.status() == StatusCode::UNAUTHORIZED { by_signature } else { by_address }
}

/// Returns the caller that the middleware has authenticated by its signature.
fn signed_caller(request: &HttpRequest) -> Option<VerifiedCaller> {
    request.extensions().get::<VerifiedCaller>().cloned()
}

impl FromRequest for VerifiedCaller {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        signed_caller(request).map_or_else(|| met(request, identify), |caller| ready(Ok(caller)))
    }
}

impl FromRequest for CallerClaim {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let signed = signed_caller(request).map(|caller| ready(Ok(Self::Proved(caller))));
        signed.unwrap_or_else(|| met(request, Self::from_connection))
    }
}

pub mod signature_proof;
mod signed_request;
mod verified_caller;

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};
    use ipnet::IpNet;

    use super::*;

    /// Peers: red on 10.0.0.0/8 and loopback, blue on a part of it; black is listed and denied.
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

    impl PeerAuthPolicy for Book {
        fn denied(&self, server: &ServerName) -> bool {
            server.as_str() == "black.example"
        }
        fn allows_address(&self, server: &ServerName, address: IpAddr) -> bool {
            ranges().any(|(name, net)| name == *server && net.contains(&address))
        }
        fn peer_by_address(&self, address: IpAddr) -> Option<ServerName> {
            let holding = ranges().filter(|(_, net)| net.contains(&address));
            holding.max_by_key(|(_, net)| net.prefix_len()).map(|(name, _)| name)
        }
        fn is_peer_address(&self, address: IpAddr) -> bool {
            ranges().any(|(_, net)| net.contains(&address))
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
    fn name_needs_its_address_range() {
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
    fn nameless_caller_matches_longest_prefix() {
        assert_eq!(asked(Some("10.1.2.3"), &[]), Ok("blue.example".to_owned()));
        assert_eq!(asked(Some("10.3.2.1"), &[]), Ok("red.example".to_owned()));
        assert_eq!(asked(Some("::ffff:10.1.2.3"), &[]), Ok("blue.example".to_owned()));
        assert_eq!(asked(Some("192.0.2.1"), &[]), Err((401, "UNAUTHENTICATED")));
        assert_eq!(asked(None, &[]), Err((401, "UNAUTHENTICATED")));
    }

    #[test]
    fn proven_denied_peer_gets_403() {
        assert_eq!(asked(Some("10.2.0.1"), &[b"black.example"]), Err((403, "FORBIDDEN")));
        assert_eq!(asked(Some("10.2.0.1"), &[]), Err((403, "FORBIDDEN")));
        assert_eq!(asked(Some("10.3.0.1"), &[b"black.example"]), Err((401, "UNAUTHENTICATED")));
    }

    #[test]
    fn invalid_origin_header_is_400() {
        let bad = || Err((400, "BAD_ORIGIN"));
        for origin in
            [&b""[..], b"red..example", b"red example", b"red.example/", b"http://red.example", b"r\xc3\xa9d", b"\xff"]
        {
            assert_eq!(asked(Some("10.9.9.9"), &[origin]), bad(), "{origin:?}");
        }
        assert_eq!(asked(Some("10.9.9.9"), &[b"red.example", b"red.example"]), bad());
    }

    /// Peers green and grey share a range, so only the body tells which of them is calling.
    struct Shared;

    impl PeerAuthPolicy for Shared {
        fn denied(&self, server: &ServerName) -> bool {
            server.as_str() == "black.example"
        }
        fn allows_address(&self, server: &ServerName, address: IpAddr) -> bool {
            match address.to_string().as_str() {
                "10.0.0.1" => ["green.example", "grey.example"].contains(&server.as_str()),
                "10.0.0.2" => server.as_str() == "black.example",
                _ => false,
            }
        }
        fn peer_by_address(&self, address: IpAddr) -> Option<ServerName> {
            (address.to_string() == "10.0.0.2").then(|| "black.example".parse().expect("a name"))
        }
        fn is_peer_address(&self, address: IpAddr) -> bool {
            address.to_string().starts_with("10.0.0.")
        }
        fn listed(&self, server: &ServerName) -> bool {
            server.as_str() != "grey.example"
        }
    }

    fn claiming(address: &str, header: Option<&'static str>, origin: &str) -> Result<String, (u16, bool)> {
        let mut headers = HeaderMap::new();
        if let Some(header) = header {
            headers.insert(HeaderName::from_static("fernpost-origin"), HeaderValue::from_static(header));
        }
        let told = |no: ApiError, before: bool| (no.status().as_u16(), before);
        let arrival =
            CallerClaim::from_connection(&Shared, address.parse().ok(), &headers).map_err(|no| told(no, true))?;
        let caller = arrival.verify_origin(&Shared, &origin.parse().expect("a name")).map_err(|no| told(no, false))?;
        Ok(caller.server.to_string())
    }

    #[test]
    fn body_origin_must_match_caller() {
        let (green, before_body, after_body) = ("green.example", true, false);
        assert_eq!(claiming("10.0.0.1", None, green), Ok(green.to_owned()));
        assert_eq!(claiming("10.0.0.1", Some(green), green), Ok(green.to_owned()));
        assert_eq!(claiming("10.0.0.1", Some(green), "blue.example"), Err((403, after_body)));
        assert_eq!(claiming("10.0.0.1", None, "blue.example"), Err((401, after_body)));
        assert_eq!(claiming("10.0.0.3", None, green), Err((401, after_body)));
        assert_eq!(claiming("10.0.0.3", Some(green), green), Err((401, before_body)));
        assert_eq!(claiming("192.0.2.1", None, green), Err((401, before_body)));
        assert_eq!(claiming("10.0.0.2", None, green), Err((403, before_body)), "no other peer calls from this address");
        assert_eq!(claiming("10.0.0.1", None, "grey.example"), Err((403, after_body)), "no peer");
    }
}
