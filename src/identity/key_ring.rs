//! The signing keys of this server: which one signs now, and which are published.

use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;

use crate::identity::public_key::PeerKeys;
use crate::identity::signing_key::OwnKey;

/// A signing key with its times.
#[derive(Debug, Clone)]
pub struct StoredKey {
    /// The key.
    pub key: OwnKey,
    /// Time at which it was made.
    pub created: SystemTime,
    /// Time from which it signs. Before, it is published only, so that peers know it when it is used.
    pub signs_from: SystemTime,
}

/// The current use of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    /// It signs.
    Active,
    /// It is published, and signs later.
    Next,
    /// It is published, because something that it signed may still be kept.
    Old,
}

impl KeyState {
    /// Returns the state as it is printed.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Next => "next",
            Self::Old => "old",
        }
    }
}

/// All signing keys, in the order in which they sign.
#[derive(Debug, Clone, Default)]
pub struct KeyRing {
    keys: Vec<StoredKey>,
}

impl KeyRing {
    /// Returns the ring of these keys.
    pub fn new(mut keys: Vec<StoredKey>) -> Self {
        keys.sort_by(|one, other| (one.signs_from, one.key.id()).cmp(&(other.signs_from, other.key.id())));
        Self { keys }
    }

    /// Returns all keys, in the order in which they sign.
    pub fn keys(&self) -> &[StoredKey] {
        &self.keys
    }

    /// Returns whether both have the same keys, which sign at the same times.
    pub fn same(&self, other: &Self) -> bool {
        let marks = |ring: &Self| -> Vec<_> {
            ring.keys.iter().map(|key| (key.key.id().clone(), *key.key.public().as_bytes(), key.signs_from)).collect()
        };
        marks(self) == marks(other)
    }

    /// Returns the key that signs at this time: the newest that signs already. If the clock was set back before the first one, it
    /// is the first one, because a server that signs nothing reaches nobody.
    pub fn active(&self, now: SystemTime) -> Option<&OwnKey> {
        self.active_place(now).map(|place| &self.keys[place].key)
    }

    /// Returns the public halves of all keys: those that no longer sign still verify what they have signed.
    pub fn public_keys(&self) -> PeerKeys {
        self.keys.iter().map(|key| (key.key.id().clone(), key.key.public())).collect()
    }

    /// Returns all keys with their states at this time.
    pub fn states(&self, now: SystemTime) -> impl Iterator<Item = (&StoredKey, KeyState)> {
        let active = self.active_place(now);
        self.keys.iter().enumerate().map(move |(place, key)| {
            let state = match active {
                Some(active) if place == active => KeyState::Active,
                Some(active) if place > active => KeyState::Next,
                _ => KeyState::Old,
            };
            (key, state)
        })
    }

    fn active_place(&self, now: SystemTime) -> Option<usize> {
        let begun = self.keys.iter().rposition(|key| key.signs_from <= now);
        begun.or((!self.keys.is_empty()).then_some(0))
    }
}

/// The signing keys in use, replaced without a restart.
#[derive(Debug, Clone)]
pub struct LiveKeyRing(Arc<ArcSwap<KeyRing>>);

impl LiveKeyRing {
    /// Returns the keys in use.
    pub fn current(&self) -> Arc<KeyRing> {
        self.0.load_full()
    }

    /// Uses these keys from now on.
    pub fn replace(&self, ring: KeyRing) {
        self.0.store(Arc::new(ring));
    }
}

impl From<Arc<KeyRing>> for LiveKeyRing {
    fn from(ring: Arc<KeyRing>) -> Self {
        Self(Arc::new(ArcSwap::new(ring)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use zeroize::Zeroizing;

    fn key(id: &str, signs_from: u64) -> StoredKey {
        let at = UNIX_EPOCH + Duration::from_secs(signs_from);
        let key = OwnKey::from_seed(id.parse().expect("an id"), &Zeroizing::new([7; 32]));
        StoredKey { key, created: at, signs_from: at }
    }

    #[test]
    fn newest_begun_key_is_active() {
        let ring = KeyRing::new(vec![key("c", 300), key("a", 100), key("b", 200)]);
        let states = |now: u64| -> Vec<String> {
            let states = ring.states(UNIX_EPOCH + Duration::from_secs(now));
            states.map(|(key, state)| format!("{} {}", key.key.id(), state.as_str())).collect()
        };
        assert_eq!(states(250), ["a old", "b active", "c next"]);
        assert_eq!(states(300), ["a old", "b old", "c active"]);
        assert_eq!(states(50), ["a active", "b next", "c next"], "the clock was set back");
        let active = ring.active(UNIX_EPOCH + Duration::from_secs(250)).map(|key| key.id().to_string());
        assert_eq!(active.as_deref(), Some("b"));
        assert!(KeyRing::default().active(UNIX_EPOCH).is_none());
    }
}
