//! A toy messenger that lives through the kills of its gateway: it repeats until it has its 202, and writes down what it heard.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use fastrand::Rng;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::node::{Api, submission};

/// A gateway as its messenger sees it.
#[derive(Debug, Clone)]
pub(crate) struct Life {
    /// Counts starts.
    pub(crate) number: u64,
    /// Calls on it; none while it is down. Each life has its own: a connection to a former one must not be used again.
    pub(crate) api: Option<Api>,
}

/// Wait for a life after this one.
async fn next_life(lives: &mut watch::Receiver<Life>, after: u64) -> (u64, Api) {
    let up =
        lives.wait_for(|life| life.api.is_some() && life.number > after).await.expect("the test outlives its toys");
    (up.number, up.api.clone().expect("just seen"))
}

/// How something is said.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Way {
    /// As updates to this server, some at a time.
    Updates(&'static str),
    /// As messages in this context, which is written as in a URL.
    Messages(&'static str),
}

/// One line of thought of a messenger: what it says, it says one after the other.
pub(crate) struct Speaker {
    /// Starts each text.
    pub(crate) name: String,
    pub(crate) way: Way,
    pub(crate) lives: watch::Receiver<Life>,
    pub(crate) rng: Rng,
    /// Submissions that have their 202, of all speakers of this side.
    pub(crate) acknowledged: Arc<watch::Sender<usize>>,
    pub(crate) enough: watch::Receiver<bool>,
}

/// What came of one speaker.
pub(crate) struct Spoken {
    pub(crate) name: String,
    pub(crate) way: Way,
    /// All have their 202; in the order of submission.
    pub(crate) texts: Vec<String>,
    /// The ids they have everywhere, where they are messages.
    pub(crate) ids: Vec<String>,
    /// Calls made again because the gateway was killed over them.
    pub(crate) repeats: usize,
}

impl Speaker {
    /// Speak until told that it is enough, and until the last submission has its 202.
    pub(crate) async fn speak(mut self) -> Spoken {
        let mut spoken = Spoken { name: self.name.clone(), way: self.way, texts: vec![], ids: vec![], repeats: 0 };
        for n in 0.. {
            if *self.enough.borrow() {
                break;
            }
            let count = match self.way {
                Way::Updates(_) if self.rng.bool() => self.rng.usize(2..=8),
                _ => 1,
            };
            let texts: Vec<String> = (0..count).map(|part| format!("{}/{n}.{part}", self.name)).collect();
            let (kind, body) = match self.way {
                Way::Updates(to) => ("updates", submission(to, &texts)),
                Way::Messages(context) => ("messages", message(context, &texts[0])),
            };
            let (repeats, answer) = self.submit(&format!("/v1/{kind}/{}-{n}", self.name), &body).await;
            spoken.repeats += repeats;
            if let Some(pdu) = answer.get("pdu") {
                spoken.ids.push(format!("{}/{}", text(&pdu["origin"]), text(&pdu["pdu_id"])));
            }
            spoken.texts.extend(texts);
            self.acknowledged.send_modify(|count| *count += 1);
        }
        spoken
    }

    async fn submit(&mut self, path: &str, body: &str) -> (usize, Value) {
        let (mut life, mut repeats) = (0, 0);
        loop {
            let (number, api) = next_life(&mut self.lives, life).await;
            match api.call(Method::PUT, path, body).await {
                Ok((202, answer)) => {
                    assert!(path.ends_with(text(&answer["id"])), "{path}: {answer}");
                    return (repeats, answer);
                }
                Ok(other) => panic!("{path} is answered with {other:?}"),
                Err(error) => assert_killed(&self.lives, number, &error),
            }
            (life, repeats) = (number, repeats + 1);
        }
    }
}

fn message(context: &str, body: &str) -> String {
    json!({"context": context.replace("%23", "#"), "type": "m.text", "content": {"body": body}}).to_string()
}

/// A text of an answer or an event.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

/// A call may break only with the life it was made to.
fn assert_killed(lives: &watch::Receiver<Life>, life: u64, error: &reqwest::Error) {
    let now = lives.borrow();
    assert!(now.api.is_none() || now.number > life, "a call broke and nobody was killed: {error:?}");
}

/// What a feed brought.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// Each event by its position, as it came first.
    pub(crate) events: BTreeMap<u64, Value>,
    /// How many of them are what somebody said.
    said: usize,
    /// Events that came again.
    pub(crate) redelivered: usize,
    /// The acknowledgement that was answered, and the one that was tried.
    acked: (u64, u64),
}

impl Heard {
    /// Note a page that was asked for; returns where the next one starts.
    fn page(&mut self, after: Option<u64>, page: &Value) -> u64 {
        let next = page["next"].as_u64().expect("a number");
        let events = page["events"].as_array().expect("a list");
        let first = next - events.len() as u64;
        match after {
            Some(after) => assert_eq!(first, after, "a page starts where it was asked for"),
            None => assert!(
                (self.acked.0..=self.acked.1).contains(&first),
                "a reader without a place starts after what it acknowledged {:?}, not at {first}",
                self.acked
            ),
        }
        for (event, position) in events.iter().zip(first + 1..) {
            assert_eq!(event["position"], position, "positions rise by one");
            match self.events.get(&position) {
                Some(before) => {
                    assert_eq!(before, event, "an event that comes again is the same");
                    self.redelivered += 1;
                }
                None => {
                    self.said += usize::from(matches!(event["kind"].as_str(), Some("update" | "message")));
                    self.events.insert(position, event.clone());
                }
            }
        }
        next
    }
}

/// Reads a feed for ever.
pub(crate) struct Listener {
    pub(crate) lives: watch::Receiver<Life>,
    pub(crate) rng: Rng,
    pub(crate) heard: Arc<Mutex<Heard>>,
    /// How many different events are what somebody said.
    pub(crate) count: watch::Sender<usize>,
}

impl Listener {
    /// Follow by long poll. Some pages are acknowledged, some only with a later one, and some not before a kill, which the
    /// messenger may take as the occasion to lose its place, too.
    pub(crate) async fn listen(mut self) {
        let (mut after, mut life) = (None, 0);
        loop {
            let (number, api) = next_life(&mut self.lives, life).await;
            let error = loop {
                let place = after.map(|after| format!("&after={after}")).unwrap_or_default();
                let (status, page) = match api.call(Method::GET, &format!("/v1/events?wait=20{place}"), "").await {
                    Ok(answer) => answer,
                    Err(error) => break error,
                };
                assert_eq!(status, 200, "{page}");
                let next = self.heard().page(after, &page);
                after = Some(next);
                let count = self.heard().said;
                self.count.send_replace(count);
                if self.rng.u8(..3) == 0
                    && let Err(error) = self.acknowledge(&api, next).await
                {
                    break error;
                }
            };
            assert_killed(&self.lives, number, &error);
            life = number;
            after = after.filter(|_| self.rng.bool());
        }
    }

    async fn acknowledge(&mut self, api: &Api, upto: u64) -> reqwest::Result<()> {
        let tried = self.heard().acked.1.max(upto);
        self.heard().acked.1 = tried;
        let (status, answer) = api.call(Method::POST, "/v1/events/ack", &format!("{{\"upto\":{upto}}}")).await?;
        assert_eq!(status, 204, "{answer}");
        // One that was tried over a kill and reached further may have been taken, or not.
        let taken = self.heard().acked.0.max(upto);
        self.heard().acked = (taken, tried);
        Ok(())
    }

    fn heard(&self) -> std::sync::MutexGuard<'_, Heard> {
        self.heard.lock().expect("no panic while it is held")
    }
}
