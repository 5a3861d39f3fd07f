//! A signature of ours is verified, one of the RFC's examples is, and nothing else is.

use zeroize::Zeroizing;

use super::*;
use crate::identity::content_digest::StatedDigests;

/// A request that a test alters.
#[derive(Clone)]
struct TestRequest {
    method: &'static str,
    scheme: &'static str,
    authority: &'static str,
    target: &'static str,
    headers: Vec<(&'static str, String)>,
}

impl TestRequest {
    /// Calls `judge` with the parts of the request.
    fn with<T>(&self, judge: impl FnOnce(&SignedParts<'_>) -> T) -> T {
        let headers: Vec<(&str, &str)> = self.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let Self { method, scheme, authority, target, .. } = *self;
        judge(&SignedParts { method, scheme, authority, target, headers: &headers })
    }
}

/// Checks the digest of the body, and then the signature.
fn check_request(
    signature: &StatedSignature,
    message: &SignedParts<'_>,
    body: &[u8],
    key: &PublicKey,
) -> Result<(), SignatureError> {
    let mut check = StatedDigests::read(&message.header(CONTENT_DIGEST).join(", "))?.begin();
    check.update(body);
    check.finish()?;
    let bad = SignatureError::BadSignature(signature.key.clone());
    if is_signature_of(signature, message, key) { Ok(()) } else { Err(bad) }
}

const BODY: &[u8] = br#"{"a":1}"#;
const NOW: i64 = 1_800_000_000;

fn key(seed: u8) -> OwnKey {
    OwnKey::from_seed("1".parse().expect("an id"), &Zeroizing::new([seed; 32]))
}

fn request() -> TestRequest {
    TestRequest {
        method: "PUT",
        scheme: "https",
        authority: "red.example",
        target: "/http/v1/push?x=%2f",
        headers: vec![],
    }
}

/// A request of blue's to red, signed.
fn signed() -> (TestRequest, StatedSignature) {
    let mut request = request();
    let made = request.with(|parts| {
        sign_request(&key(7), &"blue.example".parse().expect("a name"), parts, BODY, NOW, [5; NONCE_BYTES])
    });
    let stated = StatedSignature::read(&made.signature_input, &made.signature).expect("ours is sound");
    request.headers.push((CONTENT_DIGEST, made.content_digest));
    (request, stated.expect("it has the label"))
}

#[test]
fn own_signature_is_verified() {
    let (request, stated) = signed();
    assert_eq!(request.with(|parts| check_request(&stated, parts, BODY, &key(7).public())), Ok(()));
    assert_eq!((stated.key.to_string().as_str(), stated.created, stated.nonce.len()), ("blue.example/1", NOW, 24));
}

/// Section B.2.6 of RFC 9421. It covers other components than we require, so the parts are put together here.
#[test]
fn example_of_rfc_is_verified() {
    let headers =
        [("date", "Tue, 20 Apr 2021 02:07:55 GMT"), ("content-type", "application/json"), ("content-length", "18")];
    let request = TestRequest {
        method: "POST",
        scheme: "https",
        authority: "example.com",
        target: "/foo?param=Value&Pet=dog",
        headers: headers.map(|(name, value)| (name, value.to_owned())).to_vec(),
    };
    let components = ["date", "@method", "@path", "@authority", "content-type", "content-length"];
    let covered = components.map(|name| format!("\"{name}\"")).join(" ");
    let signature = "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==";
    let bytes = base64::engine::general_purpose::STANDARD.decode(signature).expect("base64");
    let stated = StatedSignature {
        components: components.map(str::to_owned).to_vec(),
        key: "example.com/test-key-ed25519".parse().expect("a name"),
        created: 1618884473,
        expires: None,
        nonce: String::new(),
        params: format!("({covered});created=1618884473;keyid=\"test-key-ed25519\""),
        bytes: bytes.try_into().expect("64 bytes"),
    };
    let key = PublicKey::from_base64("JrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=").expect("a key");
    let base = request.with(|parts| signature_base(&stated, parts)).expect("all headers are there");
    assert!(key.verifies(base.as_bytes(), &stated.bytes), "{base}");
}

#[test]
fn altered_request_is_refused() {
    let bad = |change: fn(&mut TestRequest)| {
        let (mut request, stated) = signed();
        change(&mut request);
        request.with(|parts| check_request(&stated, parts, BODY, &key(7).public()))
    };
    let name = || "blue.example/1".parse().expect("a name");
    for change in [
        (|request: &mut TestRequest| request.method = "POST") as fn(&mut TestRequest),
        |request| request.scheme = "http",
        |request| request.authority = "green.example",
        |request| request.target = "/http/v1/push?x=/",
        |request| request.target = "/http/v1/push/?x=%2f",
        |request| request.target = "/http/v1/push?x=%2F",
    ] {
        assert_eq!(bad(change), Err(SignatureError::BadSignature(name())));
    }
    let no_digest = SignatureError::Digest(ContentDigestError::NoSha256);
    assert_eq!(bad(|request| request.headers.clear()), Err(no_digest));
    let (request, stated) = signed();
    let other_body = Err(SignatureError::Digest(ContentDigestError::OtherBody("sha-256")));
    assert_eq!(request.with(|parts| check_request(&stated, parts, br#"{"a":2}"#, &key(7).public())), other_body);
    assert_eq!(
        request.with(|parts| check_request(&stated, parts, BODY, &key(8).public())),
        Err(SignatureError::BadSignature(name()))
    );
    let mut moved = stated.clone();
    moved.params = moved.params.replace("created=18", "created=19");
    assert_eq!(
        request.with(|parts| check_request(&moved, parts, BODY, &key(7).public())),
        Err(SignatureError::BadSignature(name()))
    );
}

/// A component that the signature covers and the request does not have is no empty one.
#[test]
fn absent_covered_header_is_refused() {
    let (mut request, mut stated) = signed();
    stated.components.push("date".to_owned());
    assert!(request.with(|parts| check_request(&stated, parts, BODY, &key(7).public())).is_err());
    assert_eq!(request.with(|parts| signature_base(&stated, parts)), None);
    request.headers.push(("date", " one\t".to_owned()));
    request.headers.push(("date", "two".to_owned()));
    let base = request.with(|parts| signature_base(&stated, parts)).expect("it is there");
    assert!(base.contains("\n\"date\": one, two\n"), "{base}");
}

#[test]
fn target_is_our_name() {
    let judged = |authority: &'static str, us: &str| {
        let us: ServerName = us.parse().expect("a name");
        TestRequest { authority, ..request() }.with(|parts| check_target(parts, &us, Some(9880))).is_ok()
    };
    for (authority, us, is_ours) in [
        ("red.example", "red.example", true),
        ("RED.example", "red.example", true),
        ("red.example:9880", "red.example", true),
        ("red.example:443", "red.example", false),
        ("red.example:7000", "red.example:7000", true),
        ("red.example", "red.example:7000", false),
        ("red.example:9880", "red.example:7000", false),
        ("red.example:7000:9880", "red.example:7000", false),
        ("red.example", "red.example:9880", true),
        ("[::1]", "[::1]", true),
        ("[::1]:9880", "[::1]", true),
        ("[:", "[::1]", false),
        ("blue.example", "red.example", false),
        ("", "red.example", false),
    ] {
        assert_eq!(judged(authority, us), is_ours, "{authority} for {us}");
    }
}

#[test]
fn created_lies_within_five_minutes() {
    let (_, stated) = signed();
    let judged =
        |now_ms: i64, expires: Option<i64>| check_times(&StatedSignature { expires, ..stated.clone() }, now_ms);
    let created = NOW * 1000;
    for now in [created - 300_000, created, created + 300_000] {
        assert_eq!(judged(now, None), Ok(()));
    }
    assert_eq!(judged(created + 300_001, None), Err(SignatureError::TooOld { skew_ms: -300_001 }));
    assert_eq!(judged(created - 300_001, None), Err(SignatureError::TooNew { skew_ms: 300_001 }));
    assert_eq!(judged(created, Some(NOW + 1)), Ok(()));
    assert_eq!(judged(created, Some(NOW)), Err(SignatureError::TooOld { skew_ms: 0 }));
    assert_eq!(judged(0, Some(i64::MAX)), Err(SignatureError::TooNew { skew_ms: created }));
    let extreme = StatedSignature { created: i64::MIN, ..stated };
    assert!(check_times(&extreme, created).is_err());
}

proptest::proptest! {
    #[test]
    fn one_flipped_bit_is_refused(place in 0usize..64, bit in 0u8..8) {
        let (request, mut stated) = signed();
        stated.bytes[place] ^= 1 << bit;
        proptest::prop_assert!(request.with(|parts| check_request(&stated, parts, BODY, &key(7).public())).is_err());
    }
}
