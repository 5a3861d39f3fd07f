//! Push mode: the gateway sends the feed to the messenger.
//!
//! `machine` decides, `task` performs: it cuts batches from the feed (`batch`), numbers them (`transaction_ids`), signs them
//! (`signature`) and sends them (`client`, which calls of peers also use). `ephemeral_task` posts ephemeral events beside it. Events are those that `GET /v1/events` shows, byte for byte.

mod answer;
mod batch;
mod calls;
mod client;
mod ephemeral_task;
mod fault;
mod machine;
mod signature;
mod status;
mod task;
mod transaction_ids;

use std::sync::Arc;

use actors::limits::BackoffLimits;
use actors::model::Position;
use actors::ports::{Clock, CommitTicket, Ports};
use hyper::Method;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use crate::messenger::ephemeral_feed::EphemeralFeed;
use crate::messenger::push::calls::PushCalls;
use crate::messenger::push::client::{CallPool, WebhookClient, WebhookEndpoint, WebhookRequest};
use crate::messenger::push::ephemeral_task::EphemeralTask;
use crate::messenger::push::fault::PushFault;
use crate::messenger::push::machine::{BatchRules, PushMachine};
use crate::messenger::push::task::PushTask;
use crate::messenger::push::transaction_ids::TransactionIds;
use crate::rpc::MessengerLine;
use crate::settings::PushSettings;
use crate::telemetry::spans::ItemSpans;

pub use crate::messenger::push::client::PushSetupError;
pub use crate::messenger::push::status::{PushCondition, PushStatus};

/// The running push, for the calls of the messenger and of operators. Clones share it.
#[derive(Debug, Clone)]
pub struct PushHandle {
    status: Arc<PushStatus>,
    calls: Arc<PushCalls>,
}

impl PushHandle {
    /// Ends the delay after failures, because the messenger says that it is back.
    pub fn ping(&self) {
        self.calls.pinged.notify_one();
    }

    /// Looks for events that an operator released.
    pub fn look_for_released(&self) {
        self.calls.released.notify_one();
    }

    /// Moves the push back to the event after `to`. `submit` hands the change to the journal. No acknowledgement of an
    /// earlier batch is handed over after it, because that would move the position forward again.
    pub fn rewind(&self, to: Position, submit: impl FnOnce() -> CommitTicket) -> CommitTicket {
        self.calls.rewind(to, submit)
    }

    /// Returns the state and the counts.
    pub fn status(&self) -> &PushStatus {
        &self.status
    }
}

/// Connects to the messenger, as a push does; an error says why it is not reached.
pub(crate) async fn reach(settings: &PushSettings) -> Result<(), String> {
    WebhookEndpoint::new(settings).map_err(|error| error.to_string())?.reach().await
}

/// Calls `GET {url}/ping` of the messenger, signed at this time in seconds; an error says what it answered instead of a 2xx.
pub(crate) async fn ping(settings: &PushSettings, seconds: u64) -> Result<(), String> {
    let endpoint = WebhookEndpoint::new(settings).map_err(|error| error.to_string())?;
    call_ping(endpoint, seconds).await.map_err(|fault| fault.words())
}

/// A push that was set up, and does nothing yet.
pub struct PushSetup {
    endpoint: WebhookEndpoint,
    rules: BatchRules,
    bytes_max: u64,
    quarantine_items: u64,
}

impl PushSetup {
    /// Sets up the push; `jitter` spreads its delays.
    pub fn new(settings: &PushSettings, jitter: f64) -> Result<Self, PushSetupError> {
        let backoff = BackoffLimits { min: settings.backoff_min, max: settings.backoff_max, jitter };
        let rules = BatchRules { items_max: settings.batch_items, poison_after: settings.poison_after, backoff };
        Ok(Self {
            endpoint: WebhookEndpoint::new(settings)?,
            rules,
            bytes_max: settings.batch_bytes,
            quarantine_items: settings.quarantine_items,
        })
    }

    /// Returns the way of peers' calls to the messenger, which is apart from the push.
    pub fn line(&self, clock: Arc<dyn Clock>) -> Arc<dyn MessengerLine> {
        Arc::new(CallPool::new(self.endpoint.clone(), clock))
    }

    /// Starts the push after the acknowledged position. It ends with the gateway.
    pub fn start(
        self,
        ports: &Ports,
        (ephemeral, spans): (&EphemeralFeed, ItemSpans),
        stopping: watch::Receiver<bool>,
    ) -> (PushHandle, AbortOnDropHandle<()>) {
        let ports = Arc::new(ports.clone());
        let handle = PushHandle { status: Arc::new(PushStatus::new(ports.clock.now())), calls: Arc::default() };
        let acked = ports.archive.feed.feed_bounds().borrow().acked;
        let task = PushTask {
            machine: PushMachine::new(self.rules, acked),
            ids: TransactionIds::new(Arc::clone(&ports)),
            client: Some(WebhookClient::new(self.endpoint.clone())),
            bytes_max: self.bytes_max,
            quarantine_items: self.quarantine_items,
            status: Arc::clone(&handle.status),
            calls: Arc::clone(&handle.calls),
            stopping,
            spans,
            ports: Arc::clone(&ports),
        };
        let ephemeral = EphemeralTask {
            reader: ephemeral.reader(),
            client: WebhookClient::new(self.endpoint.clone()),
            condition: handle.status.conditions(),
            clock: Arc::clone(&ports.clock),
        };
        let greeting = greet(self.endpoint, Arc::clone(&ports.clock));
        let task = tokio::spawn(async move {
            // The greeting changes nothing, so the first batch does not wait for its answer.
            let beside = [tokio::spawn(greeting), tokio::spawn(ephemeral.run())].map(AbortOnDropHandle::new);
            task.run().await;
            drop(beside);
        });
        (handle, AbortOnDropHandle::new(task))
    }
}

/// Asks the messenger whether it is up, for the log.
async fn greet(endpoint: WebhookEndpoint, clock: Arc<dyn Clock>) {
    match call_ping(endpoint, clock.now().0 / 1000).await {
        Ok(()) => tracing::info!("the messenger is up"),
        Err(fault) => {
            let reason = fault.words();
            tracing::warn!(%reason, "the messenger does not answer GET ping; events are pushed to it all the same");
        }
    }
}

async fn call_ping(endpoint: WebhookEndpoint, seconds: u64) -> Result<(), PushFault> {
    let (path, id) = ("/ping".to_owned(), Uuid::now_v7().to_string());
    let (headers, body) = (Vec::new(), bytes::Bytes::new());
    let request = WebhookRequest { method: Method::GET, path, id, seconds, headers, body };
    let mut client = WebhookClient::new(endpoint);
    let answer = client.call(&request).await;
    client.close().await;
    answer.map(drop)
}
