//! The fuzz targets on examples, mutated: a few hundred runs of each in every test run. `scripts/fuzz.sh` makes millions.

use fernpost::fuzz_targets::TARGETS;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// Valid inputs that mutations begin with; every target gets all of them.
const EXAMPLES: &[&[u8]] = &[
    br#"{"origin":"blue.example","ts":1,"pdus":[{"pdu_id":"a","origin":"blue.example","context":"!c:blue.example","ts":1,"pdu_type":"m.text","prev_pdus":[["blue.example","b"]],"depth":2,"is_state":false,"content":{"body":"x"}}],"edus":[]}"#,
    br#"{"seq":2,"from_seq":1,"strong":[{"update":"message","text":"a"},{"pdu":{"pdu_id":"a"}}],"weak":[{"update":"typing"}]}"#,
    br#"{"to":["blue.example","red"],"receipt":true,"strong":[{"update":"message","text":"a\u00e9"},{"n":[1.0e2,[{}]]},{"\u0075pdate":"pdu"}]}"#,
    b"sig1=(\"@method\" \"@target-uri\" \"content-digest\");created=1700000000;keyid=\"blue.example/1\";alg=\"ed25519\";nonce=\"0123456789abcdef\"\nsig1=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==:",
    b"sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:, sha-512=:z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg==:",
    b"for=\"[2001:db8::7]:443\";proto=https, for=127.0.0.1\n198.51.100.7, 127.0.0.1\n-----BEGIN%20CERTIFICATE-----%0AAA%3D%3D%0A-----END%20CERTIFICATE-----",
    b"PUT /matrix/federation/v1/send/1/#x HTTP/1.1\r\nHost: red\r\nContent-Length: 3\r\n\r\n#a#GET /# HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n##\r\n0\r\n\r\n",
    b"server.name = \"red.example\"\n[federation]\nlisten = \"127.0.0.1:9880\"\n[peers.server.\"blue.example\"]\nauth = \"network\"\nallow_from = [\"10.0.0.0/8\"]\n",
    b"[2001:db8::1]:8448",
    b"\x0a\x02{}\x12\x02{}\x12\x12{\"update\":\"pdu\",\"pdu\":{}}\x12\x01x\x18\x03 \x01",
    b"\x0a\x1a{\"method\":\"fernpost.ping\"}\x12\x08RPC_BUSY\x18\x02",
    b"\x00\x01\x81\x80\x00\x01\x00\x04\x00\x00\x00\x00\x03red\x07example\x00\x00\x01\x00\x01\xc0\x0c\x00\x05\x00\x01\x00\x00\x00<\x00\x0b\x01a\x07example\x00\x01a\x07example\x00\x00\x01\x00\x01\x00\x00\x01,\x00\x04\xc0\x00\x02\x01\xc0\x0c\x00\x1c\x00\x01\x00\x00\x00\x05\x00\x10 \x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\xc0\x0c\x00!\x00\x01\x00\x00\x00\x05\x00\x11\x00\x0a\x00\x05!\x00\x01b\x07example\x00",
];

/// Returns an example with some bytes replaced, removed, repeated or inserted, or arbitrary bytes.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let edits = proptest::collection::vec((any::<prop::sample::Index>(), 0_u8..4, any::<u8>()), 0..12);
    let example = (prop::sample::select(EXAMPLES), edits).prop_map(|(example, edits)| {
        let mut bytes = example.to_vec();
        for (at, kind, byte) in edits {
            if bytes.is_empty() {
                break;
            }
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, byte),
                _ => bytes.extend_from_within(at..),
            }
        }
        bytes
    });
    prop_oneof![4 => example, 1 => proptest::collection::vec(any::<u8>(), 0..200)]
}

#[test]
fn targets_hold_on_mutated_examples() {
    for (name, target) in TARGETS {
        let mut runner = TestRunner::new(Config { cases: 300, failure_persistence: None, ..Config::default() });
        let run = runner.run(&mutated(), |bytes| {
            target(&bytes);
            Ok(())
        });
        assert!(run.is_ok(), "{name}: {run:?}");
    }
}
