//! Admission to an actor by permits, because the capacity of a mailbox is no limit.
//!
//! Each clone of an actix address owns a free slot, and web handlers clone. Mailboxes are therefore unbounded on
//! purpose, and these permits are the bound. A permit travels in the message and is released right before the reply
//! is sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::errors::AdmissionError;

/// The admission limit of one actor.
#[derive(Debug, Clone)]
pub struct AdmissionLimit {
    permits: Arc<PermitCount>,
    key: &'static str,
}

#[derive(Debug)]
struct PermitCount {
    taken: AtomicU32,
    max: AtomicU32,
}

/// The right to have a request in an actor's mailbox. It is dropped when the request is finished.
#[derive(Debug)]
pub struct AdmissionPermit(Arc<PermitCount>);

impl Drop for AdmissionPermit {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Release);
    }
}

/// Time after which a refused caller should retry: one second is the smallest unit of the dialects, and a mailbox
/// drains sooner.
const WAIT: Duration = Duration::from_secs(1);

impl AdmissionLimit {
    /// Returns a limit of `max` concurrent requests; `key` is its configuration key.
    pub fn new(key: &'static str, max: u32) -> Self {
        Self { permits: Arc::new(PermitCount { taken: AtomicU32::new(0), max: AtomicU32::new(max) }), key }
    }

    /// Changes the limit. Permits beyond a lower one stay valid; new requests wait until they have returned.
    pub fn change_max(&self, max: u32) {
        self.permits.max.store(max, Ordering::Relaxed);
    }

    /// Returns whether no permit is taken.
    pub fn is_empty(&self) -> bool {
        self.permits.taken.load(Ordering::Acquire) == 0
    }

    /// Takes a permit, or refuses the request if none is left.
    pub fn enter(&self) -> Result<AdmissionPermit, AdmissionError> {
        let max = self.permits.max.load(Ordering::Relaxed);
        let one_more = |taken: u32| (taken < max).then_some(taken + 1);
        match self.permits.taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more) {
            Ok(_) => Ok(AdmissionPermit(self.permits.clone())),
            Err(_) => Err(AdmissionError::LimitReached { limit: self.key, value: u64::from(max), wait: WAIT }),
        }
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

    #[test]
    fn lower_limit_waits_for_permits() {
        let intake = AdmissionLimit::new("peers.intake_max", 2);
        let (first, second) = (intake.enter(), intake.enter());
        intake.clone().change_max(1);
        drop(first);
        assert!(matches!(intake.enter(), Err(AdmissionError::LimitReached { value: 1, .. })), "one is still out");
        drop(second);
        let only = intake.enter();
        assert!(only.is_ok() && intake.enter().is_err());
        intake.change_max(3);
        assert!(intake.enter().is_ok());
    }
}
