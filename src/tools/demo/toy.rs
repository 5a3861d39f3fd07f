//! A sample messenger: submits to its gateway, and follows the gateway's feed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::{Client, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::api::messages::MessageTrace;
use crate::api::pdus::PduName;
use crate::api::submissions::AcceptedSubmission;
use crate::runtime::plain_client;

/// Delay before a failed call is repeated: a messenger repeats a call until it gets a response.
const AGAIN: Duration = Duration::from_millis(100);
/// Timeout of a call to its gateway.
const CALL: Duration = Duration::from_secs(10);
/// Seconds for which the gateway holds a read without new events.
const POLL: u64 = 20;

/// A messenger for the demo, which uses the messenger API.
#[derive(Clone)]
pub(super) struct SampleMessenger {
    name: &'static str,
    url: String,
    client: Client,
}

/// The update that a sample messenger sends.
#[derive(Debug, Serialize, Deserialize)]
struct SubmittedLine {
    update: String,
    text: String,
}

/// The content of a message in a context.
#[derive(Debug, Serialize, Deserialize)]
struct TextContent {
    body: String,
    /// Message that this one answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    answers: Option<String>,
}

#[derive(Serialize)]
struct MessageBodyJson<'a> {
    context: &'a str,
    r#type: &'a str,
    content: TextContent,
}

#[derive(Serialize)]
struct UpdatesBodyJson<'a> {
    to: [&'a str; 1],
    strong: &'a [SubmittedLine],
}

#[derive(Deserialize)]
struct EventPage {
    events: Vec<FeedEventJson>,
    next: u64,
}

#[derive(Deserialize)]
struct FeedEventJson {
    kind: String,
    id: String,
    from: Option<String>,
    update: Option<SubmittedLine>,
    context: Option<String>,
    content: Option<TextContent>,
    #[serde(default)]
    prev: Vec<(String, String)>,
    state: Option<String>,
    server: Option<String>,
    reason: Option<String>,
    text: Option<String>,
}

/// An event that a sample messenger received.
#[derive(Debug)]
pub(super) enum SampleFeedItem {
    /// A text that an update carried.
    Text {
        /// Id of the event; it is the same at every redelivery.
        id: String,
        /// Server that sent the text.
        from: String,
        /// The text of the update.
        text: String,
    },
    /// A message in a context.
    Message(ChatLine),
    /// An event of the gateway.
    News(String),
}

/// A message as one side knows it.
#[derive(Debug, Clone)]
pub(super) struct ChatLine {
    /// Id: `<origin>/<pdu id>`.
    pub(super) id: String,
    /// Context of the message.
    pub(super) context: String,
    /// Text of the message.
    pub(super) body: String,
    /// Message that it answers.
    pub(super) answers: Option<String>,
    /// Parents, which the author's gateway chose; unknown for the side's own messages.
    pub(super) prev: Vec<String>,
}

impl SampleMessenger {
    /// Returns a messenger for the gateway whose API is at `url`.
    pub(super) fn new(name: &'static str, url: String) -> anyhow::Result<Self> {
        let client = plain_client::builder().build().context("no HTTP client")?;
        Ok(Self { name, url, client })
    }

    /// Returns the name of the messenger and its gateway.
    pub(super) const fn name(&self) -> &'static str {
        self.name
    }

    /// Creates a context with these servers.
    pub(super) async fn begin(&self, context: &str, servers: &[&str]) -> anyhow::Result<()> {
        let body = serde_json::to_vec(&BTreeMap::from([("servers", servers)]))?;
        self.put(&format!("contexts/{}", context.replace('#', "%23")), body, StatusCode::OK).await?;
        Ok(())
    }

    /// Sends a message in a context. Returns the submission id, and the message with its PDU id.
    pub(super) async fn message(
        &self,
        context: &str,
        body: String,
        answers: Option<String>,
    ) -> anyhow::Result<(String, ChatLine)> {
        let content = TextContent { body: body.clone(), answers: answers.clone() };
        let text = serde_json::to_vec(&MessageBodyJson { context, r#type: "m.text", content })?;
        let submission = self.next_id();
        let answer = self.put(&format!("messages/{submission}"), text, StatusCode::ACCEPTED).await?;
        let accepted: AcceptedSubmission = serde_json::from_slice(&answer)?;
        let PduName { origin, pdu_id } = accepted.pdu.context("a message becomes a PDU")?;
        let id = format!("{origin}/{pdu_id}");
        Ok((submission, ChatLine { id, context: context.to_owned(), body, answers, prev: vec![] }))
    }

    /// Submits these texts for the messenger of `to`, in order and as one submission.
    pub(super) async fn say(&self, to: &str, texts: Vec<String>) -> anyhow::Result<String> {
        let id = self.next_id();
        let strong: Vec<SubmittedLine> =
            texts.into_iter().map(|text| SubmittedLine { update: "message".to_owned(), text }).collect();
        let body = serde_json::to_vec(&UpdatesBodyJson { to: [to], strong: &strong })?;
        self.put(&format!("updates/{id}"), body, StatusCode::ACCEPTED).await?;
        Ok(id)
    }

    fn next_id(&self) -> String {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        format!("{}-{}", self.name, NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// Repeats the call until the gateway has it on disk. The id stays the same, so a repeat after a crash of the
    /// gateway is the same submission.
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

    /// Returns the delivery state of a submission by server.
    pub(super) async fn states(&self, id: &str) -> anyhow::Result<BTreeMap<String, String>> {
        let trace: MessageTrace = self.get(&format!("messages/{id}"), CALL).await?;
        Ok(trace.peers.into_iter().map(|(server, peer)| (server, peer.state.into_owned())).collect())
    }

    /// Reads the feed for ever, and acknowledges received events, so that they are not delivered again.
    pub(super) async fn listen(self, heard: mpsc::UnboundedSender<SampleFeedItem>) {
        let mut after = None;
        loop {
            let from = after.map(|after| format!("after={after}&")).unwrap_or_default();
            let page = format!("events?{from}wait={POLL}&limit=1000");
            match self.get::<EventPage>(&page, Duration::from_secs(POLL) + CALL).await {
                Ok(page) => {
                    for event in page.events {
                        if heard.send(event.heard()).is_err() {
                            return;
                        }
                    }
                    after = Some(page.next);
                    let body = format!("{{\"upto\":{}}}", page.next);
                    // If this acknowledgement is lost, the next one covers its events.
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

impl FeedEventJson {
    fn heard(self) -> SampleFeedItem {
        match (self.from, self.update, self.context, self.content) {
            (Some(from), Some(said), ..) => SampleFeedItem::Text { id: self.id, from, text: said.text },
            (_, _, Some(context), Some(TextContent { body, answers })) => {
                let prev = self.prev.into_iter().map(|(origin, id)| format!("{origin}/{id}")).collect();
                SampleFeedItem::Message(ChatLine { id: self.id, context, body, answers, prev })
            }
            _ => {
                let words = [self.server, self.state, self.reason, self.text].into_iter().flatten();
                SampleFeedItem::News(format!("{}: {}", self.kind, words.collect::<Vec<_>>().join(" ")))
            }
        }
    }
}
