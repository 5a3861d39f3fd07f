//! Drives one relay or gateway from end to end: submits updates on one side and sees each arrive on the other.
//!
//! `load --submit URL --events URL --to NAME [--messages N] [--per-request K] [--connections C] [--size BYTES]`
//! `     [--latency-rate R] [--token T] [--deadline SECONDS] [--contexts C]`
//!
//! With `--contexts` it submits messages to so many contexts that it creates, those of one request to one context.
//!
//! Each update must be seen exactly once, and those of one request in their order, or the run fails. Without
//! `--latency-rate` it submits as fast as the answers allow, with it R updates a second. One line of JSON comes out.

use serde::Deserialize;
use std::borrow::Cow;
use std::hash::BuildHasher;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use wire::Conn;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The time for which the feed is asked to hold an empty answer back.
const WAIT_SECONDS: u64 = 20;
/// Before a submission that was not taken is tried again, where the server names no time.
const PAUSE: Duration = Duration::from_millis(50);

struct Plan {
    submit: String,
    events: String,
    to: String,
    messages: u64,
    per_request: u64,
    connections: u64,
    size: usize,
    latency_rate: Option<f64>,
    token: Option<String>,
    deadline: Duration,
    /// Number of contexts to submit messages to, instead of updates.
    contexts: Option<u64>,
    /// Tells this run's updates and ids from those of an earlier one.
    run: String,
    /// The start from which the stamps in the updates count.
    started: Instant,
}

impl Plan {
    fn read() -> Result<Plan, Failure> {
        let wanted = |name: &str| option(name).ok_or(format!("{name} is missing"));
        let number = |name: &str, otherwise: u64| option(name).map_or(Ok(otherwise), |text| text.parse());
        Ok(Plan {
            submit: wanted("--submit")?,
            events: wanted("--events")?,
            to: wanted("--to")?,
            messages: number("--messages", 20_000)?.max(1),
            per_request: number("--per-request", 1)?.max(1),
            connections: number("--connections", 64)?.max(1),
            size: number("--size", 600)? as usize,
            latency_rate: option("--latency-rate").map(|text| text.parse()).transpose()?,
            token: option("--token"),
            deadline: Duration::from_secs(number("--deadline", 120)?),
            contexts: option("--contexts").map(|text| text.parse()).transpose()?.filter(|contexts| *contexts > 0),
            run: format!("{:016x}", std::hash::RandomState::new().hash_one(std::process::id())),
            started: Instant::now(),
        })
    }

    fn requests(&self) -> u64 {
        self.messages.div_ceil(self.per_request)
    }

    fn elapsed_ns(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }

    /// Method and path of request number `request`, and the status of its answer.
    fn call(&self, request: u64) -> (&'static str, String, u16) {
        match self.contexts {
            None => ("PUT", format!("/v1/updates/{}-{request}", self.run), 202),
            Some(_) if self.per_request == 1 => ("PUT", format!("/v1/messages/{}-{request}", self.run), 202),
            Some(_) => ("POST", "/v1/messages".to_owned(), 200),
        }
    }

    /// The body of request number `request`, stamped with the time it is made.
    fn body(&self, request: u64, body: &mut Vec<u8>) {
        body.clear();
        let begin = match self.contexts {
            None => format!("{{\"to\":[\"{}\"],\"strong\":[", self.to),
            Some(_) if self.per_request == 1 => String::new(),
            Some(_) => "{\"messages\":[".to_owned(),
        };
        body.extend_from_slice(begin.as_bytes());
        let first = request * self.per_request;
        for number in first..self.messages.min(first + self.per_request) {
            let separator = if number == first { "" } else { "," };
            if let Some(contexts) = self.contexts {
                let (run, context) = (&self.run, request % contexts);
                let id = match self.per_request {
                    1 => String::new(),
                    _ => format!("\"id\":\"{run}-{number}\","),
                };
                write!(body, "{separator}{{{id}\"context\":\"#{run}-{context}\",\"type\":\"m.text\",\"content\":")
                    .expect("memory takes what is written");
                self.item("", number, body);
                body.push(b'}');
                continue;
            }
            self.item(separator, number, body);
        }
        if self.contexts.is_none() || self.per_request > 1 {
            body.extend_from_slice(b"]}");
        }
    }

    /// Writes an update, or the content of a message.
    fn item(&self, separator: &str, number: u64, body: &mut Vec<u8>) {
        let (run, sent, start) = (&self.run, self.elapsed_ns(), body.len());
        write!(
            body,
            "{separator}{{\"update\":\"bench\",\"run\":\"{run}\",\"number\":{number},\"sent\":{sent},\
             \"room\":\"#example.green\",\"sender\":\"@alice:green\",\"edited\":false,\"body\":\""
        )
        .expect("memory takes what is written");
        body.resize(body.len().max(start + self.size.saturating_sub(2)), b'x');
        body.extend_from_slice(b"\"}");
    }
}

/// The feed's answer; kinds of events without an update are acknowledged and otherwise left alone.
#[derive(Deserialize)]
struct Feed<'a> {
    #[serde(borrow)]
    events: Vec<Event<'a>>,
    next: u64,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    update: Option<Update<'a>>,
    #[serde(borrow)]
    content: Option<Update<'a>>,
}

#[derive(Deserialize)]
struct Update<'a> {
    run: Option<&'a str>,
    #[serde(default)]
    number: u64,
    #[serde(default)]
    sent: u64,
}

/// Submits whatever request is next until none is left; gives the time each answer took, and the refusals.
async fn submit(plan: Arc<Plan>, next: Arc<AtomicU64>) -> Result<(Vec<u64>, u64), Failure> {
    let mut conn = Conn::open(&plan.submit, plan.token.as_deref()).await?;
    let (mut answered, mut refused, mut body) = (Vec::new(), 0, Vec::new());
    loop {
        let request = next.fetch_add(1, Ordering::Relaxed);
        if request >= plan.requests() {
            return Ok((answered, refused));
        }
        if let Some(rate) = plan.latency_rate {
            sleep_until(plan.started + Duration::from_secs_f64((request * plan.per_request) as f64 / rate)).await;
        }
        let (method, path, success) = plan.call(request);
        plan.body(request, &mut body);
        loop {
            let asked = plan.elapsed_ns();
            let answer = conn.call(method, &path, &body).await?;
            match answer.status {
                status if status == success => {
                    // The messages that were taken are repeats the next time.
                    if status == 200 && is_partly_refused(&answer.body)? {
                        refused += 1;
                        sleep(PAUSE).await;
                        continue;
                    }
                    answered.push(plan.elapsed_ns() - asked);
                    break;
                }
                429 | 503 => {
                    refused += 1;
                    sleep(answer.retry_after.map_or(PAUSE, Duration::from_secs)).await;
                }
                status => return Err(format!("{path}: {status} {}", String::from_utf8_lossy(&answer.body)).into()),
            }
        }
    }
}

/// The answer to a call with many messages.
#[derive(Deserialize)]
struct MessagesAnswer<'a> {
    #[serde(borrow)]
    messages: Vec<MessageAnswer<'a>>,
}

#[derive(Deserialize)]
struct MessageAnswer<'a> {
    status: u16,
    #[serde(default, borrow)]
    error: Cow<'a, str>,
}

/// Returns whether some of the messages have to be submitted again.
fn is_partly_refused(answer: &[u8]) -> Result<bool, Failure> {
    let answer: MessagesAnswer<'_> = serde_json::from_slice(answer)?;
    match answer.messages.iter().find(|entry| !matches!(entry.status, 202 | 429 | 503)) {
        Some(entry) => Err(format!("a message: {} {}", entry.status, entry.error).into()),
        None => Ok(answer.messages.iter().any(|entry| entry.status != 202)),
    }
}

/// Reads the feed until every update was there; gives each one's way in nanoseconds, and when the last came.
async fn receive(plan: Arc<Plan>, seen: watch::Sender<u64>) -> Result<(Vec<u64>, u64), Failure> {
    let mut conn = Conn::open(&plan.events, plan.token.as_deref()).await?;
    let mut arrived = vec![0; plan.requests() as usize];
    let mut ways = Vec::with_capacity(plan.messages as usize);
    let mut after = String::new();
    while (ways.len() as u64) < plan.messages {
        let path = format!("/v1/events?wait={WAIT_SECONDS}&limit=1000{after}");
        let answer = conn.call("GET", &path, b"").await?;
        if answer.status != 200 {
            return Err(format!("{path}: {} {}", answer.status, String::from_utf8_lossy(&answer.body)).into());
        }
        let now = plan.elapsed_ns();
        let feed: Feed<'_> = serde_json::from_slice(&answer.body)?;
        for update in feed.events.iter().filter_map(|event| event.update.as_ref().or(event.content.as_ref())) {
            if update.run != Some(&plan.run) {
                continue;
            }
            let (request, place) = (update.number / plan.per_request, update.number % plan.per_request);
            match arrived.get_mut(request as usize) {
                Some(expected) if *expected == place => *expected += 1,
                Some(expected) => {
                    return Err(format!("request {request}: {place} came where {expected} was due").into());
                }
                None => return Err(format!("update {} was never sent", update.number).into()),
            }
            ways.push(now.saturating_sub(update.sent));
        }
        after = format!("&after={}", feed.next);
        seen.send_replace(feed.next);
    }
    Ok((ways, plan.elapsed_ns()))
}

/// Acknowledges the feed as it is read, one call at a time, on a connection of its own so that no read waits for it.
async fn acknowledge(plan: Arc<Plan>, mut seen: watch::Receiver<u64>) -> Result<(), Failure> {
    let mut conn = Conn::open(&plan.events, plan.token.as_deref()).await?;
    while seen.changed().await.is_ok() {
        let body = format!("{{\"upto\":{}}}", *seen.borrow_and_update());
        let answer = conn.call("POST", "/v1/events/ack", body.as_bytes()).await?;
        if answer.status != 204 {
            return Err(format!("ack: {} {}", answer.status, String::from_utf8_lossy(&answer.body)).into());
        }
    }
    Ok(())
}

/// Creates the contexts. The receiving server takes part in them by the first message.
async fn create_contexts(plan: &Plan, contexts: u64) -> Result<(), Failure> {
    let mut conn = Conn::open(&plan.submit, plan.token.as_deref()).await?;
    for context in 0..contexts {
        let path = format!("/v1/contexts/%23{}-{context}", plan.run);
        let answer = conn.call("PUT", &path, format!("{{\"servers\":[\"{}\"]}}", plan.to).as_bytes()).await?;
        if !(200..300).contains(&answer.status) {
            return Err(format!("{path}: {} {}", answer.status, String::from_utf8_lossy(&answer.body)).into());
        }
    }
    Ok(())
}

async fn drive(plan: Arc<Plan>) -> Result<String, Failure> {
    if let Some(contexts) = plan.contexts {
        create_contexts(&plan, contexts).await?;
    }
    let (seen, acks) = watch::channel(0);
    let receiver = tokio::spawn(receive(plan.clone(), seen));
    let acknowledger = tokio::spawn(acknowledge(plan.clone(), acks));
    let (next, mut senders) = (Arc::new(AtomicU64::new(0)), JoinSet::new());
    let begun = plan.elapsed_ns();
    for _ in 0..plan.connections.min(plan.requests()) {
        senders.spawn(submit(plan.clone(), next.clone()));
    }
    let submitting = async {
        let (mut answered, mut refused) = (Vec::new(), 0);
        while let Some(sender) = senders.join_next().await {
            let (more, times) = sender??;
            answered.extend(more);
            refused += times;
        }
        Ok((answered, refused, plan.elapsed_ns()))
    };
    // Joined, so that whichever fails first ends the run.
    let ((mut answered, refused, submitted), (mut ways, ended), ()) =
        tokio::try_join!(submitting, joined(receiver), joined(acknowledger))?;
    let seconds = (ended - begun) as f64 / 1e9;
    Ok(format!(
        "{{\"messages\":{},\"per_request\":{},\"seconds\":{seconds:.3},\"submit_seconds\":{:.3},\"msgs_per_s\":{:.0},\
         \"ack_p50_ms\":{:.2},\"ack_p99_ms\":{:.2},\"way_p50_ms\":{:.2},\"way_p99_ms\":{:.2},\"refused\":{refused}}}",
        plan.messages,
        plan.per_request,
        (submitted - begun) as f64 / 1e9,
        plan.messages as f64 / seconds,
        quantile(&mut answered, 50),
        quantile(&mut answered, 99),
        quantile(&mut ways, 50),
        quantile(&mut ways, 99),
    ))
}

async fn joined<T>(task: JoinHandle<Result<T, Failure>>) -> Result<T, Failure> {
    task.await?
}

/// The value in milliseconds that `percent` of these nanoseconds stay under.
fn quantile(values: &mut [u64], percent: usize) -> f64 {
    values.sort_unstable();
    values[(values.len() * percent / 100).min(values.len() - 1)] as f64 / 1e6
}

fn option(name: &str) -> Option<String> {
    std::env::args().skip_while(|argument| argument != name).nth(1)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let outcome = async {
        let plan = Arc::new(Plan::read()?);
        let deadline = plan.deadline;
        timeout(deadline, drive(plan)).await.map_err(|_| format!("not done within {deadline:?}"))?
    };
    match outcome.await {
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
