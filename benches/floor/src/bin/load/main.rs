//! Drives one relay or gateway from end to end: submits updates on one side and sees each arrive on the other.
//!
//! `load --submit URL --events URL --to NAME [--messages N] [--per-request K] [--connections C] [--size BYTES]`
//! `     [--contexts N [--context-prefix P]] [--latency-rate R] [--ack call|read] [--token T] [--deadline SECONDS]`
//! `     [--do all|submit|receive|create] [--run NAME]`
//! `load --submit URL --sink URL --peers N --fan F ...`
//! `load --play ADDR`
//!
//! Each update must be seen exactly once, and those of one request in their order, or the run fails. Without
//! `--latency-rate` it submits as fast as the answers allow, with it R updates a second. With `--contexts` it sends
//! messages into so many contexts in turn, which `--do create` makes. `--play` plays every peer at one address, and a
//! run with `--sink` is for F of N such peers a message and waits for their number. One line of JSON comes out.

mod plan;
mod receive;
mod sink;
mod submit;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use plan::{Plan, needed, option};
use receive::{AckStyle, Received, receive};
use serde::Deserialize;
use submit::{Submitted, create_contexts, submit_all};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{sleep, timeout};
use wire::Conn;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The pause between two lines of progress.
const PROGRESS: Duration = Duration::from_millis(200);

#[derive(Deserialize)]
struct Delivered {
    delivered: u64,
    holes: u64,
}

/// Asks the sink for the number of deliveries, once it is at least `wanted`.
async fn delivered(url: &str, wanted: u64) -> Result<Delivered, Failure> {
    let mut conn = Conn::open(url, None).await?;
    let answer = conn.call("GET", &format!("/delivered?at_least={wanted}"), b"").await?;
    Ok(serde_json::from_slice(&answer.body)?)
}

/// Submits, and waits until the sink has had everything.
async fn drive_sink(plan: Arc<Plan>, sink: &str) -> Result<(Submitted, Received), Failure> {
    let before = delivered(sink, 0).await?;
    let wanted = before.delivered + plan.deliveries();
    let arriving = async {
        let after = delivered(sink, wanted).await?;
        if after.delivered != wanted || after.holes != before.holes {
            let (came, holes) = (after.delivered - before.delivered, after.holes - before.holes);
            return Err(
                format!("{came} deliveries came of {}, and {holes} numbers are missing", plan.deliveries()).into()
            );
        }
        Ok(Received { ways: vec![], ended: plan.elapsed_ns() })
    };
    tokio::try_join!(submit_all(plan.clone()), arriving)
}

async fn drive(plan: Arc<Plan>) -> Result<String, Failure> {
    let begun = plan.elapsed_ns();
    let (mut submitted, mut received) = match option("--do").as_deref() {
        Some("create") => {
            create_contexts(plan.clone()).await?;
            (Submitted::default(), Received { ended: plan.elapsed_ns(), ..Received::default() })
        }
        Some("submit") => {
            let submitted = submit_all(plan.clone()).await?;
            let ended = submitted.ended;
            (submitted, Received { ended, ..Received::default() })
        }
        Some("receive") => (Submitted::default(), receive(plan.clone(), needed("--events")?, ack_style()?).await?),
        Some("all") | None => match option("--sink") {
            Some(sink) => drive_sink(plan.clone(), &sink).await?,
            None => {
                let receiving = receive(plan.clone(), needed("--events")?, ack_style()?);
                // Joined, so that whichever fails first ends the run.
                tokio::try_join!(submit_all(plan.clone()), receiving)?
            }
        },
        Some(other) => return Err(format!("--do {other}: all, submit, receive or create").into()),
    };
    let seconds = (received.ended - begun) as f64 / 1e9;
    Ok(format!(
        "{{\"messages\":{},\"per_request\":{},\"deliveries\":{},\"seconds\":{seconds:.3},\"submit_seconds\":{:.3},\
         \"msgs_per_s\":{:.0},\"ack_p50_ms\":{:.2},\"ack_p99_ms\":{:.2},\"way_p50_ms\":{:.2},\"way_p99_ms\":{:.2},\
         \"refused\":{},\"run\":\"{}\"}}",
        plan.messages,
        plan.per_request,
        plan.deliveries(),
        submitted.ended.saturating_sub(begun) as f64 / 1e9,
        plan.deliveries() as f64 / seconds,
        quantile(&mut submitted.answered, 50),
        quantile(&mut submitted.answered, 99),
        quantile(&mut received.ways, 50),
        quantile(&mut received.ways, 99),
        submitted.refused,
        plan.run,
    ))
}

fn ack_style() -> Result<AckStyle, Failure> {
    match option("--ack").as_deref() {
        Some("read") => Ok(AckStyle::Read),
        Some("call") | None => Ok(AckStyle::Call),
        Some(other) => Err(format!("--ack {other}: call or read").into()),
    }
}

/// The value in milliseconds that `percent` of these nanoseconds stay under; 0 without any.
fn quantile(values: &mut [u64], percent: usize) -> f64 {
    values.sort_unstable();
    let at = (values.len() * percent / 100).min(values.len().saturating_sub(1));
    values.get(at).map_or(0.0, |value| *value as f64 / 1e6)
}

/// Shows the progress of a run in one line of the terminal.
async fn show_progress(plan: Arc<Plan>) {
    loop {
        sleep(PROGRESS).await;
        let [submitted, arrived] = [&plan.submitted, &plan.arrived].map(|count| count.load(Ordering::Relaxed));
        // A terminal that went away ends no run.
        let _ = write!(std::io::stderr(), "\r  {submitted} submitted, {arrived} arrived of {}\x1b[K", plan.messages);
    }
}

async fn run() -> Result<String, Failure> {
    if let Some(address) = option("--play") {
        return sink::run(address).await.map(|()| String::new());
    }
    let plan = Arc::new(Plan::read()?);
    let is_shown = std::io::stderr().is_terminal();
    if is_shown {
        spawn_local(show_progress(plan.clone()));
    }
    let deadline = plan.deadline;
    let outcome = timeout(deadline, drive(plan)).await;
    if is_shown {
        let _ = write!(std::io::stderr(), "\r\x1b[K");
    }
    outcome.map_err(|_| format!("not done within {deadline:?}"))?
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match LocalSet::new().run_until(run()).await {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}
