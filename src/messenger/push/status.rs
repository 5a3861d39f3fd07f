//! The state and the counts of push mode, for operators.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actors::model::{Millis, Position};
use tokio::sync::watch;

use crate::messenger::push::fault::BatchResult;

/// The state of push mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PushCondition {
    /// The messenger takes what is pushed, or nothing is unread.
    Delivering,
    /// The messenger took nothing last time.
    BackingOff,
    /// The event at this position fails for ever, and is not parked because those before it were.
    Stuck(Position),
}

impl PushCondition {
    /// Returns the word of the state.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivering => "delivering",
            Self::BackingOff => "backing_off",
            Self::Stuck(_) => "stuck",
        }
    }
}

/// The counts and the state of push mode, written by its task and read by operators.
#[derive(Debug)]
pub struct PushStatus {
    condition: watch::Sender<(PushCondition, Millis)>,
    batches: [AtomicU64; BatchResult::WORDS.len()],
    events: AtomicU64,
    parked: AtomicU64,
    backoff_ms: AtomicU64,
}

impl PushStatus {
    /// Returns the status of a push that begins now.
    pub(crate) fn new(now: Millis) -> Self {
        Self {
            condition: watch::Sender::new((PushCondition::Delivering, now)),
            batches: Default::default(),
            events: AtomicU64::new(0),
            parked: AtomicU64::new(0),
            backoff_ms: AtomicU64::new(0),
        }
    }

    /// Returns the state and the time at which it began.
    pub fn condition(&self) -> (PushCondition, Millis) {
        *self.condition.borrow()
    }

    /// Returns a watch on the state.
    pub(crate) fn conditions(&self) -> watch::Receiver<(PushCondition, Millis)> {
        self.condition.subscribe()
    }

    /// Returns the number of batches by result.
    pub fn batches(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let words = BatchResult::WORDS.iter().map(|(_, word)| *word);
        words.zip(&self.batches).map(|(word, count)| (word, count.load(Ordering::Relaxed)))
    }

    /// Returns the number of events that were acknowledged.
    pub fn events(&self) -> u64 {
        self.events.load(Ordering::Relaxed)
    }

    /// Returns the number of events that the messenger refused.
    pub fn parked(&self) -> u64 {
        self.parked.load(Ordering::Relaxed)
    }

    /// Returns the delay before the next attempt; zero while there is none.
    pub fn backoff(&self) -> Duration {
        Duration::from_millis(self.backoff_ms.load(Ordering::Relaxed))
    }

    /// Changes the state. The time stays that of the state's beginning.
    pub(crate) fn set_condition(&self, condition: PushCondition, now: Millis) {
        self.condition.send_if_modified(|current| {
            let changes = current.0 != condition;
            if changes {
                *current = (condition, now);
            }
            changes
        });
    }

    pub(crate) fn count_batch(&self, result: BatchResult) {
        let place = BatchResult::WORDS.iter().position(|(one, _)| *one == result).expect("every result has a word");
        self.batches[place].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_events(&self, acknowledged: u64, parked: u64) {
        self.events.fetch_add(acknowledged, Ordering::Relaxed);
        self.parked.fetch_add(parked, Ordering::Relaxed);
    }

    pub(crate) fn set_backoff(&self, delay: Duration) {
        self.backoff_ms.store(delay.as_millis().try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn condition_keeps_time_of_its_beginning() {
        let status = PushStatus::new(Millis(1));
        status.set_condition(PushCondition::BackingOff, Millis(5));
        status.set_condition(PushCondition::BackingOff, Millis(9));
        assert_eq!(status.condition(), (PushCondition::BackingOff, Millis(5)));
        status.set_condition(PushCondition::Stuck(Position(3)), Millis(11));
        assert_eq!(status.condition(), (PushCondition::Stuck(Position(3)), Millis(11)));
    }

    #[test]
    fn batches_are_counted_by_result() {
        let status = PushStatus::new(Millis(1));
        status.count_batch(BatchResult::TimedOut);
        let counts: Vec<_> = status.batches().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counts, [("timed_out", 1)]);
    }
}
