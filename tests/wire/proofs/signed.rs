//! Signed PDUs: canonical JSON, the golden bytes of signed PDUs, and everything that a server on the way may alter. The golden files
//! were made by another implementation.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use actors::limits::PairOrder;
use actors::model::{Digest, GraphPosition, Millis, PduDraft, ServerName};
use actors::ports::PduText;
use actors::testkit::TestClock;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use fernpost::identity::key_id::KeyId;
use fernpost::identity::key_ring::{KeyRing, StoredKey};
use fernpost::identity::pdu_signature::{PduSignatureError, StatedPduSignatures};
use fernpost::identity::public_key::PublicKey;
use fernpost::identity::signing_key::OwnKey;
use fernpost::json::canonical_object::{CanonicalJsonError, CanonicalObject};
use fernpost::wire::pdu::signer::PduSigner;
use fernpost::wire::pdu::{ContentText, shown};
use zeroize::Zeroizing;

use crate::circle::{name, reference, text};

const TEXT: &str = include_str!("../golden/signed/text.json");
const STATE: &str = include_str!("../golden/signed/state.json");

fn canonical(text: &str) -> Result<String, CanonicalJsonError> {
    CanonicalObject::read(text).map(|object| String::from_utf8(object.text_without(&[])).expect("text"))
}

fn key(id: &str, seed: u8) -> OwnKey {
    OwnKey::from_seed(id.parse().expect("an id"), &Zeroizing::new([seed; 32]))
}

/// The keys of red, which signed the golden PDUs.
fn keys() -> Vec<(KeyId, PublicKey)> {
    let keys = [key("2025", 6), key("2026-11", 7)];
    keys.iter().map(|key| (key.id().clone(), key.public())).collect()
}

fn red() -> ServerName {
    name("red.example")
}

fn verified(pdu: &str) -> Result<(), PduSignatureError> {
    StatedPduSignatures::read(pdu, &red())?.verify(pdu, &keys())
}

/// Returns the code that stands for a failure.
fn fault(pdu: &str) -> &'static str {
    match verified(pdu) {
        Ok(()) => "valid",
        Err(PduSignatureError::NotSigned(_)) => "not signed",
        Err(PduSignatureError::UnknownKey { .. }) => "unknown key",
        Err(PduSignatureError::Wrong(_)) => "wrong",
    }
}

#[test]
fn canonical_json_matches_vectors() {
    let lines: Vec<&str> = include_str!("../golden/canonical/vectors.txt").lines().collect();
    assert_eq!(lines.len(), 12);
    for pair in lines.chunks(2) {
        assert_eq!(canonical(pair[0]).as_deref(), Ok(pair[1]));
        assert_eq!(canonical(pair[1]).as_deref(), Ok(pair[1]), "a canonical text stays unchanged");
    }
}

#[test]
fn ambiguous_json_has_no_canonical_form() {
    let twice = |key: &str| Err(CanonicalJsonError::DuplicateKey(key.to_owned()));
    for (text, expected) in [
        (r#"{"a":1,"a":1}"#, twice("a")),
        (r#"{"a":1,"\u0061":2}"#, twice("a")),
        (r#"{"x":[{"b":{"":1,"c":2,"":3}}]}"#, twice("")),
        (r#"{"a":"\ud800"}"#, Err(CanonicalJsonError::HalfSurrogate)),
        (r#"{"a":["\udc00\ud800"]}"#, Err(CanonicalJsonError::HalfSurrogate)),
        (r#"{"\ud83d":1}"#, Err(CanonicalJsonError::HalfSurrogate)),
        ("[]", Err(CanonicalJsonError::NotAnObject)),
        ("{} {}", Err(CanonicalJsonError::NotAnObject)),
        (r#"{"a":NaN}"#, Err(CanonicalJsonError::NotAnObject)),
    ] {
        assert_eq!(canonical(text), expected, "{text}");
    }
}

/// Composes the draft of a golden PDU.
fn composed(content: &'static str, state: Option<(String, i64)>, at: &GraphPosition) -> Bytes {
    let (is_state, id) = (state.is_some(), if state.is_some() { "c" } else { "b" });
    let draft = PduDraft {
        receipt: false,
        submission: "m-1".parse().expect("an id"),
        digest: Digest([0; 16]),
        accepted: Millis(if is_state { 1_795_291_147_258 } else { 1_795_291_147_257 }),
        id: format!("01936f2a7c0d7c3e8a5b4c6d7e8f9a0{id}").parse().expect("an id"),
        kind: if is_state { "m.room.name" } else { "m.text" }.into(),
        content: Bytes::from_static(content.as_bytes()),
        state,
        to: None,
        extra: if is_state { vec![] } else { vec![("zeta".to_owned(), Bytes::from_static(b"[ 1E400 ]"))] },
    };
    let ring = KeyRing::new(vec![StoredKey { key: key("2026-11", 7), created: UNIX_EPOCH, signs_from: UNIX_EPOCH }]);
    let signer = PduSigner::new(Arc::new(ring), Arc::new(TestClock::fixed(Millis(1))));
    ContentText::signed_by(signer).compose(&red(), &draft, at)
}

fn position(sign: bool) -> GraphPosition {
    GraphPosition {
        context: "#garden".parse().expect("an id"),
        prev: vec![reference("blue.example", "b1"), reference("red.example", "r1")],
        depth: 8,
        prev_state: None,
        to: None,
        sign,
    }
}

const CONTENT: &str = r#"{"n": 1208925819614629174706177, "z":1.0e2,"a":"\u00e9\/"}"#;

#[test]
fn composed_pdu_carries_golden_signature() {
    assert_eq!(text(&composed(CONTENT, None, &position(true))), TEXT.trim_end());
    let first =
        GraphPosition { prev: vec![], depth: 0, prev_state: Some(reference("green.example", "s1")), ..position(true) };
    let state = composed("{\"name\":\"caf\u{e9}\"}", Some((String::new(), -1)), &first);
    assert_eq!(text(&state), STATE.trim_end());
    assert!(!text(&composed(CONTENT, None, &position(false))).contains("signatures"));
}

/// Content with a key twice is carried as it is, and has no signature.
#[test]
fn unsignable_pdu_is_composed_unsigned() {
    let pdu = composed(r#"{"a":1,"a":2}"#, None, &position(true));
    assert!(text(&pdu).contains(r#""content":{"a":1,"a":2}"#) && !text(&pdu).contains("hashes"), "{}", text(&pdu));
}

#[test]
fn golden_signature_survives_rewriting() {
    for pdu in [TEXT, STATE] {
        assert_eq!(verified(pdu), Ok(()));
        let swapped = shown(&Bytes::from(pdu.trim_end()), None, PairOrder::IdFirst);
        assert_eq!(verified(text(&swapped)), Ok(()));
    }
    let value: serde_json::Value = serde_json::from_str(STATE).expect("JSON");
    let sorted = serde_json::to_string_pretty(&value).expect("JSON");
    assert_eq!(verified(&sorted), Ok(()), "order, spaces and escapes do not matter");
    assert_eq!(verified(&TEXT.replace("\\u00e9\\/", "\u{e9}/")), Ok(()));
    let signature = signature_of(TEXT);
    assert_eq!(verified(&TEXT.replace(&signature, &format!("{signature}=="))), Ok(()), "base64 with padding");
}

#[test]
fn foreign_signature_forms_are_accepted() {
    assert_eq!(verified(include_str!("../golden/signed/padded.json")), Ok(()));
    assert_eq!(verified(include_str!("../golden/signed/hashless.json")), Ok(()));
    let hash = "IkraN55ZjaD0vIt9f5j3rTj/Wao1qHs77Lzfll8N6GE";
    assert_eq!(
        fault(&TEXT.replace(hash, &format!("{hash}="))),
        "wrong",
        "the signature covers the hash as it is written"
    );
}

fn signature_of(pdu: &str) -> String {
    let (_, rest) = pdu.split_once("\"ed25519:2026-11\":\"").expect("a signature");
    rest.split('"').next().expect("a text").to_owned()
}

#[test]
fn altered_pdu_is_not_verified() {
    let signature = signature_of(TEXT);
    let mut bytes = STANDARD_NO_PAD.decode(&signature).expect("base64");
    bytes[9] ^= 1;
    let forged = STANDARD_NO_PAD.encode(&bytes);
    let altered = |from: &str, to: &str| {
        assert!(TEXT.contains(from), "{from}");
        TEXT.replace(from, to)
    };
    for (pdu, expected) in [
        (altered("706177", "706178"), "wrong"),
        (altered("1.0e2", "1.00e2"), "wrong"),
        (altered("#garden", "#attic"), "wrong"),
        (altered("\"depth\":8", "\"depth\":9"), "wrong"),
        (altered("\"r1\"", "\"r2\""), "wrong"),
        (altered("[\"blue.example\",\"b1\"],", ""), "wrong"),
        (altered("[\"blue.example\",\"b1\"]", "[\"b1\",\"blue.example\"]"), "wrong"),
        (altered("\"zeta\"", "\"eta\""), "wrong"),
        (altered("\"IkraN55", "\"IkraN56"), "wrong"),
        (altered("\"sha256\"", "\"sha512\""), "wrong"),
        (altered(&signature, &forged), "wrong"),
        (altered(&signature, &signature[1..]), "wrong"),
        (altered(&signature, "%"), "wrong"),
        (altered(&format!("\"{signature}\""), "7"), "wrong"),
        (altered("{\"n\": 1", "{\"n\":2,\"n\": 1"), "wrong"),
        (altered("\"a\":\"\\u00e9", "\"a\":\"\\ud800"), "wrong"),
        (altered("\"signatures\":{", "\"signatures\":[],\"s\":{"), "wrong"),
        (altered("ed25519:2026-11", "ed25519:2025"), "wrong"),
        (altered("ed25519:2026-11", "ed25519:2027"), "unknown key"),
        (altered("ed25519:2026-11", "ed448:2026-11"), "not signed"),
        (altered("\"signatures\":{\"red.example\"", "\"signatures\":{\"blue.example\""), "not signed"),
        (altered("\"signatures\":{\"red.example\"", "\"signatures\":{\"RED.example\""), "valid"),
        (altered("\"signatures\":", "\"signature\":"), "not signed"),
    ] {
        assert_eq!(fault(&pdu), expected, "{pdu}");
    }
}
