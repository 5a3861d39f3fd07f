//! A bounded map of the newest entries, so that memory does not grow with the context.

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// A map of at most `max` entries; the oldest is dropped. Overwriting an entry makes it the newest.
pub(crate) struct BoundedMap<K, V> {
    max: usize,
    entries: HashMap<K, (u64, V)>,
    by_age: BTreeMap<u64, K>,
    stamp: u64,
}

impl<K: Clone + Eq + Hash, V> BoundedMap<K, V> {
    pub(crate) fn new(max: usize) -> Self {
        Self { max, entries: HashMap::new(), by_age: BTreeMap::new(), stamp: 0 }
    }

    pub(crate) fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.entries.get(key).map(|(_, value)| value)
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        self.stamp += 1;
        if let Some((old, _)) = self.entries.insert(key.clone(), (self.stamp, value)) {
            self.by_age.remove(&old);
        }
        self.by_age.insert(self.stamp, key);
        while self.entries.len() > self.max {
            let Some((_, oldest)) = self.by_age.pop_first() else { break };
            self.entries.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounded_map_evicts_oldest_write() {
        let mut recent = BoundedMap::new(2);
        recent.insert("a", 1);
        recent.insert("b", 2);
        recent.insert("a", 3);
        recent.insert("c", 4);
        assert_eq!((recent.get("a"), recent.get("b"), recent.get("c")), (Some(&3), None, Some(&4)));
        assert_eq!((recent.entries.len(), recent.by_age.len()), (2, 2));
    }
}
