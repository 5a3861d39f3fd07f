//! Submission: requests on several connections, and the contexts that messages go into.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Deserialize;
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until};
use wire::Conn;

use crate::Failure;
use crate::plan::Plan;

/// The pause before a submission that was not taken is tried again, if the server names no time.
const PAUSE: Duration = Duration::from_millis(50);

/// The answers to the requests of a run.
#[derive(Default)]
pub(crate) struct Submitted {
    /// The time of each answer in nanoseconds.
    pub(crate) answered: Vec<u64>,
    /// Requests that the server refused for a while.
    pub(crate) refused: u64,
    /// The time at which the last one was taken.
    pub(crate) ended: u64,
}

#[derive(Deserialize)]
struct BatchAnswer {
    messages: Vec<MessageStatus>,
}

#[derive(Deserialize)]
struct MessageStatus {
    status: u16,
}

/// Submits everything, as fast as the answers allow or at the rate of the plan.
pub(crate) async fn submit_all(plan: Arc<Plan>) -> Result<Submitted, Failure> {
    let (next, mut senders) = (Arc::new(AtomicU64::new(0)), JoinSet::new());
    for _ in 0..plan.connections.min(plan.requests()) {
        senders.spawn(submit(plan.clone(), next.clone()));
    }
    let mut all = Submitted::default();
    while let Some(sender) = senders.join_next().await {
        let (answered, refused) = sender??;
        all.answered.extend(answered);
        all.refused += refused;
    }
    all.ended = plan.elapsed_ns();
    Ok(all)
}

/// Submits the next request until none is left; gives the time of each answer, and the number of refusals.
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
        let (method, path) = plan.target(request);
        // The same bytes on every try: some messages of a list may have been taken, and their ids stand for these bytes.
        plan.body(request, &mut body);
        loop {
            let asked = plan.elapsed_ns();
            let answer = conn.call(method, &path, &body).await?;
            let status = match answer.status {
                200 => worst(&serde_json::from_slice(&answer.body)?),
                status => status,
            };
            match status {
                202 => {
                    answered.push(plan.elapsed_ns() - asked);
                    plan.submitted.fetch_add(plan.per_request, Ordering::Relaxed);
                    break;
                }
                429 | 503 => {
                    refused += 1;
                    sleep(answer.retry_after.map_or(PAUSE, Duration::from_secs)).await;
                }
                _ => return Err(format!("{path}: {status} {}", String::from_utf8_lossy(&answer.body)).into()),
            }
        }
    }
}

/// The highest status of a list of messages: one that was not taken makes the whole request come again.
fn worst(answer: &BatchAnswer) -> u16 {
    answer.messages.iter().map(|message| message.status).max().unwrap_or(500)
}

/// Makes every context of the plan.
pub(crate) async fn create_contexts(plan: Arc<Plan>) -> Result<(), Failure> {
    let (next, mut makers) = (Arc::new(AtomicU64::new(0)), JoinSet::new());
    for _ in 0..plan.connections.min(plan.contexts) {
        let (plan, next) = (plan.clone(), next.clone());
        makers.spawn(async move {
            let mut conn = Conn::open(&plan.submit, plan.token.as_deref()).await?;
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= plan.contexts {
                    return Ok::<_, Failure>(());
                }
                let (path, body) = (format!("/v1/contexts/{}", plan.context(number)), plan.servers(number));
                let answer = loop {
                    let answer = conn.call("PUT", &path, format!("{{\"servers\":{body}}}").as_bytes()).await?;
                    if !matches!(answer.status, 429 | 503) {
                        break answer;
                    }
                    sleep(answer.retry_after.map_or(PAUSE, Duration::from_secs)).await;
                };
                if answer.status != 200 {
                    return Err(format!("{path}: {} {}", answer.status, String::from_utf8_lossy(&answer.body)).into());
                }
            }
        });
    }
    while let Some(maker) = makers.join_next().await {
        maker??;
    }
    Ok(())
}
