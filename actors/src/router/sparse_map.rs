//! Gives the memory of hash tables back. A table never shrinks by itself, so that one burst would occupy its memory for ever.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};

/// Capacity up to which a table is left alone.
const SMALL: usize = 64;

/// Shrinks a table of which less than a quarter is used, to twice what it holds. So removing costs no more than inserting has: a
/// table that was shrunk is used by half.
pub(super) fn shrink_sparse_map<K: Eq + Hash, V, S: BuildHasher>(map: &mut HashMap<K, V, S>) {
    if map.capacity() > SMALL && map.len() < map.capacity() / 4 {
        map.shrink_to(2 * map.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emptied_map_gives_memory_back() {
        let mut map: HashMap<u32, u32> = (0..10_000).map(|key| (key, key)).collect();
        let full = map.capacity();
        let mut shrunk = 0;
        for key in 0..10_000 {
            let before = map.capacity();
            map.remove(&key);
            shrink_sparse_map(&mut map);
            // The places of removed keys that stay marked take a little of the capacity; a shrinking halves it.
            shrunk += u32::from(map.capacity() < before / 4 * 3);
        }
        assert!(map.capacity() <= SMALL && shrunk < 10, "{full} to {} in {shrunk} steps", map.capacity());
    }
}
