//! Dead peers among healthy ones: they stop no delivery, and cost next to no memory, and the log no flood. How long each delivery
//! takes is printed, and judged nowhere: that depends on what else the machine does. That the healthy wait for no dead one is
//! tested in virtual time, in `tests/supervision/delivery/dead.rs` and `src/egress/request_limiter.rs`.
//!
//! A few dead servers have stopped all delivery elsewhere, because they held every worker; destinations that were offline have
//! filled the memory, and each failed connection has left something behind.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::Method;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::fixtures::node::{Api, Node, submission};
use crate::fixtures::process::soon;
use crate::fixtures::sim::Sim;

/// Ways of being dead that a simulated peer plays; one more is a name that does not resolve.
const WAYS: [(&str, &str); 5] =
    [("refuse", "refuse"), ("drop", "blackhole"), ("silent", "silent"), ("endless", "huge"), ("tls", "garbage")];

/// Dead peers stay as busy being dead as they can.
const LIMITS: &str = "connect_timeout = \"3s\"\nrequest_timeout = \"5s\"\nbackoff_min = \"1s\"\nbackoff_max = \"8s\"\n\
                      failures_to_suspend = 1000\ninsecure = true";

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().expect("a number"))
}

/// Microseconds, by the clock that the simulated peers use.
#[expect(clippy::disallowed_methods, reason = "compared with the time at which another process took something")]
fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    u64::try_from(since.as_micros()).expect("before the year 500000")
}

/// Submissions to the healthy at a steady rate; each says when it was made. Whoever is late is not waited for. How many they were.
async fn drive(api: &Api, healthy: &[String], round: &str, rate: u64, time: Duration) -> usize {
    let (mut ticks, until) = (interval(Duration::from_micros(1_000_000 / rate)), Instant::now() + time);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut calls, mut sent) = (tokio::task::JoinSet::new(), 0);
    for (n, peer) in healthy.iter().cycle().enumerate() {
        ticks.tick().await;
        if Instant::now() >= until {
            break;
        }
        let (api, id, text) = (api.clone(), format!("{round}-{n}"), format!("{round}/{}/{n}", now()));
        let body = submission(peer, &[text]);
        sent += 1;
        calls.spawn(async move { api.call(Method::PUT, &format!("/v1/updates/{id}"), &body).await });
        while let Some(done) = calls.try_join_next() {
            assert_eq!(done.expect("no panic").expect("an answer").0, 202);
        }
    }
    while let Some(done) = calls.join_next().await {
        assert_eq!(done.expect("no panic").expect("an answer").0, 202);
    }
    sent
}

/// The ways of a whole round: without the slow ones the last percent would say nothing.
async fn all_of(sim: &Sim, healthy: &[String], round: &str, sent: usize) -> Vec<f64> {
    soon("all of the round", async {
        loop {
            let all = ways(sim, healthy, round).await;
            if all.len() >= sent {
                break all;
            }
            sleep(Duration::from_millis(50)).await;
        }
    })
    .await
}

/// The time from submission to arrival for each submission of a round, in milliseconds, sorted.
async fn ways(sim: &Sim, healthy: &[String], round: &str) -> Vec<f64> {
    let mut all = vec![];
    for peer in healthy {
        let (_, told) = sim.received(peer).await;
        for item in told["items"].as_array().expect("a list") {
            let (text, taken) = (item[0].as_str().expect("a text"), item[1].as_u64().expect("a time"));
            let mut parts = text.split('/');
            if parts.next() == Some(round) {
                let made: u64 = parts.next().expect("a time").parse().expect("a number");
                all.push(taken.saturating_sub(made) as f64 / 1000.0);
            }
        }
    }
    all.sort_by(f64::total_cmp);
    all
}

fn percentile(sorted: &[f64], share: f64) -> f64 {
    sorted[((sorted.len() as f64 * share) as usize).min(sorted.len() - 1)]
}

fn middle(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    percentile(&all, 0.5)
}

/// Queue one update for each, some peers a submission.
async fn queue(api: &Api, peers: &[String], id: &str) {
    for (n, some) in peers.chunks(50).enumerate() {
        let body = submission(&some.join("\",\""), &["is anybody there?"]);
        let (status, json) = api.call(Method::PUT, &format!("/v1/updates/{id}-{n}"), &body).await.expect("an answer");
        assert_eq!(status, 202, "{json}");
    }
}

/// How many peers are in each state, and have failed so often.
async fn failed(api: &Api, times: u64) -> (usize, BTreeMap<String, usize>) {
    let told = api.get("/v1/peers").await;
    let peers = told["peers"].as_array().expect("a list");
    let mut states = BTreeMap::new();
    for peer in peers {
        *states.entry(peer["state"].as_str().expect("a state").to_owned()).or_default() += 1;
    }
    (peers.iter().filter(|peer| peer["failures"].as_u64() >= Some(times)).count(), states)
}

async fn until_failed(api: &Api, peers: usize, times: u64) {
    let all = async {
        while failed(api, times).await.0 < peers {
            sleep(Duration::from_millis(300)).await;
        }
    };
    let patience = Duration::from_secs(120);
    if tokio::time::timeout(patience, all).await.is_err() {
        panic!("{peers} peers do not fail within {patience:?}: {:?}", failed(api, times).await);
    }
}

/// Kilobytes of memory that a process has written, in proportion where it is shared, and its open descriptors. The program
/// itself, which comes to memory as it is used, is not counted.
fn held(pid: u32) -> (u64, usize) {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("a process of ours");
    let pss = rollup.lines().find_map(|line| line.strip_prefix("Pss_Anon:")).expect("the line is there");
    let kilobytes = pss.trim().trim_end_matches(" kB").trim().parse().expect("a number");
    (kilobytes, std::fs::read_dir(format!("/proc/{pid}/fd")).expect("a process of ours").count())
}

/// All dead peers, known to a gateway, and the processes that play them.
async fn bury(red: &mut Node, dead: usize) -> (Vec<Sim>, Vec<String>) {
    let (mut sims, mut names) = (vec![], vec![]);
    if dead == 0 {
        return (sims, names);
    }
    let each = u16::try_from(dead / (WAYS.len() + 1)).expect("few");
    for (way, script) in WAYS {
        let sim = Sim::start(way, each, &["--script", script]).await;
        sim.are_known_to(red, LIMITS);
        names.extend(sim.names());
        sims.push(sim);
    }
    for n in 1..=dead - names.len() {
        let name = format!("nobody{n}.invalid");
        red.peer(&name, &format!("addresses = [\"http://{name}:7001\"]\nallow_from = [\"127.0.0.1/32\"]\n{LIMITS}"));
        names.push(name);
    }
    (sims, names)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_peers_never_slow_healthy() {
    let (peers, rate) = (number("FERNPOST_PEERS", 40) as usize, number("FERNPOST_RATE", 50));
    let (time, rounds) = (Duration::from_secs(number("FERNPOST_SECONDS", 2)), number("FERNPOST_ROUNDS", 1));
    // The deadlines of what is due at once after a stop, and a little.
    let settle = Duration::from_secs(if rounds > 1 { 7 } else { 3 });
    let healthy = Sim::start("well", u16::try_from(peers / 10).expect("few"), &[]).await;
    let names: Vec<String> = healthy.names().collect();
    let (mut calm, mut troubled) = (Node::new("calm"), Node::new("troubled"));
    healthy.are_known_to(&mut calm, LIMITS);
    healthy.are_known_to(&mut troubled, LIMITS);
    let (_sims, dead) = bury(&mut troubled, number("FERNPOST_DEAD", (peers - names.len()) as u64) as usize).await;
    calm.start().await;
    troubled.start().await;
    queue(&troubled.api(), &dead, "dead").await;
    until_failed(&troubled.api(), dead.len(), 2).await;

    // Turn by turn on the same machine: one stands still while the other is measured. Short turns, and many: a machine that others
    // use too is a third faster or slower from one minute to the next, and of two long turns that is all one sees.
    let (mut without, mut with, mut tails, mut lines) = (vec![], vec![], (vec![], vec![]), 0);
    for round in 0..rounds {
        troubled.process().signal("STOP");
        let name = format!("a{round}");
        let sent = drive(&calm.api(), &names, &name, rate, time).await;
        let turn = all_of(&healthy, &names, &name, sent).await;
        tails.0.push(percentile(&turn, 0.99));
        without.extend(turn);
        troubled.process().signal("CONT");
        // What was due while it stood still comes at once, and most of it runs into its deadline; that is no part of an ordinary
        // day.
        sleep(settle).await;
        let (name, before) = (format!("b{round}"), troubled.process().log().lines().count());
        let sent = drive(&troubled.api(), &names, &name, rate, time).await;
        let turn = all_of(&healthy, &names, &name, sent).await;
        tails.1.push(percentile(&turn, 0.99));
        with.extend(turn);
        lines += troubled.process().log().lines().count() - before;
    }
    assert!(with.len() as u64 * 4 >= rounds * rate * time.as_secs(), "the load was driven: {}", with.len());
    without.sort_by(f64::total_cmp);
    with.sort_by(f64::total_cmp);
    let (_, states) = failed(&troubled.api(), 1).await;
    let (kilobytes, descriptors) = held(troubled.process().id());
    println!(
        "figures: {} healthy and {} dead peers, {rate}/s to the healthy, {rounds} rounds of {time:?} each",
        names.len(),
        dead.len()
    );
    println!("figures: end to end ms        {:>10} {:>10} {:>8}", "without", "with dead", "ratio");
    for (title, share) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99)] {
        let (a, b) = (percentile(&without, share), percentile(&with, share));
        println!("figures:   {title:<18} {a:>10.2} {b:>10.2} {:>8.2}", b / a);
    }
    // What a stall of the whole machine does to one turn does not show here.
    let (a, b) = (middle(tails.0), middle(tails.1));
    println!("figures:   {:<18} {a:>10.2} {b:>10.2} {:>8.2}", "p99, middle turn", b / a);
    println!("figures: updates measured {} and {}; states {states:?}", without.len(), with.len());
    println!("figures: log lines {lines}; troubled holds {kilobytes} kB PSS, {descriptors} descriptors");
    assert!(lines as u64 <= 2 * rounds, "tries amid trouble are no news:\n{}", troubled.process().log());
    // Each of the dead was told of once when its trouble began.
    let log = troubled.process().log();
    for name in &dead {
        let of_it = log.lines().filter(|line| line.contains(&format!("peer={name} "))).count();
        assert_eq!(of_it, 1, "{name}:\n{log}");
    }
    assert!(dead.is_empty() || log.lines().any(|line| line.contains("next=") && line.contains("reason=")), "{log}");
}

/// What one more peer costs that waits, with all that is remembered of its attempts.
#[tokio::test]
async fn waiting_peer_costs_little_memory() {
    let many = number("FERNPOST_PEERS", 300);
    let few = (many / 3).min(100);
    let mut red = Node::new("red");
    let sim = Sim::start("refuse", u16::try_from(many).expect("few"), &["--script", "refuse"]).await;
    sim.are_known_to(&mut red, "backoff_min = \"20ms\"\nbackoff_max = \"50ms\"\nfailures_to_suspend = 20");
    // What requests under way cost at their peak is another matter, and has its own bound.
    red.start_with(&["store.cache=1MiB", "network.requests_max=16"]).await;
    let (names, few) = (sim.names().collect::<Vec<_>>(), usize::try_from(few).expect("few"));
    let mut seen = vec![];
    for (id, upto) in [("few", &names[..few]), ("many", &names[few..])] {
        queue(&red.api(), upto, id).await;
        let waiting = if id == "few" { few } else { names.len() };
        // Asked of the log: answers about all peers would be the largest thing in memory.
        let tired = |log: &str| log.matches("to=\"suspended\"").count();
        let all = async {
            while tired(&red.process().log()) < waiting {
                sleep(Duration::from_millis(300)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(120), all).await.expect("all are given up");
        // Connections of the last attempts are closed, and nothing moves any more.
        sleep(Duration::from_millis(500)).await;
        seen.push(held(red.process().id()));
    }
    let [(first, descriptors), (second, later)] = seen[..] else { panic!("two were taken") };
    let each = (second.saturating_sub(first) * 1024) as f64 / (names.len() - few) as f64;
    println!(
        "figures: {few} waiting peers {first} kB PSS, {} waiting peers {second} kB: {each:.0} bytes each; descriptors {descriptors} and {later}",
        names.len()
    );
    // Most of it is what the allocator keeps of twenty attempts at full speed. Where each attempt left a connection's buffers, or
    // the payload, behind, it would be far more.
    assert!(each < 64.0 * 1024.0, "{each:.0} bytes a waiting peer");
    assert!(later <= descriptors + 8, "descriptors: {descriptors}, then {later}");
}

/// Each failed connection elsewhere left a process and a socket behind, until the node died.
#[tokio::test]
async fn failing_connects_leak_nothing() {
    let connects = number("FERNPOST_CONNECTS", 2_000);
    let mut red = Node::new("red");
    let sim = Sim::start("refuse", 50, &["--script", "refuse"]).await;
    sim.are_known_to(
        &mut red,
        "backoff_min = \"1ms\"\nbackoff_max = \"10ms\"\njitter = 0.0\nfailures_to_suspend = 1000000",
    );
    red.start().await;
    queue(&red.api(), &sim.names().collect::<Vec<_>>(), "soak").await;
    let api = red.api();
    let tried = async |upto: u64| {
        let each = upto / 50;
        let all = async {
            while failed(&api, each).await.0 < 50 {
                sleep(Duration::from_millis(200)).await;
            }
        };
        // Attempts at dead peers begin 2 ms apart, at least.
        let patience = Duration::from_secs(30) + Duration::from_millis(10) * u32::try_from(upto).expect("few");
        tokio::time::timeout(patience, all).await.expect("the failures");
    };
    // Warm first: caches fill once.
    tried(connects / 4).await;
    let (before, descriptors) = held(red.process().id());
    tried(connects + connects / 4).await;
    let (after, later) = held(red.process().id());
    println!("figures: {connects} failing connects: {before} -> {after} kB PSS, {descriptors} -> {later} descriptors");
    assert!(after < before + 4 * 1024, "{before} -> {after} kB");
    assert!(later <= descriptors + 60, "{descriptors} -> {later} descriptors");
    let told = api.get("/v1/peers").await;
    assert!(told["peers"].as_array().expect("a list").iter().all(|peer| peer["backlog"] == 1), "{told}");
}
