//! The task that posts ephemeral events, apart from transactions and never delaying them.

use std::sync::Arc;

use actors::model::Millis;
use actors::ports::Clock;
use bytes::Bytes;
use hyper::Method;
use tokio::sync::watch;
use uuid::Uuid;

use crate::messenger::ephemeral_feed::{EphemeralEvent, EphemeralReader};
use crate::messenger::push::client::{WebhookClient, WebhookRequest};
use crate::messenger::push::status::PushCondition;

/// The parts of the task.
pub(super) struct EphemeralTask {
    pub(super) reader: EphemeralReader,
    pub(super) client: WebhookClient,
    /// State of the transactions: while they back off nothing is posted.
    pub(super) condition: watch::Receiver<(PushCondition, Millis)>,
    pub(super) clock: Arc<dyn Clock>,
}

impl EphemeralTask {
    /// Runs until it is dropped. Nothing waits for it at a stop, because an ephemeral event is useful only now.
    pub(super) async fn run(mut self) {
        loop {
            self.due().await;
            // Those that expired while they waited are not among them.
            let events = self.reader.take(usize::MAX);
            if !events.is_empty() {
                self.post(&events).await;
            }
        }
    }

    /// Waits until there is something to post, and the messenger takes it.
    async fn due(&mut self) {
        loop {
            self.reader.arrived().await;
            let is_delivering = |condition: &PushCondition| *condition == PushCondition::Delivering;
            if is_delivering(&self.condition.borrow().0) {
                return;
            }
            if self.condition.wait_for(|(condition, _)| is_delivering(condition)).await.is_err() {
                // The transactions have ended, and with them the gateway.
                std::future::pending::<()>().await;
            }
        }
    }

    async fn post(&mut self, events: &[Arc<EphemeralEvent>]) {
        let request = WebhookRequest {
            method: Method::POST,
            path: "/ephemeral".to_owned(),
            id: Uuid::now_v7().to_string(),
            seconds: self.clock.now().0 / 1000,
            headers: Vec::new(),
            body: written(events),
        };
        if let Err(fault) = self.client.call(&request).await {
            let reason = fault.words();
            self.reader.not_taken(events.len());
            tracing::debug!(events = events.len(), %reason, "the messenger did not take ephemeral events; they are dropped");
        }
    }
}

fn written(events: &[Arc<EphemeralEvent>]) -> Bytes {
    let mut body = Vec::from(b"{\"events\":[");
    for (place, event) in events.iter().enumerate() {
        if place > 0 {
            body.push(b',');
        }
        body.extend_from_slice(&event.text);
    }
    body.extend_from_slice(b"]}");
    body.into()
}
