//! A toy messenger: says things through its gateway, and follows its gateway's feed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::{Client, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

/// How long until a call that failed is made again: a messenger repeats until it has its answer.
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

/// What a toy says as an update.
#[derive(Debug, Serialize, Deserialize)]
struct Said {
    update: String,
    text: String,
}

/// What a toy says in a context.
#[derive(Debug, Serialize, Deserialize)]
struct Content {
    body: String,
    /// The message this one answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    answers: Option<String>,
}

#[derive(Serialize)]
struct Message<'a> {
    context: &'a str,
    r#type: &'a str,
    content: Content,
}

#[derive(Serialize)]
struct Updates<'a> {
    to: [&'a str; 1],
    strong: &'a [Said],
}

#[derive(Deserialize)]
struct Accepted {
    pdu: Option<Pdu>,
}

#[derive(Deserialize)]
struct Pdu {
    origin: String,
    pdu_id: String,
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
    context: Option<String>,
    content: Option<Content>,
    #[serde(default)]
    prev: Vec<(String, String)>,
    state: Option<String>,
    server: Option<String>,
    reason: Option<String>,
    text: Option<String>,
}

/// What a toy hears.
#[derive(Debug)]
pub(super) enum Heard {
    /// An update.
    Text {
        /// The event's id, which is the same at every redelivery.
        id: String,
        /// Who.
        from: String,
        /// What.
        text: String,
    },
    /// A message in a context.
    Message(Line),
    /// The gateway says something about itself.
    News(String),
}

/// A message as one side knows it.
#[derive(Debug, Clone)]
pub(super) struct Line {
    /// `<origin>/<pdu id>`.
    pub(super) id: String,
    /// Where it was said.
    pub(super) context: String,
    /// What was said.
    pub(super) body: String,
    /// The message it answers.
    pub(super) answers: Option<String>,
    /// The messages its author's gateway had seen. Not known of one's own: the gateway chose them.
    pub(super) prev: Vec<String>,
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

    /// Its name, and its gateway's.
    pub(super) const fn name(&self) -> &'static str {
        self.name
    }

    /// Begin a conversation with these servers.
    pub(super) async fn begin(&self, context: &str, servers: &[&str]) -> anyhow::Result<()> {
        let body = serde_json::to_vec(&BTreeMap::from([("servers", servers)]))?;
        self.put(&format!("contexts/{}", context.replace('#', "%23")), body, StatusCode::OK).await?;
        Ok(())
    }

    /// Say something in a context. The answer is the submission's id, and the message with its id everywhere.
    pub(super) async fn message(
        &self,
        context: &str,
        body: String,
        answers: Option<String>,
    ) -> anyhow::Result<(String, Line)> {
        let content = Content { body: body.clone(), answers: answers.clone() };
        let text = serde_json::to_vec(&Message { context, r#type: "m.text", content })?;
        let submission = self.next_id();
        let answer = self.put(&format!("messages/{submission}"), text, StatusCode::ACCEPTED).await?;
        let accepted: Accepted = serde_json::from_slice(&answer)?;
        let Pdu { origin, pdu_id } = accepted.pdu.context("a message becomes a PDU")?;
        let id = format!("{origin}/{pdu_id}");
        Ok((submission, Line { id, context: context.to_owned(), body, answers, prev: vec![] }))
    }

    /// Say these texts to the messenger behind `to`, in order and as one unit.
    pub(super) async fn say(&self, to: &str, texts: Vec<String>) -> anyhow::Result<String> {
        let id = self.next_id();
        let strong: Vec<Said> = texts.into_iter().map(|text| Said { update: "message".to_owned(), text }).collect();
        let body = serde_json::to_vec(&Updates { to: [to], strong: &strong })?;
        self.put(&format!("updates/{id}"), body, StatusCode::ACCEPTED).await?;
        Ok(id)
    }

    fn next_id(&self) -> String {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        format!("{}-{}", self.name, NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// Repeat until the gateway has it on disk: when it is down, or busy, or was killed over the call, the same id again is
    /// the same submission.
    async fn put(&self, path: &str, body: Vec<u8>, wanted: StatusCode) -> anyhow::Result<Vec<u8>> {
        loop {
            let url = format!("{}/{path}", self.url);
            match self.client.put(url).timeout(CALL).body(body.clone()).send().await {
                Ok(answer) if answer.status() == wanted => {
                    if let Ok(bytes) = answer.bytes().await {
                        return Ok(bytes.to_vec());
                    }
                }
                Ok(answer) if answer.status().is_client_error() && answer.status() != StatusCode::TOO_MANY_REQUESTS => {
                    bail!("{path} was refused: {}", answer.text().await.unwrap_or_default());
                }
                Ok(_) | Err(_) => tokio::time::sleep(AGAIN).await,
            }
        }
    }

    /// How what was said under `id` stands, by server.
    pub(super) async fn states(&self, id: &str) -> anyhow::Result<BTreeMap<String, String>> {
        let trace: Trace = self.get(&format!("messages/{id}"), CALL).await?;
        Ok(trace.peers.into_iter().map(|(server, peer)| (server, peer.state)).collect())
    }

    /// Follow the feed for ever: what was heard is acknowledged, so it is not heard again.
    pub(super) async fn listen(self, heard: mpsc::UnboundedSender<Heard>) {
        let mut after = None;
        loop {
            let from = after.map(|after| format!("after={after}&")).unwrap_or_default();
            let page = format!("events?{from}wait={POLL}&limit=1000");
            match self.get::<Page>(&page, Duration::from_secs(POLL) + CALL).await {
                Ok(page) => {
                    for event in page.events {
                        if heard.send(event.heard()).is_err() {
                            return;
                        }
                    }
                    after = Some(page.next);
                    let body = format!("{{\"upto\":{}}}", page.next);
                    // A lost acknowledgement is made good by the next one.
                    let _ = self.client.post(format!("{}/events/ack", self.url)).timeout(CALL).body(body).send().await;
                }
                Err(_) => tokio::time::sleep(AGAIN).await,
            }
        }
    }

    async fn get<T: DeserializeOwned>(&self, path: &str, patience: Duration) -> anyhow::Result<T> {
        let answer = self.client.get(format!("{}/{path}", self.url)).timeout(patience).send().await?;
        Ok(serde_json::from_slice(&answer.error_for_status()?.bytes().await?)?)
    }
}

impl Event {
    fn heard(self) -> Heard {
        match (self.from, self.update, self.context, self.content) {
            (Some(from), Some(said), ..) => Heard::Text { id: self.id, from, text: said.text },
            (_, _, Some(context), Some(Content { body, answers })) => {
                let prev = self.prev.into_iter().map(|(origin, id)| format!("{origin}/{id}")).collect();
                Heard::Message(Line { id: self.id, context, body, answers, prev })
            }
            _ => {
                let words = [self.server, self.state, self.reason, self.text].into_iter().flatten();
                Heard::News(format!("{}: {}", self.kind, words.collect::<Vec<_>>().join(" ")))
            }
        }
    }
}
