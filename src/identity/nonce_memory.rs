//! The nonces that keys have used, so that a copy of a signed request is refused.
//!
//! A nonce is remembered for as long as its signature can be accepted, by a clock that never jumps: a wall clock that is set forward
//! and back would forget nonces whose signatures are accepted again.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actors::model::UsedNonce;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::identity::request_signature::CREATED_WITHIN;

/// Time for which a nonce is remembered: a signature may be made `CREATED_WITHIN` in the future, and is too old as long after.
pub const REMEMBERED: Duration = Duration::from_secs(2 * CREATED_WITHIN.as_secs());

/// The nonces of all keys.
#[derive(Debug)]
pub struct NonceMemory {
    keys: Mutex<HashMap<Box<str>, KeyNonces>>,
    /// Maximum number of nonces per key.
    per_key: AtomicUsize,
}

/// The nonces of one key, oldest first.
#[derive(Debug, Default)]
struct KeyNonces {
    used: HashSet<Box<str>>,
    in_order: VecDeque<(Instant, Box<str>)>,
}

/// Error: a nonce is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NonceError {
    /// The key has used it.
    #[error("the nonce was used before: this is a copy of a request")]
    Seen,
    /// The key has used too many.
    #[error("the key has used {max} nonces within ten minutes (peers.nonces_max)")]
    TooMany {
        /// The limit.
        max: usize,
        /// Time until the oldest is forgotten.
        wait: Duration,
    },
}

impl NonceMemory {
    /// Returns a memory of these nonces, which an earlier process has stored.
    pub fn new(per_key: usize, stored: Vec<UsedNonce>, now: Instant) -> Self {
        let mut keys: HashMap<Box<str>, KeyNonces> = HashMap::new();
        for UsedNonce { key, nonce, .. } in stored {
            keys.entry(key).or_default().remember(now, nonce);
        }
        Self { keys: Mutex::new(keys), per_key: AtomicUsize::new(per_key) }
    }

    /// Changes the maximum number of nonces per key.
    pub fn limit(&self, per_key: usize) {
        self.per_key.store(per_key, Ordering::Relaxed);
    }

    /// Records a nonce of a signature that was verified.
    pub fn use_once(&self, now: Instant, used: &UsedNonce) -> Result<(), NonceError> {
        let mut keys = self.keys.lock();
        if !keys.contains_key(&used.key) {
            // A key whose nonces are all forgotten leaves no entry.
            keys.retain(|_, nonces| nonces.in_order.back().is_some_and(|(since, _)| *since + REMEMBERED > now));
        }
        let nonces = keys.entry(used.key.clone()).or_default();
        nonces.forget(now);
        if nonces.used.contains(&used.nonce) {
            return Err(NonceError::Seen);
        }
        let max = self.per_key.load(Ordering::Relaxed);
        if nonces.used.len() >= max {
            let oldest = nonces.in_order.front().map_or(now, |(since, _)| *since);
            let wait = (oldest + REMEMBERED).saturating_duration_since(now);
            return Err(NonceError::TooMany { max, wait });
        }
        nonces.remember(now, used.nonce.clone());
        Ok(())
    }
}

impl KeyNonces {
    fn remember(&mut self, now: Instant, nonce: Box<str>) {
        if self.used.insert(nonce.clone()) {
            self.in_order.push_back((now, nonce));
        }
    }

    fn forget(&mut self, now: Instant) {
        while self.in_order.front().is_some_and(|(since, _)| *since + REMEMBERED <= now) {
            if let Some((_, nonce)) = self.in_order.pop_front() {
                self.used.remove(&nonce);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actors::model::Millis;

    fn nonce(key: &str, nonce: &str) -> UsedNonce {
        UsedNonce { key: key.into(), nonce: nonce.into(), until: Millis(0) }
    }

    #[test]
    fn nonce_is_used_once_per_key() {
        let start = Instant::now();
        let memory = NonceMemory::new(10, vec![nonce("red/1", "stored")], start);
        let used =
            |secs: u64, key: &str, text: &str| memory.use_once(start + Duration::from_secs(secs), &nonce(key, text));
        assert_eq!(used(0, "red/1", "stored"), Err(NonceError::Seen), "an earlier process has seen it");
        assert_eq!(used(0, "red/2", "stored"), Ok(()));
        assert_eq!((used(10, "red/1", "a"), used(20, "red/1", "a")), (Ok(()), Err(NonceError::Seen)));
        assert_eq!(used(609, "red/1", "a"), Err(NonceError::Seen));
        assert_eq!(used(610, "red/1", "a"), Ok(()), "a signature of that age is refused as too old");
    }

    #[test]
    fn nonces_of_one_key_are_bounded() {
        let start = Instant::now();
        let memory = NonceMemory::new(2, vec![], start);
        let used =
            |secs: u64, key: &str, text: &str| memory.use_once(start + Duration::from_secs(secs), &nonce(key, text));
        assert_eq!((used(0, "red/1", "a"), used(100, "red/1", "b")), (Ok(()), Ok(())));
        let wait = Duration::from_secs(400);
        assert_eq!(used(200, "red/1", "c"), Err(NonceError::TooMany { max: 2, wait }), "until the oldest is forgotten");
        assert_eq!(used(200, "blue/1", "c"), Ok(()), "one key takes no room from others");
        assert_eq!(used(600, "red/1", "c"), Ok(()));
        assert_eq!(used(2000, "green/1", "d"), Ok(()));
        assert_eq!(memory.keys.lock().len(), 1, "keys without nonces leave no entry");
    }
}
