//! Admission to an actor by permits, because the capacity of a mailbox is no limit.
//!
//! Each clone of an actix address owns a free slot, and web handlers clone. Mailboxes are therefore unbounded on
//! purpose, and these permits are the bound. A permit travels in the message and is released when the reply has been
//! sent.

use crate::errors::AdmissionError;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The admission limit of one actor.
#[derive(Debug, Clone)]
pub struct AdmissionLimit {
    permits: Arc<Semaphore>,
    max: u32,
    key: &'static str,
}

/// The right to have a request in an actor's mailbox. It is dropped when the request is finished.
#[derive(Debug)]
pub struct AdmissionPermit(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

/// Time after which a refused caller should retry: one second is the smallest unit of the dialects, and a mailbox
/// drains sooner.
const WAIT: Duration = Duration::from_secs(1);

impl AdmissionLimit {
    /// Returns a limit of `max` concurrent requests; `key` is its configuration key.
    pub fn new(key: &'static str, max: u32) -> Self {
        Self { permits: Arc::new(Semaphore::new(max as usize)), max, key }
    }

    /// Returns whether no permit is taken.
    pub fn is_empty(&self) -> bool {
        self.permits.available_permits() == self.max as usize
    }

    /// Takes a permit, or refuses the request if none is left.
    pub fn enter(&self) -> Result<AdmissionPermit, AdmissionError> {
        let busy = |_| AdmissionError::LimitReached { limit: self.key, value: u64::from(self.max), wait: WAIT };
        self.permits.clone().try_acquire_owned().map(AdmissionPermit).map_err(busy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admission_is_bounded_by_permits() {
        let intake = AdmissionLimit::new("peers.intake_max", 2);
        let first = intake.enter();
        let second = intake.enter();
        assert!(first.is_ok() && second.is_ok());
        assert!(matches!(
            intake.enter(),
            Err(AdmissionError::LimitReached { limit: "peers.intake_max", value: 2, .. })
        ));
        assert!(!intake.is_empty());
        drop(first);
        assert!(intake.enter().is_ok());
        drop(second);
        assert!(intake.is_empty());
    }
}
