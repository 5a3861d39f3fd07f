//! The judge of relayed PDUs: which proof a reader gives to a PDU, by the policy of its sender and the keys of its origin.

use std::future::ready;
use std::sync::Arc;

use actors::limits::RelayPolicy;
use actors::model::{DialectSpec, ParkedCode, PduProof};
use actors::testkit::at_once;
use fernpost::identity::origin_keys::{KeyLookup, KeyQuery, NoKeysError, OriginKeys};
use fernpost::identity::public_key::{PeerKeys, PublicKey};
use fernpost::wire::pdu::PduReader;
use fernpost::wire::pdu::relay_judge::{RelayJudge, RelayedPdu, SignatureRelayJudge};
use serde_json::value::RawValue;
use tokio::time::Instant;

use crate::circle::{Circle, name};

const TEXT: &str = include_str!("../golden/signed/text.json");

/// The key of red that signed the golden PDUs; nobody else has one.
struct RedKey;

impl OriginKeys for RedKey {
    fn keys_of<'a>(&'a self, query: KeyQuery<'a>) -> KeyLookup<'a> {
        let key = PublicKey::from_base64("6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw").expect("a key");
        let keys = PeerKeys::from([("2026-11".parse().expect("an id"), key)]);
        Box::pin(ready((query.server.as_str() == "red.example").then_some(keys).ok_or(NoKeysError::NotFetched)))
    }
}

fn judge(us: &str) -> SignatureRelayJudge {
    SignatureRelayJudge::inline(name(us), Arc::new(RedKey))
}

/// Returns the code of a missing proof.
fn code(proof: &PduProof) -> Option<ParkedCode> {
    match proof {
        PduProof::Missing(missing) => Some(missing.code),
        PduProof::Sender | PduProof::Signature => None,
    }
}

#[tokio::test]
async fn reader_proves_only_relayed_pdus() {
    let circle = Circle::default();
    let raw: &RawValue = serde_json::from_str(TEXT.trim_end()).expect("JSON");
    let altered = TEXT.replace("#garden", "#attic");
    let forged: &RawValue = serde_json::from_str(altered.trim_end()).expect("JSON");
    for (sender, text, expected) in [
        ("red.example", forged, Ok(PduProof::Sender)),
        ("blue", raw, Ok(PduProof::Signature)),
        ("blue", forged, Err(ParkedCode::BadPduSignature)),
    ] {
        let (sender, judge) = (name(sender), judge("us"));
        let proof = PduReader::new(&sender, &circle, &judge).read(text).await.expect("sound").proof;
        assert_eq!(code(&proof).map_or(Ok(proof), Err), expected, "{sender}");
    }
}

#[tokio::test]
async fn policy_and_keys_decide_on_proof() {
    let unsigned = TEXT.replace("\"signatures\"", "\"seal\"");
    let altered = TEXT.replace("#garden", "#attic");
    let (blue, red, green) = (name("blue"), name("red.example"), name("green.example"));
    let of_green = TEXT.replace("{\"red.example\":{\"ed", "{\"green.example\":{\"ed");
    for (us, policy, origin, text, expected) in [
        ("us", RelayPolicy::None, &red, TEXT, Err(ParkedCode::RelayedNotAccepted)),
        ("us", RelayPolicy::Signed, &red, TEXT, Ok(PduProof::Signature)),
        ("us", RelayPolicy::Signed, &red, &unsigned, Err(ParkedCode::PduNotSigned)),
        ("us", RelayPolicy::Signed, &red, &altered, Err(ParkedCode::BadPduSignature)),
        ("us", RelayPolicy::Signed, &green, &of_green, Err(ParkedCode::UnknownKey)),
        ("us", RelayPolicy::Any, &red, TEXT, Ok(PduProof::Signature)),
        ("us", RelayPolicy::Any, &red, &altered, Ok(PduProof::Sender)),
        ("us", RelayPolicy::Any, &green, &of_green, Ok(PduProof::Sender)),
        // A PDU of our own: the policy is about others.
        ("red.example", RelayPolicy::None, &red, TEXT, Ok(PduProof::Signature)),
        ("red.example", RelayPolicy::Signed, &red, &altered, Ok(PduProof::Sender)),
    ] {
        let proof = judge(us)
            .judge(RelayedPdu {
                sender: &blue,
                policy,
                origin,
                dialect: DialectSpec::UPDATES,
                since: Instant::now(),
                text,
            })
            .await;
        assert_eq!(code(&proof).map_or(Ok(proof), Err), expected, "{policy:?} {text}");
    }
}

/// A judge with threads of its own gives the same answers.
#[tokio::test]
async fn pool_verifies_as_caller_does() {
    let pooled = SignatureRelayJudge::new(name("us"), Arc::new(RedKey)).expect("threads");
    let (blue, red) = (name("blue"), name("red.example"));
    let altered = TEXT.replace("#garden", "#attic");
    for text in [TEXT, &altered] {
        let (policy, dialect) = (RelayPolicy::Signed, DialectSpec::UPDATES);
        let relayed = RelayedPdu { sender: &blue, policy, origin: &red, dialect, since: Instant::now(), text };
        assert_eq!(pooled.judge(relayed).await, judge("us").judge(relayed).await);
    }
}

/// PDUs of the sender itself cost no lookup and no thread: their reader is ready at once.
#[test]
fn senders_own_pdus_stay_unjudged() {
    let (circle, red) = (Circle::default(), name("red.example"));
    let raw: &RawValue = serde_json::from_str(TEXT.trim_end()).expect("JSON");
    assert_eq!(at_once(PduReader::new(&red, &circle, &judge("us")).read(raw)).expect("sound").proof, PduProof::Sender);
}
