//! Limits that do nothing, and refusals that do not say which limit was met: each key that bounds a peer is walked here. Those
//! that refuse name themselves and their value; of those that shape what is sent, the test that proves it is named.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use actors::limits::{ContextLimits, PeerLimits};
use actors::model::{Digest, Submission, Submitted};
use bytes::Bytes;
use fernpost::egress::{Answer as Wanted, Request};
use fernpost::settings::Settings;

use crate::asking::{pdu, send};
use crate::network::{BASE, CALM, Network};
use crate::node::{Node, world};
use crate::surroundings::{Book, server};

/// Keys that refuse: what they are set to, and the words a refusal must have.
const REFUSING: &[(&str, &str)] = &[
    ("intake_max", "peers.intake_max is reached (1)"),
    ("intake_items", "at most 1 item (peers.intake_items), this one has 2"),
    ("outbox_items", "1 is the most it may (peers.outbox_items)"),
    ("outbox_bytes", "3 is the most it may (peers.outbox_bytes)"),
    ("rate", "peers.rate is reached (1)"),
];

/// Keys that refuse nobody but shape what is sent, kept or believed: the test that fails without them.
const SHAPING: &[(&str, &str)] = &[
    ("batch_items", "a_push_is_bounded_in_items_and_bytes_but_one_item_always_goes"),
    ("batch_bytes", "a_push_is_bounded_in_items_and_bytes_but_one_item_always_goes"),
    ("retain", "acknowledged_rows_go_by_number_by_age_and_a_few_at_a_time"),
    ("retain_items", "acknowledged_rows_go_by_number_by_age_and_a_few_at_a_time"),
    ("wait_max", "a_wait_beyond_the_limit_is_clamped"),
    ("backoff_min", "failures_back_off_and_end_in_probes_and_a_success_clears_them"),
    ("backoff_max", "one_day_of_failures_does_not_part_two_servers_for_a_week"),
    ("jitter", "jitter_moves_both_ways_and_never_over_the_cap"),
    ("failures_to_suspend", "failures_back_off_and_end_in_probes_and_a_success_clears_them"),
    ("probe_every", "failures_back_off_and_end_in_probes_and_a_success_clears_them"),
    ("restarts_max", "a_crash_loop_slows_down_and_ends_in_suspended_faulty"),
    ("restarts_period", "a_crash_loop_slows_down_and_ends_in_suspended_faulty"),
    ("weak_items", "the_newest_of_a_key_wins_and_the_oldest_of_all_goes_first"),
    ("weak_ttl", "what_is_stale_is_not_sent"),
    ("paused", "a_paused_peer_keeps_its_queue_and_still_takes"),
    ("numbering", "what_the_operator_says_is_never_learned_otherwise"),
    ("hold_max", "what_was_held_for_long_is_taken_all_the_same"),
    ("expect_seq", "a_number_in_the_configuration_is_applied_once_and_again_when_it_is_another"),
    ("quarantine_items", "quarantine_keeps_the_newest_and_tells_the_messenger_each_time"),
    ("keep", "distance_never_ends_the_life_of_an_item_and_age_does_in_whatever_state_its_peer_is"),
    ("notify_after", "a_message_that_waited_long_is_told_of_and_one_that_did_not_is_not"),
    ("renumber_max", "how_far_a_peer_may_be_ahead_is_the_operators_word"),
    ("attempts_keep", "failed_attempts_survive_a_restart_and_are_bounded"),
    ("fetch_items", "an_endless_chain_of_invented_parents_ends_with_the_budget"),
    ("fetch_bytes", "an_endless_chain_of_invented_parents_ends_with_the_budget"),
    ("fetch_seconds", "an_endless_chain_of_invented_parents_ends_with_the_budget"),
    ("connect_timeout", "clients_are_kept_by_connect_timeout_and_are_bounded"),
    ("request_timeout", "silence_and_a_half_answer_end_at_the_deadline"),
];

/// Keys that say who a peer is, and bound nothing.
const LINK: &[&str] = &["profile", "dialect", "addresses", "auth", "allow_from", "insecure"];

/// What each refusing key says when it is met.
async fn met(key: &str) -> String {
    let tight = |peer: &mut PeerLimits| match key {
        "intake_max" => peer.intake_max = 1,
        "intake_items" => peer.intake_items = 1,
        "outbox_items" => peer.outbox_items = 1,
        "outbox_bytes" => peer.outbox_bytes = 3,
        "rate" => (peer.rate, peer.intake_items) = (1, 1),
        other => panic!("{other} is not known here"),
    };
    let network = Network::new(1, CALM);
    let blue = Node::start(&network, "blue", Book::usual("blue").with_peer("red", tight)).await;
    match key {
        "outbox_items" | "outbox_bytes" => {
            let two = Submission {
                id: "m".parse().unwrap(),
                digest: Digest([7; 16]),
                accepted: BASE,
                servers: vec![server("red")],
                left_out: vec![],
                what: Submitted::Updates(vec![Bytes::from_static(b"{}"); 2]),
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

/// What blue says to a push of red.
async fn pushed(network: &Arc<Network>, body: &str) -> String {
    let body = Bytes::from(body.to_owned());
    let request = Request::post("/http/v1/updates", body, Wanted::Needed { bytes_max: 1 << 20 });
    let answer = network.knock((server("red"), server("blue")), request).await.expect("blue lives");
    String::from_utf8(answer.body.to_vec()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn nobody_has_to_guess_which_limiter_fired() {
    world(async {
        for (key, words) in REFUSING {
            let said = met(key).await.replace("strong update", "item");
            assert!(said.contains(words), "{key} says {said}");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_bounds_all_peers_names_itself_too() {
    world(async {
        let network = Network::new(1, CALM);
        let tight = |contexts: &mut ContextLimits| (contexts.participants_max, contexts.adopt_max) = (1, 1);
        let blue = Node::start(&network, "blue", Book::usual("blue").with_contexts(tight)).await;
        let servers = vec![server("red"), server("green")];
        let refused = blue.gateway().set_participants(&"c".parse().unwrap(), servers).await.unwrap_err();
        assert!(refused.to_string().contains("1 participant (contexts.participants_max)"), "{refused}");

        assert_eq!(send(&network, "green", "1", &[pdu("green", "a", "one", &[])]).await.status, 200);
        let both = [pdu("green", "b", "one", &[]), pdu("green", "c", "two", &[])];
        let answer = String::from_utf8(send(&network, "green", "2", &both).await.body.to_vec()).unwrap();
        assert!(answer.contains(r#""status":"accepted"},{"pdu_id":"c""#), "what was begun goes on: {answer}");
        assert!(answer.contains("contexts.adopt_max is reached (1)"), "{answer}");
        blue.restart(crate::disk::Survives::Synced).await;
        let answer = String::from_utf8(send(&network, "green", "3", &both[1..]).await.body.to_vec()).unwrap();
        assert!(answer.contains("contexts.adopt_max is reached (1)"), "after a restart, too: {answer}");
        blue.with("two", &["green"]).await;
        let answer = String::from_utf8(send(&network, "green", "4", &both[1..]).await.body.to_vec()).unwrap();
        assert!(answer.contains(r#""status":"accepted""#), "what our messenger creates is not counted: {answer}");
    })
    .await;
}

#[test]
fn a_key_of_a_peer_that_nothing_proves_is_found_here() {
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

/// The key of a line of the manual; those without a default are commented out.
fn key_of(line: &str) -> Option<&str> {
    let (key, _) = line.trim_start_matches("# ").split_once(" = ")?;
    key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_').then_some(key)
}

/// All Rust below a folder.
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
