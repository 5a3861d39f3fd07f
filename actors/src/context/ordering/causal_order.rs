//! Causal order: no PDU is delivered before the parents that it waits for; PDUs that become ready together are ordered
//! by depth, origin and id. Only references are kept here; the bytes are on disk.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::model::{HeldPdu, PduRef, PendingParents, ServerName, StateEntry, StateKey};

/// A PDU that was accepted and is not delivered.
#[derive(Debug)]
pub(crate) struct PendingPdu {
    /// All parents, without duplicates.
    pub(crate) prev: Vec<PduRef>,
    /// Parents that it waits for, unknown or held; if there are none, the PDU is ready.
    pub(crate) missing: Vec<PduRef>,
    /// True if ancestors that cannot be fetched are the history edge, and no gap.
    pub(crate) edge: bool,
    /// One more than the depth of the deepest parent delivered so far.
    pub(crate) depth: u64,
    /// Peer that sent it, and the first to be asked for its parents.
    pub(crate) sender: Option<ServerName>,
    /// Key and state entry that it sets; `None` for a PDU that is not state.
    pub(crate) state: Option<(StateKey, StateEntry)>,
    /// PDU that it replaces, if that was not delivered when this one arrived.
    pub(crate) link: Option<PduRef>,
    /// True if it is history and waits only for parents of its own batch.
    pub(crate) history: bool,
    /// True if the PDU was fetched and only state depends on it: its ancestors decide whether it is news or history.
    pub(crate) for_state: bool,
    /// True if a parent of it was delivered as news.
    pub(crate) on_news: bool,
    /// True if the PDU is narrowed: it is no head, and the heads that it names stay heads.
    pub(crate) narrowed: bool,
    /// Depth that its origin states.
    pub(crate) stated: Option<u64>,
    /// Missing parents of a PDU that was fetched for state. Nothing waits for them; a history fetch continues with
    /// them.
    pub(crate) absent_parents: Vec<PduRef>,
}

impl PendingPdu {
    /// Returns the durable part.
    pub(crate) fn hold(&self) -> PendingParents {
        PendingParents { missing: self.missing.clone(), edge: self.edge, depth: self.depth, for_state: self.for_state }
    }
}

/// The undelivered PDUs of a context, and the dependencies between them.
#[derive(Default)]
pub(crate) struct CausalOrder {
    held: HashMap<PduRef, (u64, PendingPdu)>,
    /// Held PDUs by undelivered parent, held or unknown: they wait for it, or it was given up.
    children: HashMap<PduRef, BTreeSet<PduRef>>,
    /// Held PDUs in the order of arrival; above the limit the oldest is released first.
    by_age: BTreeMap<u64, PduRef>,
    arrivals: u64,
    ready: BTreeSet<(u64, PduRef)>,
    /// Arrival numbers of the PDUs whose missing parents have changed in this step.
    changed: BTreeSet<u64>,
}

impl CausalOrder {
    /// Returns the held PDUs that were loaded from the store, oldest first.
    pub(crate) fn load(held: Vec<HeldPdu>) -> Self {
        let mut order = Self::default();
        for HeldPdu { reference, prev, hold, sender, state, narrowed, stated, on_news, .. } in held {
            let PendingParents { missing, edge, depth, for_state } = hold;
            let waiting = PendingPdu {
                prev,
                missing,
                edge,
                depth,
                sender,
                state,
                // A prev_state that was missing on arrival has a row of its own; if it has arrived since, nothing has to
                // be fetched.
                link: None,
                history: false,
                for_state,
                on_news,
                narrowed,
                stated,
                absent_parents: vec![],
            };
            order.insert(reference, waiting);
        }
        order
    }

    pub(crate) fn len(&self) -> usize {
        self.held.len()
    }

    pub(crate) fn get(&self, reference: &PduRef) -> Option<&PendingPdu> {
        self.held.get(reference).map(|(_, waiting)| waiting)
    }

    pub(crate) fn holds(&self, reference: &PduRef) -> bool {
        self.held.contains_key(reference)
    }

    /// Returns all held PDUs, oldest first.
    pub(crate) fn list(&self) -> Vec<PduRef> {
        self.by_age.values().cloned().collect()
    }

    /// Returns whether a held PDU names this one as a parent.
    pub(crate) fn is_named(&self, reference: &PduRef) -> bool {
        self.children.contains_key(reference)
    }

    /// Returns whether a held PDU names this one as a parent and does not wait for it.
    pub(crate) fn is_left_out(&self, reference: &PduRef) -> bool {
        let waits = |child: &PduRef| self.get(child).is_some_and(|waiting| waiting.missing.contains(reference));
        self.children.get(reference).into_iter().flatten().any(|child| !waits(child))
    }

    /// Returns whether a held PDU at the history edge waits for this one.
    pub(crate) fn is_awaited_at_edge(&self, reference: &PduRef) -> bool {
        let waits = |child: &PduRef| self.get(child).is_some_and(|held| held.edge && held.missing.contains(reference));
        self.children.get(reference).into_iter().flatten().any(waits)
    }

    /// Adds a held PDU. It is not delivered before [`settle`](Self::settle) is called for it. Children that had stopped
    /// waiting for it wait again, because it has arrived.
    pub(crate) fn insert(&mut self, reference: PduRef, waiting: PendingPdu) {
        for child in self.children.get(&reference).into_iter().flatten() {
            let Some((age, waiting)) = self.held.get_mut(child) else { continue };
            if !waiting.missing.contains(&reference) {
                waiting.missing.push(reference.clone());
                self.changed.insert(*age);
            }
        }
        for parent in &waiting.missing {
            self.children.entry(parent.clone()).or_default().insert(reference.clone());
        }
        self.arrivals += 1;
        self.by_age.insert(self.arrivals, reference.clone());
        self.held.insert(reference, (self.arrivals, waiting));
    }

    /// Registers that a held PDU names a parent that was given up before the last restart.
    pub(crate) fn leaves_without(&mut self, reference: &PduRef, parent: &PduRef) {
        self.children.entry(parent.clone()).or_default().insert(reference.clone());
    }

    /// Turns a PDU held for state into history. Returns the PDUs that may be held together with it: the parents it waits
    /// for, the PDU it replaces, and its children. `None`: it is not held for state.
    pub(crate) fn make_history(&mut self, reference: &PduRef) -> Option<Vec<PduRef>> {
        let (_, waiting) = self.held.get_mut(reference).filter(|(_, waiting)| waiting.for_state)?;
        (waiting.for_state, waiting.history) = (false, true);
        let children = self.children.get(reference).into_iter().flatten();
        Some(waiting.missing.iter().chain(&waiting.link).chain(children).cloned().collect())
    }

    /// Turns a PDU held for state into news. Returns the parents it waits for and its sender.
    pub(crate) fn make_news(&mut self, reference: &PduRef, edge: bool) -> Option<(Vec<PduRef>, Option<ServerName>)> {
        let (age, waiting) = self.held.get_mut(reference).filter(|(_, waiting)| waiting.for_state)?;
        (waiting.for_state, waiting.edge) = (false, edge);
        self.changed.insert(*age);
        Some((waiting.missing.clone(), waiting.sender.clone()))
    }

    /// Records that a history read continues at this parent of history.
    pub(crate) fn note_behind(&mut self, reference: &PduRef, parent: &PduRef) {
        if let Some((_, waiting)) = self.held.get_mut(reference) {
            waiting.absent_parents.push(parent.clone());
        }
    }

    /// Returns the PDUs held for state that wait for this one.
    pub(crate) fn held_for_state(&self, parent: &PduRef) -> Vec<PduRef> {
        let children = self.children.get(parent).into_iter().flatten();
        let waits = |waiting: &PendingPdu| waiting.for_state && waiting.missing.contains(parent);
        children.filter(|child| self.get(child).is_some_and(waits)).cloned().collect()
    }

    /// Returns whether a held PDU waits for this one.
    pub(crate) fn is_awaited(&self, parent: &PduRef) -> bool {
        let waits = |child: &PduRef| self.get(child).is_some_and(|waiting| waiting.missing.contains(parent));
        self.children.get(parent).into_iter().flatten().any(waits)
    }

    /// Marks the PDU as ready if it waits for nothing.
    pub(crate) fn settle(&mut self, reference: &PduRef) {
        if let Some((_, waiting)) = self.held.get(reference)
            && waiting.missing.is_empty()
        {
            self.ready.insert((waiting.depth, reference.clone()));
        }
    }

    /// Removes one parent from those that a child waits for.
    pub(crate) fn drop_dependency(&mut self, child: &PduRef, parent: &PduRef) {
        self.satisfy_parent(child, parent, 0);
    }

    /// Gives up a parent: its children wait for it only if it arrives later.
    pub(crate) fn give_up(&mut self, parent: &PduRef) {
        let children = self.children.get(parent).cloned().unwrap_or_default();
        children.iter().for_each(|child| self.satisfy_parent(child, parent, 0));
    }

    /// Records the delivery of a parent, as news or as history.
    pub(crate) fn delivered(&mut self, parent: &PduRef, depth: u64, history: bool) {
        let children = self.children.remove(parent).unwrap_or_default();
        for child in children {
            if let Some((_, waiting)) = self.held.get_mut(&child) {
                waiting.on_news |= !history;
            }
            self.satisfy_parent(&child, parent, depth + 1);
        }
    }

    fn satisfy_parent(&mut self, child: &PduRef, parent: &PduRef, depth: u64) {
        let Some((age, waiting)) = self.held.get_mut(child) else { return };
        if let Some(place) = waiting.missing.iter().position(|missing| missing == parent) {
            waiting.missing.remove(place);
            waiting.depth = waiting.depth.max(depth);
            self.changed.insert(*age);
            self.settle(child);
        }
    }

    /// Removes and returns the next PDU to deliver.
    pub(crate) fn pop(&mut self) -> Option<(PduRef, PendingPdu)> {
        let (_, reference) = self.ready.pop_first()?;
        let (age, waiting) = self.held.remove(&reference)?;
        self.by_age.remove(&age);
        self.changed.remove(&age);
        for parent in &waiting.prev {
            if let Some(children) = self.children.get_mut(parent) {
                children.remove(&reference);
                if children.is_empty() {
                    self.children.remove(parent);
                }
            }
        }
        Some((reference, waiting))
    }

    /// Returns the PDUs whose missing parents have changed in this step, oldest first.
    pub(crate) fn take_changed(&mut self) -> Vec<PduRef> {
        let changed = std::mem::take(&mut self.changed);
        changed.iter().filter_map(|age| self.by_age.get(age).cloned()).collect()
    }

    /// Returns the unknown ancestors that the oldest PDU waits for: if they were given up, it would be delivered.
    pub(crate) fn missing_ancestors_of_oldest(&self) -> Vec<PduRef> {
        let Some(oldest) = self.by_age.values().next() else { return vec![] };
        let (mut roots, mut seen, mut ahead) = (vec![], HashSet::from([oldest]), vec![oldest]);
        while let Some(reference) = ahead.pop() {
            let Some(waiting) = self.get(reference) else {
                roots.push(reference.clone());
                continue;
            };
            ahead.extend(waiting.missing.iter().filter(|missing| seen.insert(missing)));
        }
        roots
    }

    /// Returns whether a PDU with these parents would be its own ancestor through held PDUs. Each held PDU is visited
    /// once.
    pub(crate) fn closes_cycle(&self, reference: &PduRef, prev: &[PduRef]) -> bool {
        let (mut seen, mut ahead) = (HashSet::new(), prev.iter().collect::<Vec<_>>());
        while let Some(ancestor) = ahead.pop() {
            if ancestor == reference {
                return true;
            }
            if let Some(waiting) = self.get(ancestor) {
                ahead.extend(waiting.prev.iter().filter(|next| seen.insert(*next)));
            }
        }
        false
    }
}
