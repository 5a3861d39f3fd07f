//! State PDUs that others say they replace, and that were not delivered: known until they come, so that what rests on them is
//! weighed anew then.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Bond, PduRef, StateKey, StateLink};

/// Links of a conversation that are remembered. One more counts as given up at once, and if it comes after all, that is seen
/// only when its key is weighed for another reason.
const LINKS_MAX: usize = 10_000;

/// Keys remembered for one link: an honest one has one.
const KEYS_MAX: usize = 16;

/// The links of a conversation that are lacking.
#[derive(Default)]
pub(super) struct Links {
    open: BTreeMap<PduRef, StateLink>,
    /// Those that are not as the disk has them.
    touched: BTreeSet<PduRef>,
}

impl Links {
    pub(super) fn load(links: Vec<StateLink>) -> Self {
        let open = links.into_iter().map(|link| (link.missing.clone(), link)).collect();
        Self { open, touched: BTreeSet::new() }
    }

    /// Those that are still to be looked for.
    pub(super) fn list_sought(&self) -> Vec<PduRef> {
        self.open.values().filter(|link| !link.given_up).map(|link| link.missing.clone()).collect()
    }

    /// A PDU of this key rests on it. How it stands.
    pub(super) fn open(&mut self, missing: &PduRef, key: &StateKey) -> Bond {
        if !self.open.contains_key(missing) {
            if self.open.len() >= LINKS_MAX {
                return Bond::GivenUp;
            }
            let link = StateLink { missing: missing.clone(), keys: vec![], given_up: false };
            self.open.insert(missing.clone(), link);
        }
        let Some(link) = self.open.get_mut(missing) else { return Bond::GivenUp };
        if !link.keys.contains(key) {
            if link.keys.len() >= KEYS_MAX {
                return Bond::GivenUp;
            }
            link.keys.push(key.clone());
            self.touched.insert(missing.clone());
        }
        if link.given_up { Bond::GivenUp } else { Bond::Sound }
    }

    /// It could not be had. The keys in which something rested on it until now.
    pub(super) fn give_up(&mut self, missing: &PduRef) -> Vec<StateKey> {
        let Some(link) = self.open.get_mut(missing).filter(|link| !link.given_up) else { return vec![] };
        link.given_up = true;
        self.touched.insert(missing.clone());
        link.keys.clone()
    }

    /// It came.
    pub(super) fn close(&mut self, reference: &PduRef) -> Option<StateLink> {
        self.touched.remove(reference);
        self.open.remove(reference)
    }

    /// Those the disk must be told of.
    pub(super) fn take_touched(&mut self) -> Vec<StateLink> {
        let touched = std::mem::take(&mut self.touched);
        touched.iter().filter_map(|missing| self.open.get(missing).cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::desk::at;

    #[test]
    fn invented_links_cost_a_bounded_memory() {
        let mut links = Links::default();
        let key = |n: usize| ("topic".into(), n.to_string());
        (0..LINKS_MAX).for_each(|n| assert_eq!(links.open(&at(&format!("red/{n}")), &key(0)), Bond::Sound));
        assert_eq!(links.open(&at("red/x"), &key(0)), Bond::GivenUp);
        (1..KEYS_MAX).for_each(|n| assert_eq!(links.open(&at("red/7"), &key(n)), Bond::Sound));
        assert_eq!(links.open(&at("red/7"), &key(KEYS_MAX)), Bond::GivenUp);
        assert_eq!((links.open.len(), links.open[&at("red/7")].keys.len()), (LINKS_MAX, KEYS_MAX));
    }
}
