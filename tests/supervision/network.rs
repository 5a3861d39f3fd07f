//! A network in memory: gateways by name, and a wire between them that delays and loses what chance says.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actors::gateway::Gateway;
use actors::model::{
    Ack, BadPdu, BatchId, FetchRequest, InboundPush, OutboundBatch, Pdu, PushFailure, PushResponse, Refusal,
    RequestDeadlines, ServerName, StrongBody, StrongUpdate,
};
use actors::ports::{Task, Transport};
use fernpost::json::reader::digest;

/// How the wire behaves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weather {
    /// The share of requests that never arrive.
    pub(crate) requests_lost: f64,
    /// The share of answers that never come back.
    pub(crate) answers_lost: f64,
    /// The longest a request or an answer travels.
    pub(crate) delay_max: Duration,
}

/// Who can be reached, and how well.
pub(crate) struct Network {
    gateways: Mutex<HashMap<ServerName, Gateway>>,
    chance: Mutex<fastrand::Rng>,
    weather: Weather,
}

/// What becomes of one request.
struct Fate {
    request_lost: bool,
    answer_lost: bool,
    there: Duration,
    back: Duration,
}

impl Network {
    /// An empty network; the seed decides every loss.
    pub(crate) fn new(seed: u64, weather: Weather) -> Arc<Self> {
        let chance = Mutex::new(fastrand::Rng::with_seed(seed));
        Arc::new(Self { gateways: Mutex::default(), chance, weather })
    }

    /// The way outward for the gateway of this name.
    pub(crate) fn wire(self: &Arc<Self>, from: ServerName) -> Arc<dyn Transport> {
        Arc::new(Wire { from, network: self.clone() })
    }

    /// From now on this gateway is reached under this name.
    pub(crate) fn join(&self, name: ServerName, gateway: Gateway) {
        self.gateways.lock().unwrap().insert(name, gateway);
    }

    fn fate(&self) -> Fate {
        let (mut chance, weather) = (self.chance.lock().unwrap(), self.weather);
        let mut delay = || weather.delay_max.mul_f64(chance.f64());
        let (there, back) = (delay(), delay());
        Fate {
            request_lost: chance.f64() < weather.requests_lost,
            answer_lost: chance.f64() < weather.answers_lost,
            there,
            back,
        }
    }
}

/// The end of the network at one gateway.
struct Wire {
    from: ServerName,
    network: Arc<Network>,
}

impl Transport for Wire {
    fn push(&self, frame: OutboundBatch) -> Task<Result<PushResponse, PushFailure>> {
        let (from, fate) = (self.from.clone(), self.network.fate());
        let to = self.network.gateways.lock().unwrap().get(&frame.to).cloned();
        Box::pin(async move {
            tokio::time::sleep(fate.there).await;
            let to = to.filter(|_| !fate.request_lost);
            let to = to.ok_or_else(|| PushFailure::Unreachable("no way there".to_owned()))?;
            let window = to.ports().roster.limits(&from).map(|limits| limits.intake_items);
            let answer = to.accept(&from, arrived(&frame)).await.map(|receipt| receipt.ack);
            if fate.answer_lost {
                tokio::time::sleep(frame.deadlines.total.saturating_sub(fate.there)).await;
                return Err(PushFailure::TimedOut);
            }
            tokio::time::sleep(fate.back).await;
            told(answer, window)
        })
    }

    fn fetch(
        &self,
        _: &ServerName,
        _: FetchRequest,
        _: RequestDeadlines,
    ) -> Task<Result<Vec<Result<Pdu, BadPdu>>, PushFailure>> {
        Box::pin(async { Ok(vec![]) })
    }
}

/// A frame as the other side reads it.
fn arrived(frame: &OutboundBatch) -> InboundPush {
    let strong = frame.items.iter().map(|item| {
        let bytes = item.bytes();
        StrongUpdate { bytes: bytes.clone(), digest: digest(bytes), body: StrongBody::Plain }
    });
    let BatchId::SeqRange { first, last } = frame.label else { panic!("updates are numbered") };
    InboundPush { from_seq: first, seq: last, strong: strong.collect(), weak: 0, verified: "network" }
}

/// An answer as the sender reads it: what waiting mends is a wait, anything else a status.
fn told(answer: Result<Ack, Refusal>, window: Option<u32>) -> Result<PushResponse, PushFailure> {
    let wait = |time| Ok(PushResponse { ack: Ack::Wait(time), window: None, refused: vec![], reason: None });
    match answer {
        Ok(ack) => Ok(PushResponse { ack, window, refused: vec![], reason: None }),
        Err(Refusal::LimitReached { wait: time, .. }) => wait(time),
        Err(Refusal::OutcomeUnknown | Refusal::Stopping) => wait(Duration::from_secs(1)),
        Err(Refusal::Faulty(_)) => wait(Duration::from_secs(60)),
        Err(Refusal::PushTooLong { .. }) => Err(PushFailure::Refused { status: 413, reason: "too long".to_owned() }),
        Err(other) => Err(PushFailure::Refused { status: 400, reason: other.to_string() }),
    }
}
