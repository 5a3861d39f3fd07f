//! Missing `prev_state` PDUs: state PDUs name them, and they are not delivered. They are remembered until they arrive,
//! because the keys that name them are then resolved again.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{MissingPrevState, PduRef, PrevStateLink, StateKey};

/// Maximum number of missing `prev_state` PDUs that a context remembers. A further one counts as given up at once; if
/// it arrives later, its key is not resolved again for that reason alone.
const LINKS_MAX: usize = 10_000;

/// Maximum number of keys remembered for one PDU; an honest one has one key.
const KEYS_MAX: usize = 16;

/// The missing `prev_state` PDUs of a context.
#[derive(Default)]
pub(crate) struct Links {
    open: BTreeMap<PduRef, MissingPrevState>,
    /// Entries that differ from their rows in the store.
    touched: BTreeSet<PduRef>,
}

impl Links {
    pub(crate) fn load(links: Vec<MissingPrevState>) -> Self {
        let open = links.into_iter().map(|link| (link.missing.clone(), link)).collect();
        Self { open, touched: BTreeSet::new() }
    }

    pub(crate) fn has(&self, reference: &PduRef) -> bool {
        self.open.contains_key(reference)
    }

    /// Returns the PDUs that are still to be fetched.
    pub(crate) fn unresolved(&self) -> Vec<PduRef> {
        self.open.values().filter(|link| !link.given_up).map(|link| link.missing.clone()).collect()
    }

    /// Records that a state PDU of this key names the missing PDU; returns the status of the link.
    pub(crate) fn open(&mut self, missing: &PduRef, key: &StateKey) -> PrevStateLink {
        if !self.open.contains_key(missing) {
            if self.open.len() >= LINKS_MAX {
                return PrevStateLink::GivenUp;
            }
            let link = MissingPrevState { missing: missing.clone(), keys: vec![], given_up: false };
            self.open.insert(missing.clone(), link);
        }
        let Some(link) = self.open.get_mut(missing) else { return PrevStateLink::GivenUp };
        if !link.keys.contains(key) {
            if link.keys.len() >= KEYS_MAX {
                return PrevStateLink::GivenUp;
            }
            link.keys.push(key.clone());
            self.touched.insert(missing.clone());
        }
        if link.given_up { PrevStateLink::GivenUp } else { PrevStateLink::Sound }
    }

    /// Gives up a missing PDU; returns the keys that have named it so far.
    pub(crate) fn give_up(&mut self, missing: &PduRef) -> Vec<StateKey> {
        let Some(link) = self.open.get_mut(missing).filter(|link| !link.given_up) else { return vec![] };
        link.given_up = true;
        self.touched.insert(missing.clone());
        link.keys.clone()
    }

    /// Removes a PDU that arrived.
    pub(crate) fn close(&mut self, reference: &PduRef) -> Option<MissingPrevState> {
        self.touched.remove(reference);
        self.open.remove(reference)
    }

    /// Returns the entries that must be written to the store.
    pub(crate) fn take_touched(&mut self) -> Vec<MissingPrevState> {
        let touched = std::mem::take(&mut self.touched);
        touched.iter().filter_map(|missing| self.open.get(missing).cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::tests::harness::at;

    #[test]
    fn missing_prev_states_are_bounded() {
        let mut links = Links::default();
        let key = |n: usize| ("topic".into(), n.to_string());
        (0..LINKS_MAX).for_each(|n| assert_eq!(links.open(&at(&format!("red/{n}")), &key(0)), PrevStateLink::Sound));
        assert_eq!(links.open(&at("red/x"), &key(0)), PrevStateLink::GivenUp);
        (1..KEYS_MAX).for_each(|n| assert_eq!(links.open(&at("red/7"), &key(n)), PrevStateLink::Sound));
        assert_eq!(links.open(&at("red/7"), &key(KEYS_MAX)), PrevStateLink::GivenUp);
        assert_eq!((links.open.len(), links.open[&at("red/7")].keys.len()), (LINKS_MAX, KEYS_MAX));
    }
}
