//! What is ready goes to the messenger, and what waited too long goes with its gaps named.

use std::collections::HashSet;
use std::sync::Arc;

use crate::change::Change;
use crate::context::heads;
use crate::context::machine::{Machine, circle};
use crate::context::order::Waiting;
use crate::context::step::Step;
use crate::model::{Delivery, FeedItem, Head, PduRef, Shown};

/// What the messenger is told before children that are delivered without a parent.
#[derive(Default)]
struct Announced {
    missing: Vec<PduRef>,
    children: Vec<PduRef>,
    named: HashSet<PduRef>,
}

impl Machine {
    /// Deliver what is ready, and what becomes ready by that: by depth, origin and id.
    pub(super) fn deliver(&mut self, step: &mut Step) {
        let begin = step.changes.len();
        let mut announced = Announced::default();
        while let Some((reference, waiting)) = self.order.pop() {
            let gap = self.without(&reference, &waiting, &mut announced);
            self.place(step, &reference, waiting, gap);
        }
        let Announced { missing, children, .. } = announced;
        if !missing.is_empty() {
            let context = self.record.context.clone();
            step.changes.insert(begin, Change::Fed(FeedItem::Gap { context, missing, children }));
        }
    }

    /// The parents it is delivered without; those that nothing was delivered without before are announced. What lies beyond
    /// the edge is no gap.
    fn without(&mut self, child: &PduRef, waiting: &Waiting, announced: &mut Announced) -> Vec<PduRef> {
        let mut gap = vec![];
        for parent in &waiting.prev {
            let Some(edge) = self.gaps.get(parent).map(|gap| gap.edge) else { continue };
            let first = self.gaps.delivered_without(parent, child);
            if edge {
                continue;
            }
            gap.push(parent.clone());
            if first {
                announced.missing.push(parent.clone());
                announced.named.insert(parent.clone());
            }
        }
        if gap.iter().any(|parent| announced.named.contains(parent)) {
            announced.children.push(child.clone());
        }
        gap
    }

    fn place(&mut self, step: &mut Step, reference: &PduRef, waiting: Waiting, gap: Vec<PduRef>) {
        let Waiting { prev, depth, state, .. } = waiting;
        // Given up, but nothing delivered without it yet: then it comes in time.
        let given_up = self.gaps.close(reference);
        let late = given_up.as_ref().is_some_and(|gap| !gap.children.is_empty());
        let shown = Some(Shown { gap, late, history: false });
        let position = self.next_position(step, depth);
        step.delivered(reference, &self.record, Delivery { position, depth, shown });
        // A late one has been named by a delivered child already.
        let head = (!late).then(|| Head { reference: reference.clone(), depth });
        heads::advance(&mut self.record.heads, &prev, head);
        self.recent.insert(reference.clone(), depth);
        if let Some((kind, key)) = state {
            self.hold_state(step, kind, key, reference);
        }
        if let Some(gap) = given_up {
            let (context, missing) = (self.record.context.clone(), reference.clone());
            step.changes.push(Change::GapClosed { context: context.clone(), missing: missing.clone() });
            if late && !gap.edge {
                let (missing, children) = (vec![missing], gap.children);
                step.changes.push(Change::Fed(FeedItem::GapFilled { context, missing, children }));
            }
        }
        self.order.delivered(reference, depth);
    }

    pub(super) fn next_position(&mut self, step: &mut Step, depth: u64) -> u64 {
        let position = self.record.next;
        self.record.next += 1;
        self.record.depth = self.record.depth.max(depth);
        step.moved = true;
        position
    }

    /// The last delivered holds the key: a rule that needs no history, until forks of state are resolved by their weight.
    pub(super) fn hold_state(&mut self, step: &mut Step, kind: Arc<str>, key: String, current: &PduRef) {
        self.holders.insert((kind.clone(), key.clone()), current.clone());
        let (context, current) = (self.record.context.clone(), current.clone());
        step.changes.push(Change::StateMoved { context, kind, key, current });
    }

    /// Find out what a PDU that was taken waits for: a held parent is awaited, one given up is not, another is looked for.
    pub(super) fn link(&mut self, step: &Step, reference: &PduRef, generation: u32) {
        let Some(waiting) = self.order.get(reference) else { return };
        let (missing, edge, sender) = (waiting.missing.clone(), waiting.edge, waiting.sender.clone());
        for parent in missing {
            if self.order.holds(&parent) {
                continue;
            }
            let too_far = generation > self.limits.gap.depth_max && !self.wanted.contains(&parent);
            if too_far && self.gaps.get(&parent).is_none() {
                self.gaps.give_up(parent.clone(), edge);
            }
            if self.gaps.get(&parent).is_some() {
                self.order.give_up(&parent);
            } else {
                self.wanted.want(step.now, &parent, sender.as_ref(), edge, generation);
            }
        }
        self.order.settle(reference);
    }

    /// Parents whose time is over.
    pub(super) fn give_up_due(&mut self, step: &mut Step) {
        let given_up = self.wanted.give_up(step.now, circle(&self.us, &self.record, &self.limits));
        if given_up.is_empty() {
            return;
        }
        for (missing, want) in given_up {
            self.order.give_up(&missing);
            self.gaps.give_up(missing, want.edge);
        }
        self.deliver(step);
    }

    /// Too many wait: the oldest leaves as if what it waits for had been given up. Refusing what comes would be no way out,
    /// the parent may stand behind the children.
    pub(super) fn release_over_limit(&mut self, step: &mut Step) {
        while self.order.len() > self.limits.held_max as usize {
            let roots = self.order.roots_of_oldest();
            debug_assert!(!roots.is_empty(), "what is held waits, in the end, for something unknown");
            if roots.is_empty() {
                break;
            }
            for missing in roots {
                let edge = self.wanted.remove(&missing).is_some_and(|want| want.edge);
                self.order.give_up(&missing);
                self.gaps.give_up(missing, edge);
            }
            self.deliver(step);
        }
    }
}
