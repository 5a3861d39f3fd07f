//! Dead peers among healthy ones stop no delivery, use little memory, and do not flood the log. The delivery times are
//! printed and not checked, because they depend on the load of the machine. That healthy peers do not wait for dead ones is
//! tested in virtual time, in `tests/supervision/delivery/dead.rs` and `src/egress/request_limiter.rs`.
//!
//! In other servers, a few dead peers have stopped all delivery because they held every worker, queues for offline
//! destinations have filled the memory, and each failed connection has leaked a resource.

use std::collections::BTreeMap;
use std::time::Duration;

use ::fixtures::clients::messenger_client::{MessengerClient, submission};
use reqwest::Method;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::fixtures::node::GatewayProcess;
use crate::fixtures::process::soon;
use crate::fixtures::sim::Sim;

/// Behaviours of dead peers that a simulated peer plays; a further one is a name that does not resolve.
const WAYS: [(&str, &str); 5] =
    [("refuse", "refuse"), ("drop", "blackhole"), ("silent", "silent"), ("endless", "huge"), ("tls", "garbage")];

/// With these limits dead peers cause as much work as they can.
const LIMITS: &str = "connect_timeout = \"3s\"\nrequest_timeout = \"5s\"\nbackoff_min = \"1s\"\nbackoff_max = \"8s\"\n\
                      failures_to_suspend = 1000\ninsecure = true";

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().expect("a number"))
}

/// Returns the time in microseconds, by the clock that the simulated peers use.
#[expect(clippy::disallowed_methods, reason = "compared with the time at which another process took something")]
fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    u64::try_from(since.as_micros()).expect("before the year 500000")
}

/// Submits to the healthy peers at a steady rate; each text contains its submission time. A late answer does not slow the
/// rate. Returns the number of submissions.
async fn drive(api: &MessengerClient, healthy: &[String], round: &str, rate: u64, time: Duration) -> usize {
    let (mut ticks, until) = (interval(Duration::from_micros(1_000_000 / rate)), Instant::now() + time);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut calls, mut sent) = (tokio::task::JoinSet::new(), 0);
    for (n, peer) in healthy.iter().cycle().enumerate() {
        ticks.tick().await;
        if Instant::now() >= until {
            break;
        }
        let (api, id, text) = (api.clone(), format!("{round}-{n}"), format!("{round}/{}/{n}", now()));
        let body = submission(&[peer], &[text]);
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

/// Waits for the delivery times of a whole round: without the slowest ones the last percentile would be meaningless.
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

/// Queues one update for each peer, with several peers per submission.
async fn queue(api: &MessengerClient, peers: &[String], id: &str) {
    for (n, some) in peers.chunks(50).enumerate() {
        api.submit(&format!("updates/{id}-{n}"), &submission(some, &["is anybody there?"])).await;
    }
}

/// Returns how many peers have failed at least this often, and the number of peers per state.
async fn failed(api: &MessengerClient, times: u64) -> (usize, BTreeMap<String, usize>) {
    let told = api.get("/v1/peers").await;
    let peers = told["peers"].as_array().expect("a list");
    let mut states = BTreeMap::new();
    for peer in peers {
        *states.entry(peer["state"].as_str().expect("a state").to_owned()).or_default() += 1;
    }
    (peers.iter().filter(|peer| peer["failures"].as_u64() >= Some(times)).count(), states)
}

async fn until_failed(api: &MessengerClient, peers: usize, times: u64) {
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

/// Returns the kilobytes of memory that a process has written, proportionally for shared pages, and its open descriptors.
/// The pages of the program itself are not counted.
fn held(pid: u32) -> (u64, usize) {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("a process of ours");
    let pss = rollup.lines().find_map(|line| line.strip_prefix("Pss_Anon:")).expect("the line is there");
    let kilobytes = pss.trim().trim_end_matches(" kB").trim().parse().expect("a number");
    (kilobytes, std::fs::read_dir(format!("/proc/{pid}/fd")).expect("a process of ours").count())
}

/// Starts all dead peers, makes them peers of a gateway, and returns their processes.
async fn bury(red: &mut GatewayProcess, dead: usize) -> (Vec<Sim>, Vec<String>) {
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
    // Time for the attempts that are due at once after a stop to reach their deadlines, and a little more.
    let settle = Duration::from_secs(if rounds > 1 { 7 } else { 3 });
    let healthy = Sim::start("well", u16::try_from(peers / 10).expect("few"), &[]).await;
    let names: Vec<String> = healthy.names().collect();
    let (mut calm, mut troubled) = (GatewayProcess::new("calm"), GatewayProcess::new("troubled"));
    healthy.are_known_to(&mut calm, LIMITS);
    healthy.are_known_to(&mut troubled, LIMITS);
    let (_sims, dead) = bury(&mut troubled, number("FERNPOST_DEAD", (peers - names.len()) as u64) as usize).await;
    calm.start().await;
    troubled.start().await;
    queue(&troubled.api(), &dead, "dead").await;
    until_failed(&troubled.api(), dead.len(), 2).await;

    // The two gateways take turns: one is stopped while the other is measured. Turns are short and many, because a shared
    // machine becomes a third faster or slower from one minute to the next, which would dominate two long turns.
    let (mut without, mut with, mut tails, mut lines) = (vec![], vec![], (vec![], vec![]), 0);
    for round in 0..rounds {
        troubled.process().signal("STOP");
        let name = format!("a{round}");
        let sent = drive(&calm.api(), &names, &name, rate, time).await;
        let turn = all_of(&healthy, &names, &name, sent).await;
        tails.0.push(percentile(&turn, 0.99));
        without.extend(turn);
        troubled.process().signal("CONT");
        // Attempts that became due during the stop start at once and mostly run into their deadlines; this is not normal
        // load.
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
    // The median of the turns hides a stall of the whole machine in one turn.
    let (a, b) = (middle(tails.0), middle(tails.1));
    println!("figures:   {:<18} {a:>10.2} {b:>10.2} {:>8.2}", "p99, middle turn", b / a);
    println!("figures: updates measured {} and {}; states {states:?}", without.len(), with.len());
    println!("figures: log lines {lines}; troubled holds {kilobytes} kB PSS, {descriptors} descriptors");
    assert!(lines as u64 <= 2 * rounds, "attempts during an outage are not logged:\n{}", troubled.process().log());
    // Each dead peer was logged once, when its outage began.
    let log = troubled.process().log();
    for name in &dead {
        let of_it = log.lines().filter(|line| line.contains(&format!("peer={name} "))).count();
        assert_eq!(of_it, 1, "{name}:\n{log}");
    }
    assert!(dead.is_empty() || log.lines().any(|line| line.contains("next=") && line.contains("reason=")), "{log}");
}

/// Measures the memory of one more waiting peer, including the record of its attempts.
#[tokio::test]
async fn waiting_peer_costs_little_memory() {
    let many = number("FERNPOST_PEERS", 300);
    let few = (many / 3).min(100);
    let mut red = GatewayProcess::new("red");
    let sim = Sim::start("refuse", u16::try_from(many).expect("few"), &["--script", "refuse"]).await;
    sim.are_known_to(&mut red, "backoff_min = \"20ms\"\nbackoff_max = \"50ms\"\nfailures_to_suspend = 20");
    // The memory of requests in flight at their peak has a bound of its own.
    red.start_with(&["store.cache=1MiB", "network.requests_max=16"]).await;
    let (names, few) = (sim.names().collect::<Vec<_>>(), usize::try_from(few).expect("few"));
    let mut seen = vec![];
    for (id, upto) in [("few", &names[..few]), ("many", &names[few..])] {
        queue(&red.api(), upto, id).await;
        let waiting = if id == "few" { few } else { names.len() };
        // The states are read from the log, because a response about all peers would be the largest object in memory.
        let tired = |log: &str| log.matches("to=\"suspended\"").count();
        let all = async {
            while tired(&red.process().log()) < waiting {
                sleep(Duration::from_millis(300)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(120), all).await.expect("all are suspended");
        // The connections of the last attempts are closed, and nothing else happens.
        sleep(Duration::from_millis(500)).await;
        seen.push(held(red.process().id()));
    }
    let [(first, descriptors), (second, later)] = seen[..] else { panic!("two were taken") };
    let each = (second.saturating_sub(first) * 1024) as f64 / (names.len() - few) as f64;
    println!(
        "figures: {few} waiting peers {first} kB PSS, {} waiting peers {second} kB: {each:.0} bytes each; descriptors {descriptors} and {later}",
        names.len()
    );
    // Most of it is memory that the allocator keeps after twenty attempts at full speed. If each attempt leaked a
    // connection's buffers or the payload, it would be far more.
    assert!(each < 64.0 * 1024.0, "{each:.0} bytes a waiting peer");
    assert!(later <= descriptors + 8, "descriptors: {descriptors}, then {later}");
}

/// In other servers each failed connection leaked a process and a socket, until the node failed.
#[tokio::test]
async fn failing_connects_leak_nothing() {
    let connects = number("FERNPOST_CONNECTS", 2_000);
    let mut red = GatewayProcess::new("red");
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
        // Attempts at dead peers start at least 2 ms apart.
        let patience = Duration::from_secs(30) + Duration::from_millis(10) * u32::try_from(upto).expect("few");
        tokio::time::timeout(patience, all).await.expect("the failures");
    };
    // The first attempts fill the caches.
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
