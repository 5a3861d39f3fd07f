//! The task of push mode: it performs what the machine decides.

use std::collections::VecDeque;
use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use actors::change::Change;
use actors::model::{Position, RefusedEvent};
use actors::ports::{ArchiveError, CommitPriority, FeedBounds, FeedPage, Ports};
use bytes::Bytes;
use hyper::Method;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::messenger::push::answer;
use crate::messenger::push::batch::{EventBatch, WrittenEvents, write_events, write_released};
use crate::messenger::push::calls::PushCalls;
use crate::messenger::push::client::{WebhookClient, WebhookRequest};
use crate::messenger::push::fault::{BatchResult, PushFault};
use crate::messenger::push::machine::{BatchSource, PushEffect, PushEvent, PushMachine, PushReport, RefusedPosition};
use crate::messenger::push::status::{PushCondition, PushStatus};
use crate::messenger::push::transaction_ids::TransactionIds;
use crate::telemetry::spans::{EventTraces, ItemSpans};

/// A request in flight: it gives its client back.
type InFlightCall = Pin<Box<dyn Future<Output = (WebhookClient, CallOutcome)> + Send>>;

/// Body of the 2xx, if it was kept, or the fault.
type CallOutcome = Result<Option<Bytes>, PushFault>;

/// The parts of the task.
pub(super) struct PushTask {
    pub(super) ports: Arc<Ports>,
    pub(super) machine: PushMachine,
    pub(super) ids: TransactionIds,
    /// The client, while no request is in flight.
    pub(super) client: Option<WebhookClient>,
    /// Maximum bytes of a batch.
    pub(super) bytes_max: u64,
    /// Maximum refused events that are kept.
    pub(super) quarantine_items: u64,
    pub(super) status: Arc<PushStatus>,
    pub(super) calls: Arc<PushCalls>,
    pub(super) stopping: watch::Receiver<bool>,
    pub(super) spans: ItemSpans,
}

/// The work in progress: a batch, its call, and a delay.
#[derive(Default)]
struct PendingWork {
    /// Batch that was cut last.
    batch: Option<EventBatch>,
    call: Option<InFlightCall>,
    /// End of the delay.
    until: Option<Instant>,
}

/// The end of a wait.
enum WaitEnd {
    Event(PushEvent),
    Answer(Box<WebhookClient>, CallOutcome),
    Release,
}

impl PushTask {
    /// Runs until the gateway stops.
    pub(super) async fn run(mut self) {
        let mut bounds = self.ports.archive.feed.feed_bounds();
        let mut work = PendingWork::default();
        let tail = bounds.borrow_and_update().tail;
        self.handle(PushEvent::Grown(tail), &mut work).await;
        let released = self.first_released().await;
        self.handle(released, &mut work).await;
        while let Some(event) = self.next_event(&mut bounds, &mut work).await {
            self.handle(event, &mut work).await;
        }
        self.finish(work).await;
    }

    /// Waits for the next event; `None`: the gateway stops.
    async fn next_event(
        &mut self,
        bounds: &mut watch::Receiver<FeedBounds>,
        work: &mut PendingWork,
    ) -> Option<PushEvent> {
        let until = work.until;
        let ended = tokio::select! {
            biased;
            to = self.calls.rewound() => WaitEnd::Event(PushEvent::Rewound(to)),
            (client, outcome) = in_flight(&mut work.call) => WaitEnd::Answer(Box::new(client), outcome),
            () = stopped(&mut self.stopping) => return None,
            changed = bounds.changed() => {
                // The store closes after this task has ended, so here it has failed, and the process ends.
                changed.ok()?;
                WaitEnd::Event(PushEvent::Grown(bounds.borrow_and_update().tail))
            }
            () = self.calls.pinged.notified() => WaitEnd::Event(PushEvent::Pinged),
            () = self.calls.released.notified() => WaitEnd::Release,
            () = delay(until) => {
                work.until = None;
                WaitEnd::Event(PushEvent::TimerFired)
            }
        };
        Some(match ended {
            WaitEnd::Event(event) => event,
            WaitEnd::Answer(client, outcome) => self.answered((*client, outcome), work),
            WaitEnd::Release => self.first_released().await,
        })
    }

    /// Waits for the answer to the batch in flight, which may acknowledge it; nothing is sent any more.
    async fn finish(mut self, mut work: PendingWork) {
        if work.call.is_none() {
            return;
        }
        let answered = in_flight(&mut work.call).await;
        let event = self.answered(answered, &mut work);
        for effect in self.machine.on(event, fastrand::f64()) {
            if let PushEffect::Acknowledge { source, upto, refused } = effect {
                self.acknowledge(source, upto, refused, work.batch.as_ref()).await;
            }
        }
    }

    /// Reads the outcome of the batch that was in flight.
    fn answered(&mut self, (client, outcome): (WebhookClient, CallOutcome), work: &mut PendingWork) -> PushEvent {
        work.call = None;
        self.client = Some(client);
        let positions = work.batch.as_ref().map(|batch| batch.events.positions.as_slice()).unwrap_or_default();
        match outcome {
            Ok(body) => {
                self.status.count_batch(BatchResult::Acknowledged);
                let answer = answer::read(body.as_deref(), positions);
                if let Some(oddity) = answer.oddity {
                    let first = positions.first().copied().unwrap_or_default();
                    tracing::warn!(%first, %oddity, "the messenger acknowledged a batch, but part of its answer has no meaning");
                }
                PushEvent::Acknowledged(answer.refused)
            }
            Err(fault) => {
                self.status.count_batch(fault.result());
                PushEvent::Failed(fault)
            }
        }
    }

    /// Hands an event to the machine and performs the effects, and those of the batches that are cut meanwhile.
    async fn handle(&mut self, event: PushEvent, work: &mut PendingWork) {
        let mut effects = VecDeque::from(self.machine.on(event, fastrand::f64()));
        while let Some(effect) = effects.pop_front() {
            match effect {
                PushEffect::Cut { source, items } => {
                    let cut = self.cut(source, items, work).await;
                    effects.extend(self.machine.on(cut, fastrand::f64()));
                }
                PushEffect::Send => self.send(work),
                PushEffect::Wait(delay) => {
                    work.until = Some(Instant::now() + delay);
                    self.status.set_backoff(delay);
                }
                PushEffect::Acknowledge { source, upto, refused } => {
                    self.acknowledge(source, upto, refused, work.batch.as_ref()).await;
                }
                PushEffect::Report(report) => log(report),
            }
        }
        let condition = match self.machine.stuck() {
            Some(position) => PushCondition::Stuck(position),
            None if self.machine.is_failing() => PushCondition::BackingOff,
            None => PushCondition::Delivering,
        };
        self.status.set_condition(condition, self.ports.clock.now());
    }

    /// Cuts a batch and gives it an id.
    async fn cut(&mut self, source: BatchSource, items: usize, work: &mut PendingWork) -> PushEvent {
        work.batch = None;
        let items = u32::try_from(items).unwrap_or(u32::MAX);
        let read = match source {
            BatchSource::FeedAfter(after) => self.read(after, items).await.map(|(events, traces)| (events, traces, 0)),
            BatchSource::ReleasedUpTo(acked) => match self.read_released(acked, items).await {
                Ok(Ok((events, upto))) => Ok((events, EventTraces::default(), upto)),
                Ok(Err(later)) => return PushEvent::Released(later),
                Err(error) => Err(error),
            },
        };
        let (events, traces, released_upto) = match read {
            Ok(read) => read,
            Err(error) => {
                tracing::error!(%source, %error, "events for the messenger cannot be read; this is repeated");
                return PushEvent::CutFailed;
            }
        };
        if events.positions.is_empty() {
            return PushEvent::Cut(Vec::new());
        }
        match self.ids.next().await {
            Ok(txn) => {
                let positions = events.positions.clone();
                work.batch = Some(EventBatch { txn, events, released_upto, traces });
                PushEvent::Cut(positions)
            }
            Err(error) => {
                tracing::error!(%source, %error, "no transaction id can be reserved; this is repeated");
                PushEvent::CutFailed
            }
        }
    }

    /// Reads the released events that are to be pushed after a position up to this one, and the number of the last. If the
    /// oldest is for later, its position is returned instead; `None`: there is none.
    async fn read_released(
        &self,
        acked: Position,
        items: u32,
    ) -> Result<Result<(WrittenEvents, u64), Option<Position>>, ArchiveError> {
        let mut released = self.ports.archive.feed.released_events(items, self.bytes_max).await?;
        let later = released.first().map(|first| first.after);
        released.truncate(released.iter().take_while(|event| event.after <= acked).count());
        Ok(match released.last() {
            Some(last) => Ok((write_released(&released), last.number)),
            None => Err(later),
        })
    }

    /// Looks for the oldest released event.
    async fn first_released(&self) -> PushEvent {
        let released = self.ports.archive.feed.released_events(1, 0).await;
        let released = released.inspect_err(|error| {
            tracing::error!(%error, "released events cannot be read; they are pushed after the next start or release");
        });
        PushEvent::Released(released.unwrap_or_default().first().map(|first| first.after))
    }

    async fn read(&self, after: Position, items: u32) -> Result<(WrittenEvents, EventTraces), ArchiveError> {
        let feed = &self.ports.archive.feed;
        let entries = match feed.feed_after(after, items, self.bytes_max).await? {
            FeedPage::Entries(entries) => entries,
            FeedPage::Gone { oldest } => {
                tracing::warn!(%after, %oldest, "events are no longer kept; the push goes on with the oldest one");
                let before = Position(oldest.0.saturating_sub(1));
                match feed.feed_after(before, items, self.bytes_max).await? {
                    FeedPage::Entries(entries) => entries,
                    FeedPage::Gone { .. } => Vec::new(),
                }
            }
        };
        let events = write_events(&entries, self.bytes_max)?;
        let traces = self.spans.of_events(&entries[..events.positions.len()]);
        Ok((events, traces))
    }

    /// Sends the batch that was cut.
    fn send(&mut self, work: &mut PendingWork) {
        work.until = None;
        self.status.set_backoff(Duration::ZERO);
        let (Some(batch), Some(mut client)) = (&work.batch, self.client.take()) else {
            debug_assert!(false, "a batch is sent once it is cut, and while none is in flight");
            return;
        };
        let request = WebhookRequest {
            method: Method::PUT,
            path: format!("/transactions/{}", batch.txn),
            id: batch.txn.to_string(),
            seconds: self.ports.clock.now().0 / 1000,
            headers: Vec::new(),
            body: batch.events.body.clone(),
        };
        let traced = self.spans.messenger_push(&batch.traces);
        work.call = Some(Box::pin(async move {
            let _traced = traced;
            let outcome = client.call(&request).await;
            (client, outcome)
        }));
    }

    /// Submits the acknowledgement, with the refused events.
    async fn acknowledge(
        &self,
        source: BatchSource,
        upto: Position,
        refused: Vec<RefusedPosition>,
        batch: Option<&EventBatch>,
    ) {
        let Some(batch) = batch else { return };
        let (count, parked) = (batch.events.positions.len() as u64, refused.len() as u64);
        self.status.count_events(count.saturating_sub(parked), parked);
        let mut changes = Vec::with_capacity(refused.len() + 1);
        for RefusedPosition { position, reason } in refused {
            tracing::warn!(%position, %reason, "the messenger refuses an event, which goes to quarantine; see `fernpost \
                quarantine list --messenger`");
            let bytes = batch.events.event(position).unwrap_or_default();
            let event = RefusedEvent { position, reason, bytes };
            changes.push(Change::EventRefused { event, keep: self.quarantine_items });
        }
        let Some(fence) = self.ports.ownership.claim_feed() else {
            tracing::error!(%upto, "another process owns the feed, so the acknowledgement is dropped");
            return;
        };
        let journal = &self.ports.journal;
        match source {
            BatchSource::FeedAfter(_) => {
                changes.push(Change::FeedAcked { upto });
                self.calls.acknowledge(|| journal.submit(fence, changes, CommitPriority::Deferred));
            }
            BatchSource::ReleasedUpTo(_) => {
                changes.push(Change::ReleasedEventsPushed { upto: batch.released_upto });
                // The next read must not find these events again. If the journal has stopped, the process ends.
                let _ = journal.submit(fence, changes, CommitPriority::Now).committed().await;
            }
        }
    }
}

/// Resolves when the gateway stops.
async fn stopped(stopping: &mut watch::Receiver<bool>) {
    if stopping.wait_for(|stopping| *stopping).await.is_err() {
        // Without its sender nobody stops the gateway in order.
        pending::<()>().await;
    }
}

async fn in_flight(call: &mut Option<InFlightCall>) -> (WebhookClient, CallOutcome) {
    match call {
        Some(call) => call.await,
        None => pending().await,
    }
}

async fn delay(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => pending().await,
    }
}

fn log(report: PushReport) {
    match report {
        PushReport::Failing { first, failures, fault } => {
            let reason = fault.words();
            tracing::warn!(%first, failures, %reason, "the messenger did not take a batch that begins at this position; \
                check the messenger, then POST /v1/ping for an attempt at once");
        }
        PushReport::Recovered => tracing::info!("the messenger takes events again"),
        PushReport::Stuck { position, reason } => {
            tracing::error!(%position, %reason, "the messenger fails at this event for ever, as at those before it; \
                nothing more is parked: repair the messenger, or let it answer 422 for what it cannot take");
        }
    }
}
