//! What is ready goes to the messenger, and what waited too long goes with its gaps named.

use std::collections::HashSet;

use crate::change::Change;
use crate::context::for_state::Walked;
use crate::context::keys::Counted;
use crate::context::machine::{Machine, circle};
use crate::context::order::Waiting;
use crate::context::step::Step;
use crate::model::{Bond, Delivery, FeedItem, Head, PduRef, ServerName, Shown, StateKey};

/// Steps back from the first batch of a conversation new to us that are asked for.
const EDGE_STEPS: u32 = 3;

/// What the messenger is told before children that are delivered without a parent.
#[derive(Default)]
struct Announced {
    missing: Vec<PduRef>,
    children: Vec<PduRef>,
    named: HashSet<PduRef>,
}

impl Machine {
    /// Deliver what is ready, and what becomes ready by that: by depth, origin and id.
    pub(super) fn deliver(&mut self, step: &mut Step<'_>) {
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
            if waiting.behind.contains(parent) && self.is_bookmark(parent) {
                continue;
            }
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

    fn place(&mut self, step: &mut Step<'_>, reference: &PduRef, waiting: Waiting, gap: Vec<PduRef>) {
        let Waiting { prev, depth, state, narrowed, stated, behind, for_state, on_news, history, .. } = waiting;
        // Of its parents, where it was fetched for state, none is news; without any it stands where the conversation began.
        let is_old = for_state && !on_news && (!prev.is_empty() || self.has_edge());
        let history = history || is_old;
        let link = self.links.close(reference);
        // Given up, but nothing delivered without it yet: then it comes in time.
        let given_up = self.gaps.close(reference);
        let late = !history && given_up.as_ref().is_some_and(|gap| !gap.children.is_empty());
        let own = state.as_ref().map(|(key, _)| key.clone());
        let counted = state.map(|(key, piece)| self.count(step, key, piece, link.as_ref()));
        let current = counted.as_ref().is_some_and(Counted::is_current);
        let shown = Some(Shown { gap, late, history, current, again: false });
        let position = if history { self.past_position(step) } else { self.next_position(step, depth) };
        step.delivered(reference, &self.record, Delivery { position, depth, shown });
        // What lies far back is no edge, and hides none; nor does one that others never see.
        if !history && !narrowed {
            // A late one has been named by a delivered child already.
            let head = (!late).then(|| Head::of(reference.clone(), depth, stated));
            self.advance_heads(&prev, head);
        }
        self.recent.insert(reference.clone(), (depth, history));
        if let Some(counted) = counted {
            self.counted(step, counted);
        }
        if let Some(link) = link {
            self.link_came(step, link, own.as_ref());
        }
        if let Some(gap) = given_up {
            let (context, missing) = (self.record.context.clone(), reference.clone());
            step.changes.push(Change::GapClosed { context: context.clone(), missing: missing.clone() });
            if late && !gap.edge {
                let (missing, children) = (vec![missing], gap.children);
                step.changes.push(Change::Fed(FeedItem::GapFilled { context, missing, children }));
            }
        }
        self.order.delivered(reference, depth, history);
        self.bookmark(behind);
    }

    pub(super) fn next_position(&mut self, step: &mut Step<'_>, depth: u64) -> i64 {
        let position = i64::try_from(self.record.next).unwrap_or(i64::MAX);
        self.record.next += 1;
        self.record.depth = self.record.depth.max(depth);
        step.moved = true;
        position
    }

    /// Find out what a PDU that was taken waits for: a held parent is awaited, one given up is not, another is looked for.
    pub(super) fn link(&mut self, step: &mut Step<'_>, reference: &PduRef, walked: Walked) {
        let Some(waiting) = self.order.get(reference) else { return };
        if waiting.history {
            return self.link_past(step, reference, &[], walked.link);
        }
        if waiting.for_state {
            return self.link_for_state(step, reference, walked);
        }
        let generation = walked.parents;
        let (missing, edge, sender) = (waiting.missing.clone(), waiting.edge, waiting.sender.clone());
        let link = waiting.link.clone().zip(waiting.state.as_ref().map(|(key, _)| key.clone()));
        for parent in missing {
            if self.order.holds(&parent) {
                self.becomes_news(step, &parent, edge);
                continue;
            }
            if self.is_bookmark(&parent) {
                self.gaps.close(&parent);
                let (context, missing) = (self.record.context.clone(), parent.clone());
                step.changes.push(Change::GapClosed { context, missing });
            }
            // What lies before the place where we came in is asked for only as far as what comes may answer it: the rest is
            // history, which is fetched when the messenger wants it.
            let depth_max = if edge { EDGE_STEPS } else { self.limits.gap.depth_max };
            let too_far = generation > depth_max && !self.wanted.contains(&parent);
            if too_far && self.gaps.get(&parent).is_none() {
                self.gaps.give_up(parent.clone(), edge);
            }
            if self.gaps.get(&parent).is_some() {
                self.order.give_up(&parent);
            } else {
                self.wanted.want(step.now, &parent, sender.as_ref(), edge, generation);
            }
        }
        if let Some((replaced, key)) = link {
            self.seek(step, &replaced, &key, sender.as_ref(), walked.link);
        }
        self.order.settle(reference);
    }

    /// Look for the state PDU that one replaces, which holds up nothing. One that is held comes by itself.
    pub(super) fn seek(
        &mut self,
        step: &Step<'_>,
        replaced: &PduRef,
        key: &StateKey,
        sender: Option<&ServerName>,
        generation: u32,
    ) {
        if self.order.holds(replaced) || self.links.open(replaced, key) != Bond::Sound {
            return;
        }
        let too_far = generation > self.limits.state.chain_max && !self.wanted.contains(replaced);
        if too_far || self.gaps.get(replaced).is_some() && !self.is_bookmark(replaced) {
            // What rests on it is not delivered yet, or was not weighed with it: nothing is to be weighed anew.
            self.links.give_up(replaced);
        } else {
            self.wanted.want_link(step.now, replaced, sender, generation);
        }
    }

    /// Parents whose time is over.
    pub(super) fn give_up_due(&mut self, step: &mut Step<'_>) {
        let given_up = self.wanted.give_up(step.now, circle(&self.us, &self.record, &self.limits));
        if given_up.is_empty() {
            return;
        }
        for (missing, want) in given_up {
            self.link_given_up(step, &missing);
            self.lost_for_state(step, &missing);
            if !want.for_state {
                self.order.give_up(&missing);
                self.gaps.give_up(missing, want.edge);
            } else if want.past {
                self.end_past(missing);
            }
        }
        self.deliver(step);
    }

    /// Too many wait: the oldest leaves as if what it waits for had been given up. Refusing what comes would be no way out,
    /// the parent may stand behind the children.
    pub(super) fn release_over_limit(&mut self, step: &mut Step<'_>) {
        while self.order.len() > self.limits.held_max as usize {
            let roots = self.order.roots_of_oldest();
            debug_assert!(!roots.is_empty(), "what is held waits, in the end, for something unknown");
            if roots.is_empty() {
                break;
            }
            for missing in roots {
                let want = self.wanted.remove(&missing);
                let (edge, past) = want.map_or((false, false), |want| (want.edge, want.past));
                self.link_given_up(step, &missing);
                self.lost_for_state(step, &missing);
                if self.order.is_awaited(&missing) {
                    self.order.give_up(&missing);
                    self.gaps.give_up(missing, edge);
                } else if past {
                    self.end_past(missing);
                }
            }
            self.deliver(step);
        }
    }
}
