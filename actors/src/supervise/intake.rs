//! Admission to an actor: permits, because a mailbox's capacity is no limit.
//!
//! Each clone of an actix address owns a free slot, and web handlers clone; so mailboxes are unbounded on purpose, and what
//! bounds them is this. The permit travels in the message and returns when the reply has been sent.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::model::Refusal;

/// The door of one actor.
#[derive(Debug, Clone)]
pub struct Intake {
    permits: Arc<Semaphore>,
    max: u32,
    key: &'static str,
}

/// The right to be in an actor's mailbox. Dropped when the request is done with.
#[derive(Debug)]
pub struct Permit(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

/// What a caller turned away here is asked to wait: the unit of the dialects is the second, and a mailbox empties sooner.
const WAIT: Duration = Duration::from_secs(1);

impl Intake {
    /// A door for `max` requests at once; `key` is what the operator calls that limit.
    pub fn new(key: &'static str, max: u32) -> Self {
        Self { permits: Arc::new(Semaphore::new(max as usize)), max, key }
    }

    /// Nobody is inside.
    pub fn is_empty(&self) -> bool {
        self.permits.available_permits() == self.max as usize
    }

    /// Enter, or be told to come again.
    pub fn enter(&self) -> Result<Permit, Refusal> {
        let busy = |_| Refusal::Busy { limit: self.key, value: u64::from(self.max), wait: WAIT };
        self.permits.clone().try_acquire_owned().map(Permit).map_err(busy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_enter_as_there_are_permits_and_each_permit_returns() {
        let intake = Intake::new("peers.intake_max", 2);
        let first = intake.enter();
        let second = intake.enter();
        assert!(first.is_ok() && second.is_ok());
        assert!(matches!(intake.enter(), Err(Refusal::Busy { limit: "peers.intake_max", value: 2, .. })));
        assert!(!intake.is_empty());
        drop(first);
        assert!(intake.enter().is_ok());
        drop(second);
        assert!(intake.is_empty());
    }
}
