//! A server that speaks the updates dialect as its first text has it: one update a push, no ranges, no PDUs.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use actors::testkit::TestPeers;
use bytes::Bytes;
use fernpost::egress::{EgressAnswer as Wanted, EgressRequest};
use fixtures::network::{GatewayAnswer, TestNetwork};
use fixtures::peers::{server, usual_peers};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::spawn_local;

/// Id of the group that is the context `garden`.
pub(crate) const GROUP: i64 = 11_223_344;

/// Returns the configuration of red, for which the group of grey is the context `garden`.
pub(crate) fn bridging() -> TestPeers {
    let plain = usual_peers("red").with_peer("grey", |grey| (grey.fetches, grey.honours_to) = (false, false));
    plain.with_group("grey", GROUP, "garden")
}

/// The server, under the name grey.
pub(crate) struct OldServer {
    network: Arc<TestNetwork>,
    seq: Cell<u64>,
    /// The updates that it was sent, in order.
    heard: Rc<RefCell<Vec<Value>>>,
}

impl OldServer {
    /// Starts the server.
    pub(crate) fn start(network: &Arc<TestNetwork>) -> Self {
        let (door, mut calls) = mpsc::unbounded_channel();
        network.open(server("grey"), door);
        let heard: Rc<RefCell<Vec<Value>>> = Rc::default();
        let hears = heard.clone();
        spawn_local(async move {
            let mut taken = 0;
            while let Some(fixtures::network::InboundCall { request, answer, .. }) = calls.recv().await {
                let push: Value = serde_json::from_slice(&request.body).unwrap();
                let (seq, strong) = (push["seq"].as_u64().unwrap(), push["strong"].as_array().unwrap());
                assert!(strong.len() < 2 && push.get("from_seq").is_none(), "{push}");
                if seq == taken + 1 && !strong.is_empty() {
                    hears.borrow_mut().extend(strong.iter().cloned());
                    taken = seq;
                }
                let body = Bytes::from(format!(r#"{{"receive":"ok","seq":{seq}}}"#));
                // The sender may have ended.
                let _ = answer.send(GatewayAnswer { status: 200, retry_after: None, body });
            }
        });
        Self { network: network.clone(), seq: Cell::new(0), heard }
    }

    /// Says something in the group, and returns the answer.
    pub(crate) async fn say(&self, text: &str) -> String {
        self.seq.set(self.seq.get() + 1);
        self.say_again(text).await.expect("red lives")
    }

    /// Sends the last update again, or for the first time.
    pub(crate) async fn say_again(&self, text: &str) -> Option<String> {
        let content = format!(r#"{{ "type":"text","text":"{text}" }}"#);
        self.push(&format!(
            r#"{{"update":"message","user_id":42,"peer":{{"type":"group","id":{GROUP}}},"content":{content}}}"#
        ))
        .await
    }

    /// Pushes an update under the current number; `None`: red ended before it answered.
    pub(crate) async fn push(&self, update: &str) -> Option<String> {
        let body = Bytes::from(format!(r#"{{"strong":[{update}],"seq":{}}}"#, self.seq.get()));
        let request = EgressRequest::post("/http/v1/updates", body, Wanted::Needed);
        let answer = self.network.knock((server("grey"), server("red")), request).await?;
        Some(String::from_utf8(answer.body.to_vec()).unwrap())
    }

    /// Pushes the next update.
    pub(crate) async fn push_next(&self, update: &str) -> String {
        self.seq.set(self.seq.get() + 1);
        self.push(update).await.expect("red lives")
    }

    /// Moves on to the next number.
    pub(crate) fn next(&self) {
        self.seq.set(self.seq.get() + 1);
    }

    /// Returns the updates that it was sent.
    pub(crate) fn heard(&self) -> Vec<Value> {
        self.heard.borrow().clone()
    }

    /// Returns the texts of the messages that it was sent in the group.
    pub(crate) fn texts(&self) -> Vec<String> {
        let text = |update: &Value| {
            assert_eq!((&update["update"], &update["peer"]["id"]), (&"message".into(), &GROUP.into()), "{update}");
            update["content"]["text"].as_str().unwrap().to_owned()
        };
        self.heard().iter().map(text).collect()
    }
}
