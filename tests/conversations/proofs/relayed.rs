//! PDUs that come from another server than their origin: which are accepted, under which codes they are not, and what the feed says.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actors::limits::RelayPolicy;
use actors::testkit::TestPeers;
use bytes::Bytes;
use fernpost::egress::{EgressAnswer as Wanted, EgressRequest};
use fernpost::identity::pdu_signature::{SigningMembers, sign_pdu};
use fernpost::identity::signing_key::OwnKey;
use fixtures::keys::key_of;
use fixtures::messenger::{context, named};
use fixtures::network::{CALM, TestNetwork};
use fixtures::node::TestNode;
use fixtures::peers::{server, usual_peers};
use fixtures::time::{seconds, world};

use crate::missing::asking::{pdu, send, verdicts};

/// Returns a PDU as its origin signs it: with a depth, which everybody sends.
pub(super) fn signed(origin: &str, id: &str, prev: &[&str]) -> String {
    let pdu = pdu(origin, id, "garden", prev).replace("\"ts\":7", "\"ts\":7,\"depth\":3");
    signed_by(&key_of(&server(origin)), origin, &pdu)
}

fn signed_by(key: &OwnKey, name: &str, pdu: &str) -> String {
    let SigningMembers { hashes, signatures } = sign_pdu(pdu, &server(name), key).unwrap();
    format!("{},\"hashes\":{hashes},\"signatures\":{signatures}}}", pdu.strip_suffix('}').unwrap())
}

fn with_policy(policy: RelayPolicy) -> TestPeers {
    usual_peers("blue").with_peer("red", |limits| limits.accept_relayed = policy)
}

/// Starts blue, who verifies, in a context with the others.
async fn blue(network: &Arc<TestNetwork>, peers: TestPeers) -> Rc<TestNode> {
    let blue = TestNode::signing(network, "blue", peers).await;
    blue.with("garden", &["red", "green", "grey", "rose"]).await;
    blue
}

/// Returns each PDU in the feed with what was verified.
async fn heard(node: &TestNode) -> Vec<String> {
    node.read().await;
    node.pdus().iter().map(|pdu| format!("{} {}", named(&pdu.reference), pdu.verified)).collect()
}

/// Everything that red may pass on to blue in one transaction, with the verdict on each.
#[tokio::test(start_paused = true)]
async fn relayed_pdus_get_their_codes() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let blue = blue(&network, with_policy(RelayPolicy::Signed)).await;
        let other_key = signed_by(&key_of(&server("red")), "green", &pdu("green", "c", "garden", &[]));
        let cases = [
            (pdu("red", "own", "garden", &[]), "own accepted"),
            (signed("red", "false", &[]).replace("\"text\"", "\"body\""), "false accepted"),
            (signed("green", "a", &[]), "a accepted"),
            (pdu("green", "b", "garden", &[]), "b PDU_NOT_SIGNED"),
            (other_key, "c BAD_PDU_SIGNATURE"),
            (signed("green", "d", &[]).replace("\"text\":\"d\"", "\"text\":\"e\""), "d BAD_PDU_SIGNATURE"),
            (signed("green", "e", &[]).replace("\"ts\":7", "\"ts\":8"), "e BAD_PDU_SIGNATURE"),
            (
                signed("green", "f", &[]).replace("\"prev_pdus\":[]", "\"prev_pdus\":[[\"red.example\",\"own\"]]"),
                "f BAD_PDU_SIGNATURE",
            ),
            (signed("green", "g", &[]).replace("ed25519:1", "ed25519:2"), "g UNKNOWN_KEY"),
            (signed("rose", "h", &[]), "h UNKNOWN_KEY"),
            (signed("green", "i", &[]).replace("{\"text\"", "{\"text\":0,\"text\""), "i BAD_PDU_SIGNATURE"),
            (signed("green", "a", &[]).replace("\"ts\":7", "\"ts\":8"), "a duplicate"),
            (pdu("green", "a", "garden", &[]), "a duplicate"),
            (
                signed("green", "j", &["red/own"]).replace("[\"red.example\",\"own\"]", "[\"own\",\"red.example\"]"),
                "j accepted",
            ),
        ];
        let (pdus, expected): (Vec<String>, Vec<&str>) = cases.into_iter().unzip();
        assert_eq!(verdicts(&send(&network, "red", "1", &pdus).await), expected);
        let heard = heard(&blue).await;
        let proved = ["green/a pdu-signature", "red/false network", "red/own network", "green/j pdu-signature"];
        assert_eq!(heard, proved);
        // Who brings a PDU of its own proves it by that alone.
        let own = [pdu("green", "b", "garden", &[])];
        assert_eq!(verdicts(&send(&network, "green", "2", &own).await), ["b accepted"]);
    })
    .await;
}

/// The policy is that of the server that passes a PDU on.
#[tokio::test(start_paused = true)]
async fn relay_policy_decides_what_is_accepted() {
    world(async {
        for (policy, plain, with_signature, proofs) in [
            (RelayPolicy::None, "a RELAYED_NOT_ACCEPTED", "b RELAYED_NOT_ACCEPTED", vec![]),
            (RelayPolicy::Signed, "a PDU_NOT_SIGNED", "b accepted", vec!["green/b pdu-signature"]),
            (RelayPolicy::Any, "a accepted", "b accepted", vec!["green/a relayed", "green/b pdu-signature"]),
        ] {
            let network = TestNetwork::new(1, CALM);
            let blue = blue(&network, with_policy(policy)).await;
            let pdus = [pdu("green", "a", "garden", &[]), signed("green", "b", &[])];
            assert_eq!(verdicts(&send(&network, "red", "1", &pdus).await), [plain, with_signature], "{policy:?}");
            assert_eq!(heard(&blue).await, proofs, "{policy:?}");
            let pdus = [pdu("red", "c", "garden", &[])];
            let verdicts = verdicts(&send(&network, "green", "1", &pdus).await);
            assert_eq!(verdicts, ["c PDU_NOT_SIGNED"], "green's own policy");
        }
    })
    .await;
}

/// A stranger's copy is refused as such, and never kept. A relayed PDU of a stranger needs a signature before it is kept.
#[tokio::test(start_paused = true)]
async fn strangers_are_refused_before_proofs() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let blue = TestNode::signing(&network, "blue", usual_peers("blue")).await;
        blue.with("garden", &["red"]).await;
        let both = [pdu("red", "a", "garden", &[]), signed("red", "b", &[])];
        let stranger = ["a SENDER_NOT_A_PARTICIPANT", "b SENDER_NOT_A_PARTICIPANT"];
        assert_eq!(verdicts(&send(&network, "green", "1", &both).await), stranger);
        let both = [pdu("green", "a", "garden", &[]), signed("green", "b", &[])];
        assert_eq!(
            verdicts(&send(&network, "red", "1", &both).await),
            ["a PDU_NOT_SIGNED", "b parkedNOT_A_PARTICIPANT"]
        );
        // What was verified when it came is said when it is delivered.
        blue.with("garden", &["red", "green"]).await;
        seconds(1).await;
        assert_eq!(heard(&blue).await, ["green/b pdu-signature"]);
        let new = [pdu("green", "c", "attic", &[])];
        assert_eq!(verdicts(&send(&network, "red", "2", &new).await), ["c PDU_NOT_SIGNED"]);
        assert!(blue.gateway().context(&context("attic")).await.is_err(), "an unproved PDU creates no context");
    })
    .await;
}

async fn push(network: &TestNetwork, seq: u64, pdus: &[String]) -> String {
    let strong: Vec<String> = pdus.iter().map(|pdu| format!(r#"{{"update":"pdu","pdu":{pdu}}}"#)).collect();
    let body = format!(r#"{{"strong":[{}],"seq":{seq}}}"#, strong.join(","));
    let request = EgressRequest::post("/http/v1/updates", Bytes::from(body), Wanted::Needed);
    let answer = network.knock((server("red"), server("blue")), request).await.expect("blue lives");
    String::from_utf8(answer.body.to_vec()).unwrap()
}

/// In the updates dialect an update that is not accepted was received: it goes to quarantine under its code.
#[tokio::test(start_paused = true)]
async fn pushed_relays_are_quarantined_by_code() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let blue = blue(&network, with_policy(RelayPolicy::Signed)).await;
        let bad = signed("green", "b", &[]).replace("\"ts\":7", "\"ts\":8");
        let pdus = [signed("green", "a", &[]), bad, pdu("green", "c", "garden", &[]), signed("rose", "d", &[])];
        let answer = push(&network, 4, &pdus).await;
        let parked = r#""parked":[[2,"BAD_PDU_SIGNATURE"],[3,"PDU_NOT_SIGNED"],[4,"UNKNOWN_KEY"]]"#;
        assert!(answer.contains(r#""receive":"ok","seq":4"#) && answer.contains(parked), "{answer}");
        let feed = blue.feed().await;
        let words = |id: &str, code: &str| format!("parked {id} of red: {code}");
        for line in [words("b", "BAD_PDU_SIGNATURE"), words("c", "PDU_NOT_SIGNED"), words("d", "UNKNOWN_KEY")] {
            assert!(feed.contains(&line), "{line}: {feed:?}");
        }
        assert_eq!(heard(&blue).await, ["green/a pdu-signature"]);
        // Its origin's own copy is not blocked.
        assert_eq!(verdicts(&send(&network, "green", "1", &pdus[2..3]).await), ["c accepted"]);
        let again = push(&network, 5, &[signed("green", "c", &[])]).await;
        assert!(!again.contains("parked"), "what is held is a duplicate: {again}");
    })
    .await;
}

/// Of a fetched PDU the sender is the server that answers; its policy and the signature of the origin decide.
#[tokio::test(start_paused = true)]
async fn fetched_relay_needs_signature() {
    world(async {
        for (policy, expected) in [
            (RelayPolicy::Signed, ["grey/a pdu-signature", "red/b network"]),
            (RelayPolicy::None, ["", "red/b network"]),
        ] {
            let network = TestNetwork::new(1, CALM);
            let red = TestNode::signing(&network, "red", usual_peers("red")).await;
            red.with("garden", &["blue", "grey"]).await;
            let blue = TestNode::signing(&network, "blue", with_policy(policy)).await;
            blue.with("garden", &["red", "grey"]).await;
            // Grey sends to red only, and is gone when blue lacks what it sent.
            let from_grey = [signed("grey", "a", &[])];
            assert_eq!(
                verdicts(&crate::missing::asking::send_to(&network, "grey", "red", "1", &from_grey).await),
                ["a accepted"]
            );
            red.say("garden", "b").await;
            seconds(200).await;
            let heard: Vec<String> = heard(&blue).await;
            let expected: Vec<&str> = expected.into_iter().filter(|line| !line.is_empty()).collect();
            assert_eq!(heard, expected, "{policy:?}");
        }
    })
    .await;
}

/// The verdict is that of the arrival: it survives the wait for a parent, and a restart.
#[tokio::test(start_paused = true)]
async fn held_pdu_keeps_its_proof() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let blue = blue(&network, with_policy(RelayPolicy::Any)).await;
        let children = [signed("green", "b", &["red/a"]), pdu("green", "c", "garden", &["red/a"])];
        assert_eq!(verdicts(&send(&network, "red", "1", &children).await), ["b held", "c held"]);
        blue.restart(fixtures::disk::SurvivingBytes::Synced).await;
        assert_eq!(verdicts(&send(&network, "red", "2", &[pdu("red", "a", "garden", &[])]).await), ["a accepted"]);
        assert_eq!(heard(&blue).await, ["red/a network", "green/b pdu-signature", "green/c relayed"]);
    })
    .await;
}

/// PDUs that a busy context could not take in time were judged on arrival.
#[tokio::test(start_paused = true)]
async fn staged_pdu_keeps_its_verdict() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let peers = with_policy(RelayPolicy::Signed).with_contexts(|contexts| contexts.arrive_timeout = Duration::ZERO);
        let blue = blue(&network, peers).await;
        let pdus = [pdu("red", "a", "garden", &[]), signed("green", "b", &[]), pdu("green", "c", "garden", &[])];
        assert_eq!(verdicts(&send(&network, "red", "1", &pdus).await), ["a held", "b held", "c held"]);
        seconds(5).await;
        let feed = blue.feed().await;
        assert!(feed.contains(&"parked c of red: PDU_NOT_SIGNED".to_owned()), "{feed:?}");
        assert_eq!(heard(&blue).await, ["green/b pdu-signature", "red/a network"]);
    })
    .await;
}
