//! Every key that limits a peer must have an effect, and every refusal must name its limit. Keys that refuse are tested
//! here; for keys that shape what is sent, the table names the test that proves it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use actors::limits::{ContextLimits, PeerLimits};
use actors::model::{Digest, Submission, SubmittedContent};
use bytes::Bytes;
use fernpost::egress::{EgressAnswer as Wanted, EgressRequest};
use fernpost::settings::Settings;
use fixtures::network::{CALM, TestNetwork};
use fixtures::node::TestNode;
use fixtures::peers::{server, usual_peers};
use fixtures::time::{BASE, world};

use crate::missing::asking::{pdu, send};

/// Keys that refuse: their value, and the words that a refusal must contain.
const REFUSING: &[(&str, &str)] = &[
    ("intake_max", "peers.intake_max is reached (1)"),
    ("intake_items", "at most 1 item (peers.intake_items), this one has 2"),
    ("outbox_items", "is full: the limit is 1 (peers.outbox_items)"),
    ("outbox_bytes", "is full: the limit is 3 (peers.outbox_bytes)"),
    ("rate", "peers.rate is reached (1)"),
];

/// Keys that refuse nothing but shape what is sent, kept or accepted: the test that fails without each.
const SHAPING: &[(&str, &str)] = &[
    ("connections_max", "peer_has_its_own_limit"),
    ("rpc_max", "calls_of_peer_are_bounded"),
    ("batch_items", "batch_is_bounded_but_never_empty"),
    ("batch_bytes", "batch_is_bounded_but_never_empty"),
    ("retain", "acknowledged_rows_trim_by_retention"),
    ("retain_items", "acknowledged_rows_trim_by_retention"),
    ("wait_max", "excessive_wait_is_clamped"),
    ("backoff_min", "repeated_failures_suspend_until_success"),
    ("backoff_max", "backoff_doubles_to_cap"),
    ("jitter", "backoff_jitter_stays_under_cap"),
    ("failures_to_suspend", "repeated_failures_suspend_until_success"),
    ("probe_every", "repeated_failures_suspend_until_success"),
    ("restarts_max", "crash_loop_ends_in_faulty"),
    ("restarts_period", "crash_loop_ends_in_faulty"),
    ("weak_items", "ephemeral_buffer_keeps_newest_per_key"),
    ("weak_ttl", "expired_ephemeral_is_not_sent"),
    ("paused", "paused_peer_keeps_queue_and_receives"),
    ("receipts", "receipts_follow_acknowledgement_of_messenger"),
    ("numbering", "configured_numbering_is_never_learned"),
    ("accept_relayed", "relay_policy_decides_what_is_accepted"),
    ("hold_max", "delayed_request_accepted_at_hold_max"),
    ("expect_seq", "configured_expect_seq_applies_once"),
    ("quarantine_items", "quarantine_keeps_newest_and_notifies"),
    ("keep", "item_expires_by_age_not_failures"),
    ("notify_after", "only_slow_message_reports_acknowledgement"),
    ("renumber_max", "renumber_max_bounds_receiver_ahead"),
    ("attempts_keep", "failed_attempts_survive_restart_and_bound"),
    ("fetch_items", "each_measure_exhausts_fetch_budget"),
    ("fetch_bytes", "each_measure_exhausts_fetch_budget"),
    ("fetch_seconds", "each_measure_exhausts_fetch_budget"),
    ("connect_timeout", "stalled_handshake_ends_with_connect_timeout"),
    ("request_timeout", "silent_response_times_out"),
];

/// Keys that identify a peer and limit nothing.
const LINK: &[&str] = &[
    "profile",
    "dialect",
    "addresses",
    "auth",
    "allow_from",
    "insecure",
    "reach_tests",
    "keys",
    "fingerprints",
    "encoding",
    "groups",
    "route",
];

/// Returns the refusal when the limit of each refusing key is reached.
async fn met(key: &str) -> String {
    let tight = |peer: &mut PeerLimits| match key {
        "intake_max" => peer.intake_max = 1,
        "intake_items" => peer.intake_items = 1,
        "outbox_items" => peer.outbox_items = 1,
        "outbox_bytes" => peer.outbox_bytes = 3,
        "rate" => (peer.rate, peer.intake_items) = (1, 1),
        other => panic!("{other} is not handled here"),
    };
    let network = TestNetwork::new(1, CALM);
    let blue = TestNode::start(&network, "blue", usual_peers("blue").with_peer("red", tight)).await;
    match key {
        "outbox_items" | "outbox_bytes" => {
            let two = Submission {
                id: "m".parse().unwrap(),
                digest: Digest([7; 16]),
                accepted: BASE,
                servers: vec![server("red")],
                left_out: vec![],
                receipt: false,
                what: SubmittedContent::Updates(vec![Bytes::from_static(b"{}"); 2]),
            };
            blue.gateway().submit(two).await.unwrap_err().to_string()
        }
        "intake_items" => pushed(&network, r#"{"strong":[{"n":1},{"n":2}],"seq":2}"#).await,
        "rate" => {
            pushed(&network, r#"{"strong":[{"n":1}],"seq":1}"#).await;
            pushed(&network, r#"{"strong":[{"n":2}],"seq":2}"#).await
        }
        _ => {
            let push = || pushed(&network, r#"{"strong":[{"n":1}],"seq":1}"#);
            let (first, second) = tokio::join!(push(), push());
            if first.contains("wait") { first } else { second }
        }
    }
}

/// Returns blue's response to a push of red.
async fn pushed(network: &Arc<TestNetwork>, body: &str) -> String {
    let body = Bytes::from(body.to_owned());
    let request = EgressRequest::post("/http/v1/updates", body, Wanted::Needed);
    let answer = network.knock((server("red"), server("blue")), request).await.expect("blue lives");
    String::from_utf8(answer.body.to_vec()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn peer_limit_refusal_names_its_key() {
    world(async {
        for (key, words) in REFUSING {
            let said = met(key).await.replace("strong update", "item");
            assert!(said.contains(words), "{key} says {said}");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn context_limit_refusal_names_its_key() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let tight = |contexts: &mut ContextLimits| (contexts.participants_max, contexts.adopt_max) = (1, 1);
        let blue = TestNode::start(&network, "blue", usual_peers("blue").with_contexts(tight)).await;
        let servers = vec![server("red"), server("green")];
        let refused = blue.gateway().set_participants(&"c".parse().unwrap(), servers).await.unwrap_err();
        assert!(refused.to_string().contains("1 participant (contexts.participants_max)"), "{refused}");

        assert_eq!(send(&network, "green", "1", &[pdu("green", "a", "one", &[])]).await.status, 200);
        let both = [pdu("green", "b", "one", &[]), pdu("green", "c", "two", &[])];
        let answer = String::from_utf8(send(&network, "green", "2", &both).await.body.to_vec()).unwrap();
        assert!(answer.contains(r#""status":"accepted"},{"pdu_id":"c""#), "existing contexts continue: {answer}");
        assert!(answer.contains("contexts.adopt_max is reached (1)"), "{answer}");
        assert_eq!(blue.gateway().metrics().refusals, [("contexts.adopt_max", 1)]);
        blue.restart(fixtures::disk::SurvivingBytes::Synced).await;
        let answer = String::from_utf8(send(&network, "green", "3", &both[1..]).await.body.to_vec()).unwrap();
        assert!(answer.contains("contexts.adopt_max is reached (1)"), "after a restart, too: {answer}");
        blue.with("two", &["green"]).await;
        let answer = String::from_utf8(send(&network, "green", "4", &both[1..]).await.body.to_vec()).unwrap();
        assert!(
            answer.contains(r#""status":"accepted""#),
            "contexts that our messenger creates are not counted: {answer}"
        );
    })
    .await;
}

#[test]
fn every_peer_key_has_test() {
    let manual = Settings::defaults_toml();
    let section = manual.split("[peers.default]").nth(1).expect("it is there");
    let keys: BTreeSet<&str> = section.lines().filter_map(key_of).collect();
    let mut sources = String::new();
    for folder in ["src", "actors/src", "tests"] {
        read(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut sources);
    }
    for (key, test) in SHAPING {
        assert!(keys.contains(key), "{key} is no key of a peer");
        assert!(sources.contains(&format!("fn {test}()")), "{key}: there is no test {test}");
    }
    let shaping = SHAPING.iter().map(|(key, _)| *key);
    let walked = REFUSING.iter().map(|(key, _)| *key).chain(shaping).chain(LINK.iter().copied());
    assert_eq!(keys, walked.collect());
}

/// Returns the key of a line of the manual; keys without a default are commented out.
fn key_of(line: &str) -> Option<&str> {
    let (key, _) = line.trim_start_matches("# ").split_once(" = ")?;
    key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_').then_some(key)
}

/// Reads all Rust files below a folder.
fn read(folder: &Path, into: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.extension() {
            _ if path.is_dir() => read(&path, into),
            Some(kind) if kind == "rs" => into.push_str(&fs::read_to_string(path).unwrap()),
            _ => {}
        }
    }
}
