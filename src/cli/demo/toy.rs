//! A toy messenger: says things through its gateway, and follows its gateway's feed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::{Client, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

/// How long until a call that failed is made again: a messenger repeats until it has its 202.
const AGAIN: Duration = Duration::from_millis(100);
/// How long a call to our own gateway may take.
const CALL: Duration = Duration::from_secs(10);
/// How long the gateway holds a read that finds nothing.
const POLL: u64 = 20;

/// A messenger.
#[derive(Clone)]
pub(super) struct Toy {
    name: &'static str,
    url: String,
    client: Client,
}

/// What a toy says, as it travels.
#[derive(Debug, Serialize, Deserialize)]
struct Said {
    update: String,
    text: String,
}

#[derive(Serialize)]
struct Submission<'a> {
    to: [&'a str; 1],
    strong: &'a [Said],
}

#[derive(Deserialize)]
struct Page {
    events: Vec<Event>,
    next: u64,
}

#[derive(Deserialize)]
struct Event {
    kind: String,
    id: String,
    from: Option<String>,
    update: Option<Said>,
    state: Option<String>,
    server: Option<String>,
    reason: Option<String>,
    text: Option<String>,
}

/// What a toy hears.
#[derive(Debug)]
pub(super) enum Heard {
    /// Somebody said something.
    Text {
        /// The event's id, which is the same at every redelivery.
        id: String,
        /// Who.
        from: String,
        /// What.
        text: String,
    },
    /// The gateway says something about itself.
    News(String),
}

#[derive(Deserialize)]
struct Trace {
    peers: BTreeMap<String, TracePeer>,
}

#[derive(Deserialize)]
struct TracePeer {
    state: String,
}

impl Toy {
    /// A messenger that stands behind the gateway whose API is at `url`.
    pub(super) fn new(name: &'static str, url: String) -> anyhow::Result<Self> {
        let client = Client::builder().no_proxy().build().context("no HTTP client")?;
        Ok(Self { name, url, client })
    }

    /// Say these texts to the messenger behind `to`, in order and as one unit, and repeat until the gateway has them on disk.
    pub(super) async fn say(&self, to: &str, texts: Vec<String>) -> anyhow::Result<String> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = format!("{}-{}", self.name, NEXT.fetch_add(1, Ordering::Relaxed));
        let strong: Vec<Said> = texts.into_iter().map(|text| Said { update: "message".to_owned(), text }).collect();
        let body = serde_json::to_vec(&Submission { to: [to], strong: &strong }).context("a submission is JSON")?;
        loop {
            let url = format!("{}/updates/{id}", self.url);
            match self.client.put(url).timeout(CALL).body(body.clone()).send().await {
                Ok(answer) if answer.status() == StatusCode::ACCEPTED => return Ok(id),
                Ok(answer) if answer.status().is_client_error() && answer.status() != StatusCode::TOO_MANY_REQUESTS => {
                    bail!("{} was refused: {}", id, answer.text().await.unwrap_or_default());
                }
                // The gateway is down, or busy, or was killed over the call: the same id again is the same submission.
                Ok(_) | Err(_) => tokio::time::sleep(AGAIN).await,
            }
        }
    }

    /// How what was said under `id` stands at `to`.
    pub(super) async fn state(&self, id: &str, to: &str) -> anyhow::Result<String> {
        let answer = self.client.get(format!("{}/messages/{id}", self.url)).timeout(CALL).send().await?;
        let trace: Trace = serde_json::from_slice(&answer.bytes().await?).context("the trace is no JSON")?;
        Ok(trace.peers.get(to).map_or_else(|| "unknown".to_owned(), |peer| peer.state.clone()))
    }

    /// Follow the feed for ever: what was heard is acknowledged, so it is not heard again.
    pub(super) async fn listen(self, heard: mpsc::UnboundedSender<Heard>) {
        let mut after = None;
        loop {
            match self.page(after).await {
                Ok(page) => {
                    for event in page.events {
                        if heard.send(event.heard()).is_err() {
                            return;
                        }
                    }
                    after = Some(page.next);
                    // A lost acknowledgement is made good by the next one.
                    let _ = self.acknowledge(page.next).await;
                }
                Err(_) => tokio::time::sleep(AGAIN).await,
            }
        }
    }

    async fn page(&self, after: Option<u64>) -> anyhow::Result<Page> {
        let after = after.map(|after| format!("after={after}&")).unwrap_or_default();
        let url = format!("{}/events?{after}wait={POLL}&limit=1000", self.url);
        let answer = self.client.get(url).timeout(Duration::from_secs(POLL) + CALL).send().await?;
        Ok(serde_json::from_slice(&answer.error_for_status()?.bytes().await?)?)
    }

    async fn acknowledge(&self, upto: u64) -> anyhow::Result<()> {
        let body = format!("{{\"upto\":{upto}}}");
        self.client.post(format!("{}/events/ack", self.url)).timeout(CALL).body(body).send().await?;
        Ok(())
    }
}

impl Event {
    fn heard(self) -> Heard {
        match (self.from, self.update) {
            (Some(from), Some(said)) => Heard::Text { id: self.id, from, text: said.text },
            _ => {
                let words = [self.server, self.state, self.reason, self.text].into_iter().flatten();
                Heard::News(format!("{}: {}", self.kind, words.collect::<Vec<_>>().join(" ")))
            }
        }
    }
}
