//! Requests with signatures that prove nothing. Signature and base are made here by hand, not by the code under test.

use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr};

use ::fixtures::clients::messenger_client::texts;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fernpost::identity::signing_key::OwnKey;
use serde::Deserialize;
use sha2::{Digest, Sha256, Sha512};

use crate::corpus::area::repeat_area;
use crate::corpus::requests::judge;
use crate::corpus::table::{NamedInput, bytes, read_table};
use crate::fixtures::node::GatewayProcess;
use crate::fixtures::raw::Raw;
use crate::peers::signatures::{key, seconds};

/// The difference from a sound request.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenSignature {
    name: String,
    request: Option<String>,
    host: Option<String>,
    /// `Signature-Input`, empty if it is absent; so are the next two.
    input: Option<String>,
    signature: Option<String>,
    digest: Option<String>,
    #[serde(default)]
    headers: String,
    body: Option<String>,
    /// Bytes behind the body that the digest does not cover.
    #[serde(default)]
    more: String,
    /// Parameters that are signed, where they are not those of `input`.
    signed: Option<String>,
    method: Option<String>,
    uri: Option<String>,
    #[serde(default)]
    key: SigningHand,
    /// Number of times that it is sent; the verdict is that of the last.
    #[serde(default = "one")]
    copies: usize,
    verdict: String,
}

fn one() -> usize {
    1
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum SigningHand {
    #[default]
    Blue,
    Other,
}

/// An input with the request line of its group.
struct SignedInput {
    line: String,
    written: WrittenSignature,
}

impl NamedInput for SignedInput {
    fn name(&self) -> &str {
        &self.written.name
    }
}

fn inputs() -> Vec<SignedInput> {
    read_table("signatures").into_iter().map(|(line, written)| SignedInput { line, written }).collect()
}

pub(super) fn names() -> Vec<String> {
    inputs().into_iter().map(|input| input.written.name).collect()
}

/// The order of the group, least byte first.
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

/// A push that changes nothing: it has no strong update.
const PROBE: &str = r#"{"strong":[],"seq":0}"#;

/// The hand of blue, which signs requests to red.
struct BlueSigner {
    blue: OwnKey,
    other: OwnKey,
    nonces: Cell<u64>,
}

impl BlueSigner {
    /// Replaces the placeholders of a text, except those of the signature.
    fn filled(&self, text: &str, nonce: u64, body: &[u8]) -> String {
        let mut text = text
            .replace("{covered}", "(\"@method\" \"@target-uri\" \"content-digest\")")
            .replace("{created}", "created={now}")
            .replace("{keyid}", "keyid=\"blue/1\"")
            .replace("{alg}", "alg=\"ed25519\"")
            .replace("{nonce}", &format!("nonce=\"corpus-{nonce:020}\""))
            .replace("{digest}", &STANDARD.encode(Sha256::digest(body)))
            .replace("{digest512}", &STANDARD.encode(Sha512::digest(body)));
        while let Some((before, rest)) = text.split_once("{now") {
            let (shift, after) = rest.split_once('}').expect("a closed placeholder");
            let shift: i64 = if shift.is_empty() { 0 } else { shift.parse().expect("a number") };
            text = format!("{before}{}{after}", seconds() + shift);
        }
        text
    }

    /// Returns the bytes of a request, signed anew.
    fn request(&self, input: &SignedInput) -> Vec<u8> {
        let SignedInput { line, written } = input;
        self.nonces.set(self.nonces.get() + 1);
        let nonce = self.nonces.get();
        let body = bytes(written.body.as_deref().unwrap_or(PROBE));
        let fill = |text: &Option<String>, usual: &str| self.filled(text.as_deref().unwrap_or(usual), nonce, &body);
        let digest = fill(&written.digest, "sha-256=:{digest}:");
        let stated = fill(&written.input, "sig1={covered};{created};{keyid};{alg};{nonce}");
        let signed = fill(&written.signed, stated.split_once('=').map_or("", |(_, params)| params));
        let base = self.base(written, &signed, &digest);
        let key = match written.key {
            SigningHand::Blue => &self.blue,
            SigningHand::Other => &self.other,
        };
        let signature =
            with_signature(written.signature.as_deref().unwrap_or("sig1=:{signature}:"), key.sign(base.as_bytes()));

        let line = written.request.as_deref().unwrap_or(line);
        let host = written.host.as_deref().unwrap_or("red");
        let mut head = format!("{line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n").into_bytes();
        for (name, value) in [("Content-Digest", &digest), ("Signature-Input", &stated), ("Signature", &signature)] {
            if !value.is_empty() {
                head.extend([name.as_bytes(), b": ", &bytes(value), b"\r\n"].concat());
            }
        }
        let length = body.len() + written.more.len();
        head.extend([&bytes(&written.headers), format!("Content-Length: {length}\r\n\r\n").as_bytes()].concat());
        [head, body, written.more.clone().into_bytes()].concat()
    }

    /// Returns the text that is signed (RFC 9421, section 2.5). A header that is altered on the way was signed with another value.
    fn base(&self, written: &WrittenSignature, params: &str, digest: &str) -> String {
        let covered =
            params.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map_or("", |(covered, _)| covered);
        let mut base = String::new();
        for component in covered.split_whitespace() {
            let value = match component.trim_matches('"') {
                "@method" => written.method.as_deref().unwrap_or("POST"),
                "@target-uri" => written.uri.as_deref().unwrap_or("http://red/http/v1/updates"),
                "content-digest" => digest,
                _ => "original",
            };
            base += &format!("{component}: {value}\n");
        }
        base + &format!("\"@signature-params\": {}", String::from_utf8_lossy(&bytes(params)))
    }
}

/// Replaces the placeholder of a signature.
fn with_signature(text: &str, sound: [u8; 64]) -> String {
    let Some((before, rest)) = text.split_once("{signature") else { return text.to_owned() };
    let (change, after) = rest.split_once('}').expect("a closed placeholder");
    let mut signature = sound;
    match (change.strip_prefix('^'), change) {
        (Some(at), _) => signature[at.parse::<usize>().expect("a place")] ^= 0x80,
        (None, "+order") => {
            let mut carry = 0;
            for (byte, order) in signature[32..].iter_mut().zip(ORDER) {
                let sum = u16::from(*byte) + u16::from(order) + carry;
                (*byte, carry) = (sum.to_le_bytes()[0], sum >> 8);
            }
        }
        _ => assert_eq!(change, "", "a known placeholder"),
    }
    with_signature(&format!("{before}{}{after}", STANDARD.encode(signature)), sound)
}

async fn sent(request: &[u8], to: SocketAddr) -> Vec<u8> {
    Raw::connect(Ipv4Addr::LOCALHOST, to).await.reply(request).await
}

#[tokio::test]
async fn bad_signatures_get_their_verdicts() {
    let mut red = GatewayProcess::new("red");
    let blue = GatewayProcess::new("blue");
    let (secret, pinned) = key(&blue);
    let address = "addresses = [\"http://127.0.0.1:9\"]";
    red.peer_section("blue", &format!("{address}\nauth = \"signature\"\nkeys = [\"{pinned}\"]"));
    red.peer("green", &format!("{address}\nallow_from = [\"127.0.0.4/32\"]"));
    red.start_with(&["store.cache=1MiB"]).await;
    let to = red.federation;
    let other = OwnKey::from_seed("1".parse().expect("an id"), &zeroize::Zeroizing::new([3; 32]));
    let signer = BlueSigner { blue: secret, other, nonces: Cell::new(0) };
    repeat_area("signatures", &inputs(), &mut red, async |input| {
        let request = signer.request(input);
        let mut answer = vec![];
        for _ in 0..input.written.copies {
            answer = sent(&request, to).await;
        }
        judge(&answer, &input.written.verdict)
    })
    .await;
    assert_eq!(red.api().get("/v1/events?after=0").await["next"], 0);

    // The same request without any fault is accepted, so each one above was refused for its fault alone.
    let body = r#"{"strong":[{"text":"hello"}],"seq":1}"#;
    let written = WrittenSignature { body: Some(body.to_owned()), copies: 1, ..WrittenSignature::default() };
    let good = SignedInput { line: "POST /http/v1/updates".to_owned(), written };
    judge(&sent(&signer.request(&good), to).await, "200 ok").expect("a good push");
    assert_eq!(texts(&red.api().hear(1).await), ["hello"]);
    let log = red.kill();
    assert!(!log.contains("panic") && !log.contains("ERROR"), "{log}");
}
