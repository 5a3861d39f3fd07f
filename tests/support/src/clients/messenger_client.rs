//! The messenger of a gateway with real listeners: calls of the messenger API over HTTP. [`crate::messenger`] is its
//! counterpart for gateways in memory.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::clients::http_caller::HttpCaller;

/// Longer than any successful step takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Interval of checks of a state that no call waits for.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A client of the messenger API. Its methods expect that a call succeeds, except [`call`](Self::call). The demo has a
/// sample messenger of its own (`src/tools/demo/toy.rs`), because that one is product code that repeats a call until it is
/// acknowledged.
#[derive(Debug, Clone)]
pub struct MessengerClient {
    http: HttpCaller,
}

impl MessengerClient {
    /// Returns a client without a token, with connections of its own.
    pub fn at(listener: SocketAddr) -> Self {
        Self { http: HttpCaller::at(listener) }
    }

    /// Adds an `Authorization` header.
    #[must_use]
    pub fn authorized(self, header: &str) -> Self {
        Self { http: self.http.authorized(header) }
    }

    /// Sends any request; returns status and JSON of the response, null without a body.
    pub async fn call(&self, method: Method, path: &str, body: &str) -> reqwest::Result<(u16, Value)> {
        self.http.call(method, path, body).await
    }

    /// Sends a GET.
    pub async fn get(&self, path: &str) -> Value {
        self.http.get(path).await
    }

    /// Submits a body to `updates/ID` or `messages/ID`, and returns the answer.
    pub async fn submit(&self, path: &str, body: &str) -> Value {
        self.http.call_expecting(202, Method::PUT, &format!("/v1/{path}"), body).await
    }

    /// Submits one update with this text to one server.
    pub async fn say(&self, id: &str, to: &str, text: &str) {
        self.submit(&format!("updates/{id}"), &submission(&[to], &[text])).await;
    }

    /// Submits a message with this text to a context, and returns the id of its PDU.
    pub async fn say_in(&self, context: &str, id: &str, text: &str) -> String {
        self.submit_message(id, &message(context, text)).await
    }

    /// Submits the body of a message, and returns the id of its PDU.
    pub async fn submit_message(&self, id: &str, body: &str) -> String {
        let answer = self.submit(&format!("messages/{id}"), body).await;
        answer["pdu"]["pdu_id"].as_str().expect("an id").to_owned()
    }

    /// Names the servers of a context beside this one. Its id is percent-encoded, except that `#` may stand for itself.
    pub async fn set_participants(&self, context: &str, servers: &[&str]) {
        let path = format!("/v1/contexts/{}", in_path(context));
        self.http.call_expecting(200, Method::PUT, &path, &json!({ "servers": servers }).to_string()).await;
    }

    /// Returns the ids of the current state PDUs of a context.
    pub async fn state(&self, context: &str) -> Vec<String> {
        let answer = self.get(&format!("/v1/contexts/{}/state", in_path(context))).await;
        let state = answer["state"].as_array().expect("a list");
        state.iter().map(|pdu| pdu["pdu_id"].as_str().expect("an id").to_owned()).collect()
    }

    /// Returns one page of the feed, and waits for its first event.
    pub async fn page(&self, after: u64) -> Value {
        self.get(&format!("/v1/events?after={after}&wait=20&limit=1000")).await
    }

    /// Reads the feed from its beginning until it has this many events, and returns them.
    pub async fn hear(&self, count: usize) -> Vec<Value> {
        let mut events = vec![];
        let all = async {
            while events.len() < count {
                let page = self.page(events.len() as u64).await;
                events.extend(page["events"].as_array().expect("a list").iter().cloned());
            }
        };
        soon("the events", all).await;
        events
    }

    /// Acknowledges the feed up to this position.
    pub async fn acknowledge(&self, upto: u64) {
        self.http.call_expecting(204, Method::POST, "/v1/events/ack", &json!({ "upto": upto }).to_string()).await;
    }

    /// Waits until a submission has this state for a server.
    pub async fn until_state(&self, id: &str, server: &str, state: &str) {
        let there = async {
            while self.get(&format!("/v1/messages/{id}")).await["peers"][server]["state"] != state {
                sleep(LOOK_AGAIN).await;
            }
        };
        soon(&format!("{id} {state} at {server}"), there).await;
    }

    /// Waits until the actor of a peer knows of this many pending items. The commit that answers a submission does not wait for it.
    pub async fn until_backlog(&self, server: &str, items: u64) {
        let there = async {
            while self.get(&format!("/v1/peers/{server}")).await["backlog"] != items {
                sleep(LOOK_AGAIN).await;
            }
        };
        soon(&format!("{items} items pending for {server}"), there).await;
    }
}

/// Waits for an event that has to happen.
pub async fn soon<T>(what: &str, happens: impl Future<Output = T>) -> T {
    timeout(PATIENCE, happens).await.unwrap_or_else(|_| panic!("{what}: not within {} s", PATIENCE.as_secs()))
}

/// Returns the body of a submission of updates with these texts.
pub fn submission(to: &[impl AsRef<str>], texts: &[impl AsRef<str>]) -> String {
    let to: Vec<&str> = to.iter().map(AsRef::as_ref).collect();
    let strong: Vec<Value> = texts.iter().map(|text| json!({ "text": text.as_ref() })).collect();
    json!({ "to": to, "strong": strong }).to_string()
}

/// Returns the body of a message with this text.
pub fn message(context: &str, text: &str) -> String {
    json!({ "context": context, "type": "m.text", "content": { "body": text } }).to_string()
}

/// Returns the texts of updates in the feed, in their order.
pub fn texts(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["update"]["text"].as_str().expect("an update of ours")).collect()
}

fn in_path(context: &str) -> String {
    context.replace('#', "%23")
}
