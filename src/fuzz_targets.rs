//! Parsers of bytes that a stranger writes, each as a function of arbitrary bytes.
//!
//! A target panics if an invariant is broken. `tests/fuzz` runs them on mutated examples in every test run, and `scripts/fuzz.sh` runs
//! them under libFuzzer. The list of targets is [`TARGETS`], so that neither can forget one.

use std::net::{IpAddr, Ipv4Addr};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actors::limits::{InteropQuirks, RelayPolicy};
use actors::model::{ContextId, PduRef, ServerName};
use actors::ports::{ArchiveError, Task};
use bytes::Bytes;
use prost::Message;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::value::RawValue;

use crate::http::authentication::{caller_address, client_certificate};
use crate::http::body::encoded::BodyEncoding;
use crate::identity::content_digest::StatedDigests;
use crate::identity::origin_keys::{KeyLookup, KeyQuery, OriginKeys};
use crate::identity::public_key::{PeerKeys, PublicKey};
use crate::identity::signature_fields::StatedSignature;
use crate::json::canonical_object::CanonicalObject;
use crate::json::nesting::{BodyNestingLimit, nests_deeper_than};
use crate::json::scanner::{self, whole_value};
use crate::messenger::updates::body::UpdatesBody;
use crate::raw_targets::stream::hashes_in;
use crate::rpc::call_body::CalledMethod;
use crate::rpc::{call_message, is_json};
use crate::settings::{Settings, Sources};
use crate::tls::certificate::PresentedCertificate;
use crate::wire::pdu::relay_judge::SignatureRelayJudge;
use crate::wire::pdu::{self, PduReader, ReferenceContext};
use crate::wire::transactions::envelope::TransactionEnvelope;
use crate::wire::updates;

/// A parser as a function of bytes.
pub type FuzzTarget = fn(&[u8]);

/// All targets by name.
pub const TARGETS: &[(&str, FuzzTarget)] = &[
    ("transaction", transaction),
    ("push", push),
    ("submitted_updates", submitted_updates),
    ("json_scan", json_scan),
    ("protobuf_push", protobuf_push),
    ("protobuf_call", protobuf_call),
    ("canonical_json", canonical_json),
    ("signature_headers", signature_headers),
    ("content_digest", content_digest),
    ("certificate", certificate),
    ("forwarded", forwarded),
    ("request_target", request_target),
    ("server_name", server_name),
    ("configuration", configuration),
    ("dns_answer", dns_answer),
];

/// Runs a future that never waits.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits for something"),
    }
}

/// Facts about servers of a gateway that knows nobody and nothing.
struct NoReferences;

impl ReferenceContext for NoReferences {
    fn is_server(&self, _name: &ServerName) -> bool {
        false
    }

    fn habits(&self, _server: &ServerName) -> InteropQuirks {
        InteropQuirks::default()
    }

    fn known(&self, _context: &ContextId, _pdus: Vec<PduRef>) -> Task<Result<Vec<PduRef>, ArchiveError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn takes_part(&self, _context: &ContextId, _server: &ServerName) -> Task<Result<bool, ArchiveError>> {
        Box::pin(async { Ok(false) })
    }

    /// Signatures are read and verified, and nothing is logged.
    fn relay_policy(&self, _server: &ServerName) -> RelayPolicy {
        RelayPolicy::Any
    }
}

/// One key for every server.
struct SameKey;

impl OriginKeys for SameKey {
    fn keys_of<'a>(&'a self, _query: KeyQuery<'a>) -> KeyLookup<'a> {
        let key = PublicKey::from_base64("JrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs").expect("a key");
        Box::pin(std::future::ready(Ok(PeerKeys::from([("1".parse().expect("an id"), key)]))))
    }
}

fn with_reader<T>(read: impl FnOnce(&PduReader<'_>) -> T) -> T {
    let sender: ServerName = "blue.example".parse().expect("a name");
    let judge = SignatureRelayJudge::inline("green.example".parse().expect("a name"), Arc::new(SameKey));
    read(&PduReader::new(&sender, &NoReferences, &judge))
}

/// A transaction of PDUs, and each PDU in it.
pub fn transaction(data: &[u8]) {
    let Ok(envelope) = TransactionEnvelope::read(data) else { return };
    let _ = (envelope.origin(), envelope.number(), envelope.has_more());
    let read = with_reader(|reader| ready(envelope.transaction("1".to_owned(), 50, reader, "network")));
    for pdu in read.into_iter().flat_map(|transaction| transaction.pdus).flatten() {
        assert_eq!(pdu::identity(&pdu), pdu::identity(&pdu.clone()), "an accepted PDU has one identity");
    }
}

/// A push of updates. The pass over it and the parser read the same.
pub fn push(data: &[u8]) {
    let (body, nesting) = (Bytes::copy_from_slice(data), BodyNestingLimit::default());
    let parsed = with_reader(|reader| ready(updates::envelope::decode(&body, 1000, reader, "network")));
    if let Ok(push) = &parsed {
        assert!(push.strong.len() <= 1000, "more items than announced were accepted");
    }
    if nesting.check(&body).is_ok() {
        let limits = (1000, &nesting);
        let scanned = with_reader(|reader| ready(updates::envelope::decode_within(&body, limits, reader, "network")));
        assert_eq!(
            format!("{scanned:?}"),
            format!("{parsed:?}"),
            "a pass over the body reads another push than the parser"
        );
    }
}

/// The messenger's submission of updates. The pass over it and the parser read the same.
pub fn submitted_updates(data: &[u8]) {
    let body = Bytes::copy_from_slice(data);
    if let Some(scanned) = UpdatesBody::scan(&body) {
        assert_eq!(UpdatesBody::parse(&body), Ok(scanned), "the parser reads another submission");
    }
}

/// A JSON text. The scanner accepts what the library accepts, and finds the same depth.
pub fn json_scan(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let library = serde_json::from_str::<&RawValue>(text).ok().map(RawValue::get);
    let scanned = whole_value(text);
    assert!(scanned.is_none_or(|value| Some(value.text) == library), "the library does not accept this value");
    if library.is_some() {
        let depth = scanned.map_or(scanner::DEPTH_MAX, |value| value.depth) as usize;
        let is_deeper = nests_deeper_than(depth, data);
        assert_eq!(is_deeper, scanned.is_none(), "the text nests deeper, or the scanner refuses a value");
        assert!(depth == 0 || nests_deeper_than(depth - 1, data), "the text nests less deep");
    }
}

/// A push of updates in Protobuf, and the answer to one.
pub fn protobuf_push(data: &[u8]) {
    let (body, nesting) = (Bytes::copy_from_slice(data), BodyNestingLimit::default());
    let read = with_reader(|reader| ready(updates::protobuf::push::decode(&body, 1000, &nesting, reader, "network")));
    if let Ok(push) = read {
        assert!(push.strong.len() <= 1000, "more items than announced were accepted");
        let is_json = |bytes: &Bytes| serde_json::from_slice::<&RawValue>(bytes).is_ok();
        assert!(push.strong.iter().all(|update| is_json(&update.bytes)), "an item that is kept is no JSON");
    }
    let _ = updates::protobuf::messages::AnswerMessage::decode(body);
}

/// A call in Protobuf, and an answer to one. An error that is shown to the messenger is JSON.
pub fn protobuf_call(data: &[u8]) {
    let body = Bytes::copy_from_slice(data);
    if let Ok(json) = call_message::call_json(BodyEncoding::Protobuf, body.clone()) {
        let written = call_message::body_of(BodyEncoding::Protobuf, json.clone());
        assert!(written.len() <= json.len() + call_message::AROUND_MAX, "a message is longer than its limit");
        assert_eq!(call_message::call_json(BodyEncoding::Protobuf, written), Ok(json.clone()));
        let _ = CalledMethod::of(&json);
    }
    let success = call_message::answer_json(200, body.clone());
    if let Ok(json) = call_message::answer_json(400, body) {
        let is_error = success.ok().as_ref() != Some(&json);
        assert!(!is_error || is_json(&json), "an error is no JSON");
    }
}

/// A JSON object that is signed. What was read is written the same again.
pub fn canonical_json(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(object) = CanonicalObject::read(text) else { return };
    let canonical = object.text_without(&[]);
    let again = std::str::from_utf8(&canonical).expect("canonical JSON is UTF-8");
    let read = CanonicalObject::read(again).expect("canonical JSON is readable");
    assert_eq!(read.text_without(&[]), canonical, "canonical JSON is a fixed point");
}

/// The two headers of a signature, separated by a line feed.
pub fn signature_headers(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (input, signature) = text.split_once('\n').unwrap_or((text, ""));
    if let Ok(Some(stated)) = StatedSignature::read(input, signature) {
        assert!((16..=128).contains(&stated.nonce.len()), "a nonce has 16 to 128 characters");
    }
}

/// A response of a name server.
pub fn dns_answer(data: &[u8]) {
    crate::egress::read_response_bytes(data);
}

/// The digest of a body.
pub fn content_digest(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = StatedDigests::read(text);
}

/// A certificate in DER, or as PEM.
pub fn certificate(data: &[u8]) {
    let der = CertificateDer::from_pem_slice(data).unwrap_or_else(|_| CertificateDer::from(data.to_vec()));
    let Ok(certificate) = PresentedCertificate::parse(vec![der]) else { return };
    for name in certificate.names() {
        if let Some(exact) = name.exact() {
            assert!(certificate.covers(&exact), "a certificate covers its own exact names");
        }
    }
    let _ = (certificate.names_text(), certificate.covers("blue.example"));
}

/// The headers of a reverse proxy, one after the other in lines. A proxy that appends its caller to what the caller wrote names
/// that caller, or nobody.
pub fn forwarded(data: &[u8]) {
    const CALLER: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7));
    for name in ["forwarded", "x-forwarded-for"] {
        let entry: &[u8] = if name == "forwarded" { b"for=198.51.100.7" } else { b"198.51.100.7" };
        let first = data.split(|byte| *byte == b'\n').next().unwrap_or_default();
        for lines in [vec![[first, b", ", entry].concat()], vec![first.to_vec(), entry.to_vec()]] {
            let mut headers = HeaderMap::new();
            let values = lines.iter().filter_map(|line| HeaderValue::from_bytes(line).ok());
            values.for_each(|value| headers.append(HeaderName::from_static(name), value));
            if headers.get_all(name).count() == lines.len() {
                let found = caller_address(&headers, |ip| ip.is_loopback());
                assert!(found.is_none_or(|found| found == CALLER), "{found:?} is not whom the proxy named");
            }
        }
    }
    let mut headers = HeaderMap::new();
    for (line, name) in data.split(|byte| *byte == b'\n').zip(["forwarded", "x-forwarded-for", "x-client-cert"]) {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(HeaderName::from_static(name), value);
        }
    }
    if let Some(address) = caller_address(&headers, |ip| ip.is_loopback()) {
        assert!(!address.is_loopback(), "a trusted proxy is no caller");
    }
    let _ = client_certificate(&headers, "x-client-cert");
}

/// Requests on a connection: where a raw `#` stands does not depend on how the bytes are split.
pub fn request_target(data: &[u8]) {
    let whole = hashes_in(&[data]);
    assert!(whole.iter().all(|at| data[*at] == b'#'), "only a # is replaced");
    let middle = data.len() / 2;
    let (start, rest) = data.split_at(middle);
    assert_eq!(hashes_in(&[start, rest]), whole, "two reads find the same as one");
}

/// A server name. What was read is read the same again.
pub fn server_name(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(name) = text.parse::<ServerName>() else { return };
    assert_eq!(name.as_str().parse().as_ref(), Ok(&name), "a name is its own text");
    let _ = (name.host(), name.port());
}

/// A configuration file.
pub fn configuration(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = Settings::load(&Sources::text(text, "/nowhere"));
}
