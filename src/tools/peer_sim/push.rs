//! A simulated sender: pushes to a gateway in and out of order, once and twice, with every permitted numbering.

use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use fastrand::Rng;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use crate::runtime::plain_client;
use crate::terminal::exit_code::FINE;
use crate::terminal::output::remark;

/// Timeout of a push.
const CALL: Duration = Duration::from_secs(30);
/// Maximum number of attempts for a push, after waits or failures, and below, the delay between them.
const TRIES_MAX: u32 = 50;
const AGAIN: Duration = Duration::from_millis(200);
/// Longest wait that is fully observed.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// Options of the sender.
#[derive(Debug, Args)]
pub(super) struct PushPlan {
    /// Push to this gateway instead of simulating peers; the base URL of its federation listener.
    #[arg(long = "push", value_name = "URL", requires = "sender")]
    pub(super) url: Option<String>,
    /// Name of the sender; the gateway must accept it from this machine.
    #[arg(long = "as", value_name = "NAME", id = "sender")]
    sender: Option<String>,
    /// Number of items to send.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    count: u32,
    /// Number of items per request.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    batch: u32,
    /// Send everything out of order first, then in order.
    #[arg(long)]
    shuffled: bool,
    /// Send each request twice.
    #[arg(long)]
    twice: bool,
    /// Also send the number of each push's first update (from_seq).
    #[arg(long)]
    ranges: bool,
    /// Meaning of the numbers.
    #[arg(long, value_enum, default_value_t = PushNumbering::Updates)]
    numbering: PushNumbering,
    /// Send transactions of messages in this context instead of updates.
    #[arg(long, value_name = "CONTEXT")]
    context: Option<String>,
}

/// The meaning of a sender's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PushNumbering {
    /// Numbers count strong updates.
    Updates,
    /// Numbers count pushes.
    Pushes,
}

/// A request that can be sent any number of times.
#[derive(Debug, Clone, PartialEq)]
struct PreparedPush {
    path: String,
    put: bool,
    /// Number that `ok` must return.
    seq: u64,
    body: Value,
}

/// Returns all requests, in order.
fn prepared(options: &PushPlan, sender: &str) -> Vec<PreparedPush> {
    let count = u64::from(options.count);
    let firsts = (1..=count).step_by(options.batch as usize);
    let all = firsts.zip(1..).map(|(first, n): (u64, u64)| {
        let last = (first + u64::from(options.batch) - 1).min(count);
        match &options.context {
            Some(context) => transaction(sender, context, n, first, last),
            None => push(options, sender, n, first, last),
        }
    });
    all.collect()
}

fn push(options: &PushPlan, sender: &str, n: u64, first: u64, last: u64) -> PreparedPush {
    let strong: Vec<Value> =
        (first..=last).map(|item| json!({"update": "message", "text": format!("{sender}/{item}")})).collect();
    let seq = if options.numbering == PushNumbering::Pushes { n } else { last };
    let mut body = json!({"strong": strong, "seq": seq});
    if options.ranges && options.numbering == PushNumbering::Updates {
        body["from_seq"] = first.into();
    }
    PreparedPush { path: "/http/v1/updates".to_owned(), put: false, seq, body }
}

/// Returns a transaction; its messages form a chain in which each names the one before.
fn transaction(sender: &str, context: &str, n: u64, first: u64, last: u64) -> PreparedPush {
    let pdu = |item: u64| {
        let before: Vec<Value> = (item > 1).then(|| json!([sender, format!("sim-{}", item - 1)])).into_iter().collect();
        json!({"pdu_id": format!("sim-{item}"), "origin": sender, "context": context, "ts": item, "pdu_type": "m.text",
               "content": {"body": format!("{sender}/{item}")}, "prev_pdus": before})
    };
    let pdus: Vec<Value> = (first..=last).map(pdu).collect();
    let body = json!({"origin": sender, "ts": n, "prev_ids": [], "pdus": pdus});
    PreparedPush { path: format!("/matrix/federation/v1/send/{n}/"), put: true, seq: n, body }
}

/// The counters that are printed at the end.
#[derive(Debug, Default)]
struct PushTally {
    requests: u64,
    taken: u64,
    holes: u64,
    waits: u64,
    failures: u64,
}

/// The result of a request.
enum PushOutcome {
    Taken,
    Hole,
    Wait(Duration),
    Failed(String),
}

pub(super) async fn run(options: &PushPlan, seed: u64) -> anyhow::Result<u8> {
    let url = options.url.as_deref().unwrap_or_default().trim_end_matches('/');
    let sender = options.sender.as_deref().unwrap_or_default();
    let client = plain_client::builder().timeout(CALL).build().context("no HTTP client")?;
    let all = prepared(options, sender);
    let mut tally = PushTally::default();
    let times = if options.twice { 2 } else { 1 };
    if options.shuffled {
        remark!("--seed {seed}");
        let mut order: Vec<&PreparedPush> = all.iter().collect();
        Rng::with_seed(seed).shuffle(&mut order);
        for one in order {
            for _ in 0..times {
                // The result is ignored, because the request is sent again in its order.
                send(&client, url, sender, one, &mut tally).await;
            }
        }
    }
    for one in &all {
        for _ in 0..times {
            insist(&client, url, sender, one, &mut tally).await?;
        }
    }
    let PushTally { requests, taken, holes, waits, failures } = tally;
    let told = json!({"items": options.count, "requests": requests, "taken": taken, "holes": holes, "waits": waits,
                      "failures": failures});
    Ok(crate::cli::print(&format!("{told}\n"), FINE))
}

/// Repeats a request until it is accepted.
async fn insist(
    client: &Client,
    url: &str,
    sender: &str,
    one: &PreparedPush,
    tally: &mut PushTally,
) -> anyhow::Result<()> {
    let mut last = String::new();
    for _ in 0..TRIES_MAX {
        match send(client, url, sender, one, tally).await {
            PushOutcome::Taken => return Ok(()),
            PushOutcome::Wait(time) => tokio::time::sleep(time.min(WAIT_MAX)).await,
            PushOutcome::Hole => bail!("{} {}: a hole, though all before it was taken", one.path, one.seq),
            PushOutcome::Failed(why) => {
                last = why;
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
    bail!("{} {}: not taken in {TRIES_MAX} tries: {last}", one.path, one.seq)
}

async fn send(client: &Client, url: &str, sender: &str, one: &PreparedPush, tally: &mut PushTally) -> PushOutcome {
    let target = format!("{url}{}", one.path);
    let request = if one.put { client.put(target) } else { client.post(target) };
    let request = request.header("Fernpost-Origin", sender).header("Content-Type", "application/json");
    tally.requests += 1;
    let outcome = match request.body(one.body.to_string()).send().await {
        Ok(answer) => {
            let status = answer.status();
            read(one, status, &answer.text().await.unwrap_or_default())
        }
        Err(error) => PushOutcome::Failed(error.to_string()),
    };
    *match outcome {
        PushOutcome::Taken => &mut tally.taken,
        PushOutcome::Hole => &mut tally.holes,
        PushOutcome::Wait(_) => &mut tally.waits,
        PushOutcome::Failed(_) => &mut tally.failures,
    } += 1;
    outcome
}

fn read(one: &PreparedPush, status: StatusCode, text: &str) -> PushOutcome {
    let short = |text: &str| text.chars().take(200).collect::<String>();
    match status {
        StatusCode::TOO_MANY_REQUESTS => return PushOutcome::Wait(Duration::from_secs(1)),
        StatusCode::OK if one.put => return PushOutcome::Taken,
        StatusCode::OK => {}
        _ => return PushOutcome::Failed(format!("{status}: {}", short(text))),
    }
    let answer: Value = serde_json::from_str(text).unwrap_or_default();
    match answer["receive"].as_str() {
        Some("ok") if answer["seq"] == one.seq => PushOutcome::Taken,
        Some("hole_detected") => PushOutcome::Hole,
        Some("wait") => PushOutcome::Wait(Duration::from_secs(answer["wait"].as_u64().unwrap_or(1))),
        _ => PushOutcome::Failed(short(text)),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        push: PushPlan,
    }

    fn numbers(line: &str) -> Vec<(Value, Value, usize)> {
        let line = Line::parse_from(format!("sim --push http://x --as blue {line}").split(' '));
        let all = prepared(&line.push, "blue");
        all.iter()
            .map(|one| {
                (
                    one.body["seq"].clone(),
                    one.body["from_seq"].clone(),
                    one.body["strong"].as_array().map_or(0, Vec::len),
                )
            })
            .collect()
    }

    #[test]
    fn sim_numbers_updates_or_pushes() {
        let none = Value::Null;
        assert_eq!(
            numbers("--count 5 --batch 2"),
            [(2.into(), none.clone(), 2), (4.into(), none.clone(), 2), (5.into(), none.clone(), 1)]
        );
        assert_eq!(numbers("--count 3 --batch 2 --ranges"), [(2.into(), 1.into(), 2), (3.into(), 3.into(), 1)]);
        assert_eq!(
            numbers("--count 3 --batch 2 --numbering pushes"),
            [(1.into(), none.clone(), 2), (2.into(), none, 1)]
        );
    }
}
