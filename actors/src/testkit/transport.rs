//! A transport whose peers answer as a test says.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use crate::model::{
    Ack, BadPdu, BatchId, FetchRequest, OutboundBatch, Pdu, PushFailure, PushResponse, RequestDeadlines, ServerName,
};
use crate::ports::{Task, Transport};

/// The outcome of a push.
pub type PushResult = Result<PushResponse, PushFailure>;

/// One prepared answer to a push; it panics while the request is under way if it panics.
pub type ScriptedReply = fn(&OutboundBatch) -> PushResult;

type PushScript = dyn Fn(OutboundBatch) -> Task<PushResult> + Send + Sync;
type FetchScript = dyn Fn(FetchRequest) -> Task<Result<Vec<Result<Pdu, BadPdu>>, PushFailure>> + Send + Sync;

/// A transport that answers as its script says, and remembers what it carried and when.
pub struct ScriptedTransport {
    script: Box<PushScript>,
    fetches: Box<FetchScript>,
    delay: Duration,
    since: Instant,
    /// Batches with the times at which they were pushed; `None`: nothing is remembered.
    carried: Option<Mutex<Vec<(u64, OutboundBatch)>>>,
    pushes: Semaphore,
}

impl ScriptedTransport {
    /// Returns a transport with this script. A panic of the script itself hits the caller before it has a future.
    pub fn new(script: impl Fn(OutboundBatch) -> Task<PushResult> + Send + Sync + 'static) -> Self {
        Self {
            script: Box::new(script),
            fetches: Box::new(|_| Box::pin(async { Ok(vec![]) })),
            delay: Duration::ZERO,
            since: Instant::now(),
            carried: Some(Mutex::default()),
            pushes: Semaphore::new(0),
        }
    }

    /// Returns a transport that answers every push by this function.
    pub fn answering(reply: impl Fn(&OutboundBatch) -> PushResult + Send + Sync + 'static) -> Self {
        Self::new(move |batch| {
            let answer = reply(&batch);
            Box::pin(async { answer })
        })
    }

    /// Returns a transport that gives one of these answers after the other, and accepts everything afterwards.
    pub fn replies<const N: usize>(replies: [ScriptedReply; N]) -> Self {
        let replies = Mutex::new(VecDeque::from(replies));
        Self::new(move |batch| {
            let reply = replies.lock().pop_front().unwrap_or(accepted);
            Box::pin(async move { reply(&batch) })
        })
    }

    /// Returns a transport to peers that never answer a push.
    pub fn silent() -> Self {
        Self::new(|_| Box::pin(std::future::pending()))
    }

    /// Lets each push take this time before it is answered.
    pub fn delayed(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// Answers requests for PDUs by this function; without it, the answer to each is an empty list.
    pub fn fetching(
        self,
        fetches: impl Fn(FetchRequest) -> Task<Result<Vec<Result<Pdu, BadPdu>>, PushFailure>> + Send + Sync + 'static,
    ) -> Self {
        Self { fetches: Box::new(fetches), ..self }
    }

    /// Never answers a request for PDUs.
    pub fn never_fetching(self) -> Self {
        self.fetching(|_| Box::pin(std::future::pending()))
    }

    /// Remembers nothing, for tests that measure memory.
    pub fn unrecorded(self) -> Self {
        Self { carried: None, ..self }
    }

    /// Returns all batches that were pushed so far, in order.
    pub fn carried(&self) -> Vec<OutboundBatch> {
        self.records().lock().iter().map(|(_, batch)| batch.clone()).collect()
    }

    /// Returns the times at which it was pushed to, in milliseconds since it was made.
    pub fn times(&self) -> Vec<u64> {
        self.records().lock().iter().map(|(at, _)| *at).collect()
    }

    /// Waits for so many more pushes.
    pub async fn pushed(&self, count: u32) {
        self.pushes.acquire_many(count).await.expect("never closed").forget();
    }

    fn records(&self) -> &Mutex<Vec<(u64, OutboundBatch)>> {
        self.carried.as_ref().expect("it remembers what it carried")
    }
}

impl Transport for ScriptedTransport {
    fn push(&self, batch: OutboundBatch) -> Task<PushResult> {
        let answer = (self.script)(batch.clone());
        if let Some(carried) = &self.carried {
            let at = u64::try_from(self.since.elapsed().as_millis()).expect("64 bits");
            carried.lock().push((at, batch));
        }
        self.pushes.add_permits(1);
        if self.delay.is_zero() {
            return answer;
        }
        let delay = self.delay;
        Box::pin(async move {
            sleep(delay).await;
            answer.await
        })
    }

    fn fetch(
        &self,
        _: &ServerName,
        want: FetchRequest,
        _: RequestDeadlines,
    ) -> Task<Result<Vec<Result<Pdu, BadPdu>>, PushFailure>> {
        (self.fetches)(want)
    }
}

/// The answer of a peer that has accepted a batch.
pub fn accepted(batch: &OutboundBatch) -> PushResult {
    let ack = match batch.label {
        BatchId::SeqRange { last, .. } => Ack::Ok(last),
        BatchId::Transaction { .. } => Ack::Taken,
    };
    Ok(acknowledged(ack))
}

/// Returns the response of a peer that requests a wait.
pub fn wait(seconds: u64) -> PushResult {
    Ok(acknowledged(Ack::Wait(Duration::from_secs(seconds))))
}

/// A response with this acknowledgement and a large window.
pub const fn acknowledged(ack: Ack) -> PushResponse {
    PushResponse { ack, window: Some(100), refused: vec![], receipts: crate::model::PeerReceipts::NONE, reason: None }
}

/// The failure to reach a peer.
pub fn unreachable() -> PushResult {
    Err(PushFailure::Unreachable("nobody listens".into()))
}
