//! Reception: the feed of the recipient, in which every update must be seen exactly once and in order.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde::Deserialize;
use tokio::sync::watch;
use wire::Conn;

use crate::Failure;
use crate::plan::Plan;

/// The time for which the feed is asked to hold an empty answer back.
const WAIT_SECONDS: u64 = 20;

/// The feed's answer; events that hold neither an update nor content are acknowledged and otherwise left alone.
#[derive(Deserialize)]
struct Feed<'a> {
    #[serde(borrow)]
    events: Vec<Event<'a>>,
    next: u64,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow, alias = "content")]
    update: Option<Update<'a>>,
}

#[derive(Deserialize)]
struct Update<'a> {
    run: Option<&'a str>,
    #[serde(default)]
    number: u64,
    #[serde(default)]
    sent: u64,
}

/// The way by which the feed's reader acknowledges.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum AckStyle {
    /// By a call of its own after each page, on another connection.
    Call,
    /// With the next read.
    Read,
}

/// Arrivals of a run.
#[derive(Default)]
pub(crate) struct Received {
    /// The time from submission to arrival of each update in nanoseconds.
    pub(crate) ways: Vec<u64>,
    /// The time at which the last one came.
    pub(crate) ended: u64,
}

/// Reads the feed at `events` until every update of the run was there.
pub(crate) async fn receive(plan: Arc<Plan>, events: String, style: AckStyle) -> Result<Received, Failure> {
    let (seen, acks) = watch::channel(0);
    match style {
        AckStyle::Read => read(plan, &events, "&ack=true", seen).await,
        // On a connection of its own, so that no read waits for it.
        AckStyle::Call => {
            let acknowledger = acknowledge(plan.clone(), events.clone(), acks);
            let (received, ()) = tokio::try_join!(read(plan, &events, "", seen), acknowledger)?;
            Ok(received)
        }
    }
}

async fn read(plan: Arc<Plan>, events: &str, query: &str, seen: watch::Sender<u64>) -> Result<Received, Failure> {
    let mut conn = Conn::open(events, plan.token.as_deref()).await?;
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
        for update in feed.events.iter().filter_map(|event| event.update.as_ref()) {
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
        plan.arrived.store(ways.len() as u64, Ordering::Relaxed);
        after = format!("&after={}{query}", feed.next);
        seen.send_replace(feed.next);
    }
    Ok(Received { ways, ended: plan.elapsed_ns() })
}

async fn acknowledge(plan: Arc<Plan>, events: String, mut seen: watch::Receiver<u64>) -> Result<(), Failure> {
    let mut conn = Conn::open(&events, plan.token.as_deref()).await?;
    while seen.changed().await.is_ok() {
        let body = format!("{{\"upto\":{}}}", *seen.borrow_and_update());
        let answer = conn.call("POST", "/v1/events/ack", body.as_bytes()).await?;
        if answer.status != 204 {
            return Err(format!("ack: {} {}", answer.status, String::from_utf8_lossy(&answer.body)).into());
        }
    }
    Ok(())
}
