//! Parents that are missing: whom to ask for each, when, and when to give up.
//!
//! A parent is waited for briefly, then asked for, one server after the other; a round over all of them is followed by a
//! pause that doubles. It is given up when it has been missing long enough and every server that may have it has been heard,
//! be it with "none" or by its silence.

use std::collections::{BTreeSet, HashMap};

use crate::limits::GapLimits;
use crate::model::{Millis, PduRef, ServerName};

/// Servers asked for one parent: a conversation may have a thousand, and a parent that sixteen do not have is not there.
const CANDIDATES_MAX: usize = 16;

/// Who may have what is missing.
#[derive(Clone, Copy)]
pub(super) struct Circle<'a> {
    /// Never asked.
    pub(super) us: &'a ServerName,
    /// The servers of the conversation.
    pub(super) participants: &'a [ServerName],
    /// Others are admitted, so they may be asked too.
    pub(super) open: bool,
}

/// A parent that is neither delivered nor held.
pub(super) struct Want {
    first: Millis,
    /// It lies before the first batch of a conversation new to us.
    pub(super) edge: bool,
    /// How many steps back from what came by itself.
    pub(super) generation: u32,
    /// It was brought and put into quarantine: once is enough to tell.
    pub(super) parked: bool,
    /// Who handed us its children.
    senders: Vec<ServerName>,
    tries: Vec<Tries>,
    round: u32,
    ask_at: Option<Millis>,
}

struct Tries {
    server: ServerName,
    asked: u32,
    heard: bool,
}

impl Want {
    fn asked(&self, server: &ServerName) -> u32 {
        self.tries.iter().find(|tries| tries.server == *server).map_or(0, |tries| tries.asked)
    }

    fn has_heard(&self, server: &ServerName) -> bool {
        self.tries.iter().any(|tries| tries.server == *server && tries.heard)
    }

    fn note_ask(&mut self, server: &ServerName) {
        match self.tries.iter_mut().find(|tries| tries.server == *server) {
            Some(tries) => tries.asked += 1,
            None => self.tries.push(Tries { server: server.clone(), asked: 1, heard: false }),
        }
    }

    /// Sender of the child, origin of the parent, then the others, each once. An origin that takes no part is not asked: what
    /// it gave would not be taken.
    fn candidates(&self, reference: &PduRef, circle: Circle<'_>) -> Vec<ServerName> {
        let origin = Some(&reference.origin).filter(|origin| circle.open || circle.participants.contains(origin));
        let mut candidates: Vec<ServerName> = vec![];
        for server in self.senders.iter().chain(origin).chain(circle.participants) {
            if candidates.len() == CANDIDATES_MAX {
                break;
            }
            if server != circle.us && !candidates.contains(server) {
                candidates.push(server.clone());
            }
        }
        candidates
    }
}

/// All that is missing in a conversation.
pub(super) struct Wanted {
    limits: GapLimits,
    wants: HashMap<PduRef, Want>,
    asks: BTreeSet<(Millis, PduRef)>,
    /// When to see whether one is to be given up.
    checks: BTreeSet<(Millis, PduRef)>,
    /// Requests under way: to whom, and until when an answer is waited for.
    flying: HashMap<PduRef, (ServerName, Millis)>,
    /// An actor may die with a request in hand: then its answer never comes.
    silences: BTreeSet<(Millis, PduRef)>,
}

impl Wanted {
    pub(super) fn new(limits: GapLimits) -> Self {
        let (wants, flying) = (HashMap::new(), HashMap::new());
        Self { limits, wants, asks: BTreeSet::new(), checks: BTreeSet::new(), flying, silences: BTreeSet::new() }
    }

    pub(super) fn get_mut(&mut self, reference: &PduRef) -> Option<&mut Want> {
        self.wants.get_mut(reference)
    }

    pub(super) fn contains(&self, reference: &PduRef) -> bool {
        self.wants.contains_key(reference)
    }

    pub(super) fn list(&self) -> Vec<PduRef> {
        let mut list: Vec<PduRef> = self.wants.keys().cloned().collect();
        list.sort_unstable();
        list
    }

    pub(super) fn asks_nobody(&self) -> bool {
        self.flying.is_empty()
    }

    /// A child waits for it.
    pub(super) fn want(
        &mut self,
        now: Millis,
        reference: &PduRef,
        sender: Option<&ServerName>,
        edge: bool,
        generation: u32,
    ) {
        let want = self.wants.entry(reference.clone()).or_insert_with(|| {
            let ask_at = now.after(self.limits.grace);
            self.asks.insert((ask_at, reference.clone()));
            self.checks.insert((now.after(self.limits.give_up), reference.clone()));
            let (senders, tries) = (vec![], vec![]);
            Want { first: now, edge, generation, parked: false, senders, tries, round: 0, ask_at: Some(ask_at) }
        });
        want.edge |= edge;
        want.generation = want.generation.min(generation);
        if let Some(sender) = sender
            && want.senders.len() < CANDIDATES_MAX
            && !want.senders.contains(sender)
        {
            want.senders.push(sender.clone());
        }
    }

    /// It is missing no longer. A request for it may still be under way.
    pub(super) fn remove(&mut self, reference: &PduRef) -> Option<Want> {
        let want = self.wants.remove(reference)?;
        if let Some(at) = want.ask_at {
            self.asks.remove(&(at, reference.clone()));
        }
        self.checks.remove(&(want.first.after(self.limits.give_up), reference.clone()));
        Some(want)
    }

    /// A server has answered, or could not be asked.
    pub(super) fn heard(&mut self, now: Millis, reference: &PduRef, from: &ServerName, circle: Circle<'_>) {
        if self.flying.get(reference).is_some_and(|(server, _)| server == from)
            && let Some((_, until)) = self.flying.remove(reference)
        {
            self.silences.remove(&(until, reference.clone()));
        }
        let Some(want) = self.wants.get_mut(reference) else { return };
        if let Some(tries) = want.tries.iter_mut().find(|tries| tries.server == *from) {
            tries.heard = true;
        }
        if !self.flying.contains_key(reference) {
            self.plan(now, reference, circle);
        }
    }

    /// When to ask next: the next server at once, the next round after a pause.
    fn plan(&mut self, now: Millis, reference: &PduRef, circle: Circle<'_>) {
        let Some(want) = self.wants.get_mut(reference) else { return };
        if now >= want.first.after(self.limits.give_up) {
            self.checks.insert((now, reference.clone()));
        }
        let mut at = Some(now);
        if pick(want, reference, circle, &self.limits).is_none() {
            want.round += 1;
            let pause = self.limits.grace.saturating_mul(1 << (want.round - 1).min(16));
            at = (want.round < self.limits.tries_max).then(|| now.after(pause));
        }
        self.ask_at(reference, at);
    }

    fn ask_at(&mut self, reference: &PduRef, at: Option<Millis>) {
        let Some(want) = self.wants.get_mut(reference) else { return };
        if let Some(old) = std::mem::replace(&mut want.ask_at, at) {
            self.asks.remove(&(old, reference.clone()));
        }
        if let Some(at) = at {
            self.asks.insert((at, reference.clone()));
        }
    }

    /// Others take part now: what waits for its next turn is asked for at once, and what was given may be taken.
    pub(super) fn ask_anew(&mut self, now: Millis, circle: Circle<'_>) {
        let waiting: Vec<PduRef> =
            self.wants.keys().filter(|wanted| !self.flying.contains_key(wanted)).cloned().collect();
        for reference in waiting {
            let Some(want) = self.wants.get(&reference) else { continue };
            // Not earlier than the first time: the parent may be on its way by itself.
            let is_early = now < want.first.after(self.limits.grace);
            if !is_early && pick(want, &reference, circle, &self.limits).is_some() {
                self.ask_at(&reference, Some(now));
            }
        }
    }

    /// Those that are given up now.
    pub(super) fn give_up(&mut self, now: Millis, circle: Circle<'_>) -> Vec<(PduRef, Want)> {
        while let Some((_, reference)) = self.silences.first().filter(|(until, _)| *until <= now).cloned() {
            self.silences.pop_first();
            if let Some((server, _)) = self.flying.get(&reference).cloned() {
                self.heard(now, &reference, &server, circle);
            }
        }
        let mut given_up = vec![];
        while let Some((_, reference)) = self.checks.first().filter(|(at, _)| *at <= now).cloned() {
            self.checks.pop_first();
            let Some(want) = self.wants.get(&reference) else { continue };
            // A request under way is waited for; a check may also be left over from an earlier life of the want.
            if self.flying.contains_key(&reference) || now < want.first.after(self.limits.give_up) {
                continue;
            }
            if want.candidates(&reference, circle).iter().all(|server| want.has_heard(server)) {
                given_up.extend(self.remove(&reference).map(|want| (reference, want)));
            } else {
                self.ask_at(&reference, Some(now));
            }
        }
        given_up
    }

    /// What to ask whom now.
    pub(super) fn ask(&mut self, now: Millis, circle: Circle<'_>) -> Vec<(ServerName, PduRef)> {
        let mut asked = vec![];
        while self.has_room()
            && let Some((_, reference)) = self.asks.first().filter(|(at, _)| *at <= now).cloned()
        {
            self.asks.pop_first();
            let Some(want) = self.wants.get_mut(&reference) else { continue };
            want.ask_at = None;
            if self.flying.contains_key(&reference) {
                continue;
            }
            let Some(server) = pick(want, &reference, circle, &self.limits) else { continue };
            want.note_ask(&server);
            let until = now.after(self.limits.give_up);
            self.flying.insert(reference.clone(), (server.clone(), until));
            self.silences.insert((until, reference.clone()));
            asked.push((server, reference));
        }
        asked
    }

    fn has_room(&self) -> bool {
        self.flying.len() < self.limits.asks_max.max(1) as usize
    }

    /// When something is to be done next.
    pub(super) fn due(&self) -> Option<Millis> {
        let ask = self.asks.first().filter(|_| self.has_room());
        [ask, self.checks.first(), self.silences.first()].into_iter().flatten().map(|(at, _)| *at).min()
    }
}

/// Whom to ask in this round: the first of those asked least.
fn pick(want: &Want, reference: &PduRef, circle: Circle<'_>, limits: &GapLimits) -> Option<ServerName> {
    let may = |server: &ServerName| want.asked(server) <= want.round && want.asked(server) < limits.tries_max.max(1);
    want.candidates(reference, circle).into_iter().filter(|server| may(server)).min_by_key(|server| want.asked(server))
}

#[cfg(test)]
mod tests;
