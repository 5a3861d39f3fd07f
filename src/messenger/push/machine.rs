//! Decides what is pushed when. Pure: an event in, effects out; time and chance are arguments.

use std::fmt;
use std::time::Duration;

use actors::backoff;
use actors::limits::BackoffLimits;
use actors::model::Position;

use crate::messenger::push::fault::PushFault;

/// Events of the first batch after the start. Each batch that is acknowledged while more waits doubles the number.
const FIRST_ITEMS: usize = 64;

/// Events that may be parked in a row because of status 500. A messenger that fails at every event would lose all of them
/// otherwise.
const PARKED_IN_ROW_MAX: u32 = 3;

/// The limits that the machine keeps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct BatchRules {
    /// Maximum events of a batch (`messenger.push.batch_items`).
    pub(crate) items_max: usize,
    /// Attempts after which status 500 counts as a refusal of the content (`messenger.push.poison_after`).
    pub(crate) poison_after: u32,
    /// Delays after failures.
    pub(crate) backoff: BackoffLimits,
}

/// Everything that can happen to the push.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum PushEvent {
    /// The feed has events up to this position.
    Grown(Position),
    /// A batch was cut and numbered: the positions of its events, in order. Empty: there was nothing.
    Cut(Vec<Position>),
    /// The oldest released event is to be pushed after this position; `None`: there is none.
    Released(Option<Position>),
    /// The feed could not be read.
    CutFailed,
    /// The messenger acknowledged the batch, except for these events, which it refused.
    Acknowledged(Vec<RefusedPosition>),
    /// The batch failed.
    Failed(PushFault),
    /// The delay is over.
    TimerFired,
    /// The messenger says that it is back.
    Pinged,
    /// The acknowledged position was moved back to this one.
    Rewound(Position),
}

/// The work of the shell, in this order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum PushEffect {
    /// Read at most so many events of this source as the next batch, under a new transaction id.
    Cut {
        /// Source of the events.
        source: BatchSource,
        /// Maximum number of events.
        items: usize,
    },
    /// Send the batch that was cut last.
    Send,
    /// Wait for so long, unless something else ends the wait.
    Wait(Duration),
    /// Acknowledge the batch that was cut last, and put the refused events into quarantine.
    Acknowledge {
        /// Source of the events.
        source: BatchSource,
        /// Position of the last event.
        upto: Position,
        /// Events that the messenger refused.
        refused: Vec<RefusedPosition>,
    },
    /// Report this to the operator.
    Report(PushReport),
}

/// The source of the events of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BatchSource {
    /// The feed, after this position.
    FeedAfter(Position),
    /// Events that were refused before and that an operator released, with their old positions: those that are to be
    /// pushed after a position up to this one.
    ReleasedUpTo(Position),
}

impl fmt::Display for BatchSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FeedAfter(after) => write!(f, "the feed after {after}"),
            Self::ReleasedUpTo(upto) => write!(f, "released events up to {upto}"),
        }
    }
}

/// An event that the messenger refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RefusedPosition {
    /// Position of the event.
    pub(crate) position: Position,
    /// The messenger's reason.
    pub(crate) reason: String,
}

/// A change that the operator should know of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PushReport {
    /// A batch failed.
    Failing {
        /// Position of the first event of the batch.
        first: Position,
        /// Failures in a row, this one included.
        failures: u32,
        /// Cause of the failure.
        fault: PushFault,
    },
    /// A batch was acknowledged after failures.
    Recovered,
    /// The same event fails for ever, and is not parked because those before it were.
    Stuck {
        /// Position of the event.
        position: Position,
        /// Cause of the failures.
        reason: String,
    },
}

/// The state of the push.
#[derive(Debug, Clone, PartialEq)]
enum PushState {
    /// Nothing is unread.
    Idle,
    /// The shell cuts a batch.
    Cutting(BatchSource),
    /// A batch is in flight.
    InFlight(TriedBatch),
    /// A batch is in flight whose answer moves nothing, because the position was moved back meanwhile.
    Overtaken,
    /// A delay runs; then the same batch is sent again.
    BackingOff(TriedBatch),
    /// A delay runs; then a batch is cut anew.
    BeforeCut,
}

/// A batch that is being tried.
#[derive(Debug, Clone, PartialEq)]
struct TriedBatch {
    source: BatchSource,
    positions: Vec<Position>,
    /// Attempts at this batch that make its content suspect.
    suspicions: u32,
}

impl TriedBatch {
    fn first(&self) -> Position {
        self.positions.first().copied().unwrap_or_default()
    }

    fn last(&self) -> Position {
        self.positions.last().copied().unwrap_or_default()
    }
}

/// The events among which one is looked for that the messenger does not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FailingRange {
    /// Number of events from the next one on.
    left: usize,
    /// Number of them in the next batch.
    items: usize,
}

/// The push of the feed to the messenger: at most one batch is in flight, and batches are in the order of the feed.
#[derive(Debug)]
pub(crate) struct PushMachine {
    rules: BatchRules,
    state: PushState,
    /// Everything up to here is acknowledged or parked.
    acked: Position,
    tail: Position,
    /// Position after which the oldest released event is pushed.
    released: Option<Position>,
    /// Maximum events of the next batch.
    items: usize,
    failing: Option<FailingRange>,
    /// Failures since the last answer that moved the position.
    failures: u32,
    /// Events parked because of status 500 since the last one that was acknowledged.
    parked_in_row: u32,
    stuck: Option<Position>,
}

impl PushMachine {
    /// Returns the push that goes on after this acknowledged position.
    pub(crate) fn new(rules: BatchRules, acked: Position) -> Self {
        Self {
            rules,
            state: PushState::Idle,
            acked,
            tail: acked,
            released: None,
            items: FIRST_ITEMS.min(rules.items_max),
            failing: None,
            failures: 0,
            parked_in_row: 0,
            stuck: None,
        }
    }

    /// Returns whether the messenger takes nothing at the moment.
    pub(crate) const fn is_failing(&self) -> bool {
        self.failures > 0
    }

    /// Returns the position of the event at which the push is stuck.
    pub(crate) const fn stuck(&self) -> Option<Position> {
        self.stuck
    }

    /// Decides what follows from an event. `roll` is a random number from 0 to 1, for the jitter.
    pub(crate) fn on(&mut self, event: PushEvent, roll: f64) -> Vec<PushEffect> {
        let state = std::mem::replace(&mut self.state, PushState::Idle);
        match (state, event) {
            (PushState::Idle, PushEvent::Grown(tail)) => {
                self.tail = tail;
                self.next()
            }
            (state, PushEvent::Grown(tail)) => {
                self.tail = tail;
                self.stay(state)
            }
            (PushState::Idle | PushState::Cutting(_), PushEvent::Released(after)) => {
                self.released = after;
                self.next()
            }
            (state, PushEvent::Released(after)) => {
                self.released = after;
                self.stay(state)
            }
            (PushState::Cutting(_), PushEvent::Cut(positions)) if positions.is_empty() => Vec::new(),
            (PushState::Cutting(source), PushEvent::Cut(positions)) => {
                self.send(TriedBatch { source, positions, suspicions: 0 })
            }
            (PushState::Cutting(_), PushEvent::CutFailed) => {
                self.failures = self.failures.saturating_add(1);
                self.state = PushState::BeforeCut;
                vec![PushEffect::Wait(self.delay(roll))]
            }
            (PushState::InFlight(batch), PushEvent::Acknowledged(refused)) => self.acknowledged(&batch, refused),
            (PushState::InFlight(batch), PushEvent::Failed(fault)) => self.failed(batch, fault, roll),
            (PushState::Overtaken, PushEvent::Acknowledged(_) | PushEvent::Failed(_)) => self.next(),
            (PushState::BackingOff(batch), PushEvent::TimerFired) => self.send(batch),
            (PushState::BeforeCut, PushEvent::TimerFired) => self.next(),
            (PushState::BackingOff(batch), PushEvent::Pinged) => {
                self.failures = 0;
                self.send(batch)
            }
            (PushState::BeforeCut, PushEvent::Pinged) => {
                self.failures = 0;
                self.next()
            }
            (state, PushEvent::Rewound(to)) => self.rewound(&state, to),
            (state, _) => self.stay(state),
        }
    }

    fn stay(&mut self, state: PushState) -> Vec<PushEffect> {
        self.state = state;
        Vec::new()
    }

    /// Cuts the next batch, if anything is unread.
    fn next(&mut self) -> Vec<PushEffect> {
        let source = if self.released.is_some_and(|after| after <= self.acked) {
            BatchSource::ReleasedUpTo(self.acked)
        } else if self.tail > self.acked {
            BatchSource::FeedAfter(self.acked)
        } else {
            self.state = PushState::Idle;
            return Vec::new();
        };
        self.state = PushState::Cutting(source);
        let items = self.failing.map_or(self.items, |failing| failing.items.min(self.items)).max(1);
        vec![PushEffect::Cut { source, items }]
    }

    fn send(&mut self, batch: TriedBatch) -> Vec<PushEffect> {
        self.state = PushState::InFlight(batch);
        vec![PushEffect::Send]
    }

    fn acknowledged(&mut self, batch: &TriedBatch, refused: Vec<RefusedPosition>) -> Vec<PushEffect> {
        let recovered = self.failures > 0 || self.stuck.is_some();
        (self.parked_in_row, self.failures, self.stuck) = (0, 0, None);
        let upto = self.pass(batch);
        match self.failing.take() {
            // The messenger did not take the whole range, so it is not asked for more before the rest is taken.
            Some(failing) => {
                let left = failing.left.saturating_sub(batch.positions.len());
                self.failing = (left > 0).then_some(FailingRange { left, items: left });
            }
            None if self.tail > upto => self.items = self.items.saturating_mul(2).min(self.rules.items_max),
            None => {}
        }
        let mut effects = vec![PushEffect::Acknowledge { source: batch.source, upto, refused }];
        if recovered {
            effects.push(PushEffect::Report(PushReport::Recovered));
        }
        effects.extend(self.next());
        effects
    }

    fn failed(&mut self, batch: TriedBatch, fault: PushFault, roll: f64) -> Vec<PushEffect> {
        self.failures = self.failures.saturating_add(1);
        let report = PushReport::Failing { first: batch.first(), failures: self.failures, fault: fault.clone() };
        let mut effects = vec![PushEffect::Report(report)];
        effects.extend(match fault {
            PushFault::Refused { status, .. } => self.refused(&batch, status, fault.words(), roll),
            PushFault::Suspect(reason) => self.suspected(batch, reason, roll),
            PushFault::TimedOut => self.timed_out(batch, roll),
            PushFault::Unavailable { retry_after, .. } => self.wait(batch, retry_after, roll),
        });
        effects
    }

    /// The content was refused: the half of the batch is next, or the one event is parked.
    fn refused(&mut self, batch: &TriedBatch, status: u16, reason: String, roll: f64) -> Vec<PushEffect> {
        let count = batch.positions.len();
        if count > 1 {
            if status == 413 {
                self.items = count / 2;
            }
            return self.halve(count);
        }
        let mut effects = self.park(batch, reason);
        // A messenger that refuses everything by mistake is not raced through its whole feed.
        self.failures = 1;
        self.state = PushState::BeforeCut;
        effects.push(PushEffect::Wait(self.delay(roll)));
        self.failures = 0;
        effects
    }

    /// The content may be the cause. It counts as the cause after several attempts at the same batch.
    fn suspected(&mut self, batch: TriedBatch, reason: String, roll: f64) -> Vec<PushEffect> {
        let count = batch.positions.len();
        let suspicions = batch.suspicions.saturating_add(1);
        // The one event of a whole batch needs as many attempts again, which one that is left of a larger batch has had.
        let is_whole = count == 1 && self.failing.is_none();
        let needed = if is_whole { self.rules.poison_after.saturating_mul(2) } else { self.rules.poison_after };
        let batch = TriedBatch { suspicions, ..batch };
        if suspicions < needed {
            return self.wait(batch, None, roll);
        }
        if count > 1 {
            self.failures = 0;
            return self.halve(count);
        }
        if self.parked_in_row < PARKED_IN_ROW_MAX {
            self.failures = 0;
            self.parked_in_row += 1;
            let mut effects = self.park(&batch, reason);
            effects.extend(self.next());
            return effects;
        }
        let position = batch.first();
        let report = (self.stuck != Some(position)).then_some(PushReport::Stuck { position, reason });
        self.stuck = Some(position);
        let mut effects: Vec<_> = report.map(PushEffect::Report).into_iter().collect();
        effects.extend(self.wait(batch, None, roll));
        effects
    }

    /// A smaller batch may be handled in time.
    fn timed_out(&mut self, batch: TriedBatch, roll: f64) -> Vec<PushEffect> {
        let count = batch.positions.len();
        if count <= 1 {
            return self.wait(batch, None, roll);
        }
        self.items = count / 2;
        self.state = PushState::BeforeCut;
        vec![PushEffect::Wait(self.delay(roll))]
    }

    /// Sends the same batch again after a delay.
    fn wait(&mut self, batch: TriedBatch, retry_after: Option<Duration>, roll: f64) -> Vec<PushEffect> {
        self.state = PushState::BackingOff(batch);
        let BackoffLimits { min, max, .. } = self.rules.backoff;
        let asked = retry_after.map(|asked| asked.clamp(min.min(max), max));
        vec![PushEffect::Wait(asked.unwrap_or_else(|| self.delay(roll)))]
    }

    fn halve(&mut self, count: usize) -> Vec<PushEffect> {
        self.failing = Some(FailingRange { left: count, items: count / 2 });
        self.next()
    }

    /// Goes on behind a batch, and returns the position of its last event.
    fn pass(&mut self, batch: &TriedBatch) -> Position {
        let last = batch.last();
        if let BatchSource::FeedAfter(_) = batch.source {
            self.acked = last;
        }
        last
    }

    /// Gives up the one event of a batch.
    fn park(&mut self, batch: &TriedBatch, reason: String) -> Vec<PushEffect> {
        let position = self.pass(batch);
        self.failing = None;
        let refused = vec![RefusedPosition { position, reason }];
        vec![PushEffect::Acknowledge { source: batch.source, upto: position, refused }]
    }

    fn rewound(&mut self, state: &PushState, to: Position) -> Vec<PushEffect> {
        self.acked = to;
        (self.failures, self.parked_in_row, self.stuck, self.failing) = (0, 0, None, None);
        match state {
            // Only one request is in flight, so its answer is awaited.
            PushState::InFlight(_) | PushState::Overtaken => self.stay(PushState::Overtaken),
            _ => self.next(),
        }
    }

    fn delay(&self, roll: f64) -> Duration {
        backoff::delay(&self.rules.backoff, self.failures, roll)
    }
}

#[cfg(test)]
mod tests;
