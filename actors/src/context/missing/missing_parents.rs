//! The missing parents of a context: whom to ask for each, when, and when to give up.
//!
//! A parent is waited for briefly, then fetched from one server after the other; a round over all of them is followed
//! by a pause that doubles. One or two parents are fetched by name; more of them, or parents of fetched PDUs, by
//! `backfill`, because one request may then bring a whole stretch. A parent is given up when it has been missing long
//! enough and every server that may have it has responded or has missed its deadline.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use crate::context::missing::missing_parent::{FetchCandidates, MissingParent};
use crate::context::missing::planned_fetch::PlannedFetch;
use crate::limits::GapLimits;
use crate::model::{Millis, PduRef, ServerName};

/// Maximum number of parents examined per round of requests; the others follow when a response has arrived.
const LOOKED_AT_MAX: usize = 256;

/// Shortest pause before a server is asked again, in milliseconds: a grace period of 0 means that a parent is requested at
/// once, and not that it is requested without pause.
const PAUSE_MIN: Duration = Duration::from_millis(50);

/// The missing PDUs of a context.
pub(crate) struct MissingParents {
    limits: GapLimits,
    wants: HashMap<PduRef, MissingParent>,
    asks: BTreeSet<(Millis, PduRef)>,
    /// Times at which to check whether a PDU is given up.
    checks: BTreeSet<(Millis, PduRef)>,
    /// PDUs with a request in flight.
    flying: HashMap<PduRef, InFlightFetch>,
    /// Requests in flight, each with the number of its PDUs that have no response yet.
    requests: HashMap<u64, usize>,
    /// Number of the newest request.
    request: u64,
    /// Deadlines of the responses: an actor may crash with a request in hand, and its response never arrives.
    response_deadlines: BTreeSet<(Millis, PduRef)>,
    /// Time since which intake is closed: no parent is given up meanwhile, because it may be waiting at our own
    /// admission.
    intake_closed_since: Option<Millis>,
}

/// A request in flight, as far as it concerns one PDU.
struct InFlightFetch {
    of: ServerName,
    /// Deadline of the response.
    until: Millis,
    request: u64,
}

impl MissingParents {
    pub(crate) fn new(limits: GapLimits) -> Self {
        Self {
            limits,
            wants: HashMap::new(),
            asks: BTreeSet::new(),
            checks: BTreeSet::new(),
            flying: HashMap::new(),
            requests: HashMap::new(),
            request: 0,
            response_deadlines: BTreeSet::new(),
            intake_closed_since: None,
        }
    }

    /// Changes the limits, also for PDUs that are missing now. Requests in flight keep their deadlines.
    pub(crate) fn change_limits(&mut self, now: Millis, limits: GapLimits) {
        let before = std::mem::replace(&mut self.limits, limits);
        let mut sooner = vec![];
        for (reference, want) in &self.wants {
            self.checks.remove(&(want.first.after(before.give_up), reference.clone()));
            self.checks.insert((want.first.after(limits.give_up), reference.clone()));
            let ask_at = want.first.after(limits.grace).max(now);
            if want.is_never_asked() && want.ask_at.is_some_and(|at| at > ask_at) {
                sooner.push((reference.clone(), ask_at));
            }
        }
        for (reference, ask_at) in sooner {
            self.ask_at(&reference, Some(ask_at));
        }
    }

    /// Returns the number of fetches in a row that have led to these PDUs.
    pub(crate) fn generation(&self, references: &[PduRef]) -> u32 {
        references
            .iter()
            .filter_map(|reference| self.wants.get(reference))
            .map(|want| want.generation)
            .max()
            .unwrap_or(1)
    }

    pub(crate) fn get_mut(&mut self, reference: &PduRef) -> Option<&mut MissingParent> {
        self.wants.get_mut(reference)
    }

    /// Records that a history fetch has reached this PDU, if it is being fetched already.
    pub(crate) fn note_past(&mut self, reference: &PduRef) {
        if let Some(want) = self.wants.get_mut(reference) {
            want.past = true;
        }
    }

    /// Marks a missing PDU as history, because the PDU that names it is.
    pub(crate) fn note_old(&mut self, reference: &PduRef) {
        if let Some(want) = self.wants.get_mut(reference) {
            want.old = true;
        }
    }

    /// Returns whether a PDU is missing that precedes the first batch of a context new to us.
    pub(crate) fn has_edge(&self) -> bool {
        self.wants.values().any(|want| want.edge)
    }

    /// Returns whether the PDU is fetched only because state depends on it.
    pub(crate) fn is_for_state(&self, reference: &PduRef) -> bool {
        self.wants.get(reference).is_some_and(|want| want.for_state)
    }

    /// Returns whether the PDU is only fetched as the `prev_state` of a state PDU.
    pub(crate) fn is_link(&self, reference: &PduRef) -> bool {
        self.wants.get(reference).is_some_and(|want| want.link)
    }

    pub(crate) fn contains(&self, reference: &PduRef) -> bool {
        self.wants.contains_key(reference)
    }

    pub(crate) fn list(&self) -> Vec<PduRef> {
        let mut list: Vec<PduRef> = self.wants.keys().cloned().collect();
        list.sort_unstable();
        list
    }

    /// Records that intake was opened or closed. Time with closed intake does not count towards giving up.
    pub(crate) fn intake(&mut self, now: Millis, open: bool) {
        match (self.intake_closed_since, open) {
            (None, false) => self.intake_closed_since = Some(now),
            (Some(since), true) => {
                self.intake_closed_since = None;
                for (reference, want) in &mut self.wants {
                    self.checks.remove(&(want.first.after(self.limits.give_up), reference.clone()));
                    want.first = want.first.plus(now.since(since.max(want.first)));
                    self.checks.insert((want.first.after(self.limits.give_up), reference.clone()));
                }
            }
            (None, true) | (Some(_), false) => {}
        }
    }

    /// Returns whether nothing is missing and no request is in flight.
    pub(crate) fn is_empty(&self) -> bool {
        self.wants.is_empty() && self.flying.is_empty()
    }

    /// Adds a parent that a child waits for.
    pub(crate) fn want(
        &mut self,
        now: Millis,
        reference: &PduRef,
        sender: Option<&ServerName>,
        edge: bool,
        generation: u32,
    ) {
        let want = self.note(now, reference, sender, edge, generation);
        (want.link, want.for_state) = (false, false);
    }

    /// Adds a parent that only a PDU held for state waits for.
    pub(crate) fn want_for_state(
        &mut self,
        now: Millis,
        reference: &PduRef,
        sender: Option<&ServerName>,
        generation: u32,
    ) {
        self.note(now, reference, sender, false, generation).link = false;
    }

    /// Adds a PDU that a comparison of histories found missing, and that no PDU need wait for. One that is fetched already is
    /// fetched as before.
    pub(crate) fn want_for_repair(&mut self, now: Millis, reference: &PduRef, via: &ServerName) {
        let is_new = !self.contains(reference);
        let want = self.note(now, reference, Some(via), false, 1);
        if is_new {
            (want.link, want.for_state, want.repair) = (false, false, true);
        }
    }

    /// Adds a `prev_state` that no PDU waits for.
    pub(crate) fn want_link(&mut self, now: Millis, reference: &PduRef, sender: Option<&ServerName>, generation: u32) {
        self.note(now, reference, sender, false, generation);
    }

    fn note(
        &mut self,
        now: Millis,
        reference: &PduRef,
        sender: Option<&ServerName>,
        edge: bool,
        generation: u32,
    ) -> &mut MissingParent {
        let want = self.wants.entry(reference.clone()).or_insert_with(|| {
            let ask_at = now.after(self.limits.grace);
            self.asks.insert((ask_at, reference.clone()));
            self.checks.insert((now.after(self.limits.give_up), reference.clone()));
            MissingParent::new(now, ask_at, edge, generation)
        });
        want.edge |= edge;
        want.generation = want.generation.min(generation);
        if let Some(sender) = sender {
            want.note_sender(sender);
        }
        want
    }

    /// Removes a PDU that is no longer missing. A request for it may still be in flight.
    pub(crate) fn remove(&mut self, reference: &PduRef) -> Option<MissingParent> {
        let want = self.wants.remove(reference)?;
        if let Some(at) = want.ask_at {
            self.asks.remove(&(at, reference.clone()));
        }
        self.checks.remove(&(want.first.after(self.limits.give_up), reference.clone()));
        Some(want)
    }

    /// Removes the request to this server for the PDU from those in flight; returns whether it was in flight.
    fn land(&mut self, reference: &PduRef, from: &ServerName) -> bool {
        if self.flying.get(reference).is_none_or(|flight| flight.of != *from) {
            return false;
        }
        let Some(flight) = self.flying.remove(reference) else { return false };
        self.response_deadlines.remove(&(flight.until, reference.clone()));
        if let Some(left) = self.requests.get_mut(&flight.request) {
            *left -= 1;
            if *left == 0 {
                self.requests.remove(&flight.request);
            }
        }
        true
    }

    /// Records that a server was not asked for a reason of our own: this is no attempt, and it is asked after a pause.
    pub(crate) fn put_off(&mut self, now: Millis, reference: &PduRef, from: &ServerName) {
        if !self.land(reference, from) {
            return;
        }
        if let Some(want) = self.wants.get_mut(reference) {
            want.note_put_off(from);
        }
        self.ask_at(reference, Some(now.after(self.pause())));
    }

    /// Returns the pause before the second round; it doubles with each further one.
    fn pause(&self) -> Duration {
        self.limits.grace.max(PAUSE_MIN)
    }

    /// Returns the time that counts towards giving up; it stands still while intake is closed.
    fn gap_clock(&self, now: Millis) -> Millis {
        self.intake_closed_since.unwrap_or(now)
    }

    /// Records that a server was not asked, because nothing is sent to it now. This is no attempt and no response: the
    /// others are asked first, and it is asked again after a pause. If nothing is sent to it at the end either, it counts
    /// as unreachable.
    pub(crate) fn declined(
        &mut self,
        now: Millis,
        reference: &PduRef,
        from: &ServerName,
        servers: FetchCandidates<'_>,
    ) {
        if !self.land(reference, from) {
            return;
        }
        let clock = self.gap_clock(now);
        let Some(want) = self.wants.get_mut(reference) else { return };
        want.note_declined(from, want.is_over(clock, &self.limits));
        self.plan(now, reference, servers);
    }

    /// Handles a server's response for one PDU, or its failure to respond.
    pub(crate) fn on_response(
        &mut self,
        now: Millis,
        reference: &PduRef,
        from: &ServerName,
        servers: FetchCandidates<'_>,
    ) {
        self.land(reference, from);
        let Some(want) = self.wants.get_mut(reference) else { return };
        want.note_heard(from);
        if !self.flying.contains_key(reference) {
            self.plan(now, reference, servers);
        }
    }

    /// Schedules the next request: to the next server at once, or the next round after a pause.
    fn plan(&mut self, now: Millis, reference: &PduRef, servers: FetchCandidates<'_>) {
        let (clock, pause) = (self.gap_clock(now), self.pause());
        let Some(want) = self.wants.get_mut(reference) else { return };
        if want.is_over(clock, &self.limits) {
            self.checks.insert((now, reference.clone()));
        }
        let mut at = Some(now);
        if want.pick(clock, reference, servers, &self.limits).is_none() {
            let goes_on = want.next_round(reference, servers, &self.limits);
            let pause = pause.saturating_mul(1 << (want.round - 1).min(16));
            at = goes_on.then(|| now.after(pause));
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

    /// Reschedules after a change of the participants: PDUs that wait for their next round are requested at once,
    /// because responses that were refused before may be accepted now.
    pub(crate) fn reschedule_all(&mut self, now: Millis, servers: FetchCandidates<'_>) {
        let clock = self.gap_clock(now);
        let waiting: Vec<PduRef> =
            self.wants.keys().filter(|wanted| !self.flying.contains_key(wanted)).cloned().collect();
        for reference in waiting {
            let Some(want) = self.wants.get(&reference) else { continue };
            // The request is not sent before the grace period ends, because the parent may arrive by itself.
            let is_early = now < want.first.after(self.limits.grace);
            if !is_early && want.pick(clock, &reference, servers, &self.limits).is_some() {
                self.ask_at(&reference, Some(now));
            }
        }
    }

    /// Returns the PDUs that are given up now.
    pub(crate) fn give_up(&mut self, now: Millis, servers: FetchCandidates<'_>) -> Vec<(PduRef, MissingParent)> {
        while let Some((_, reference)) = self.response_deadlines.first().filter(|(until, _)| *until <= now).cloned() {
            self.response_deadlines.pop_first();
            if let Some(silent) = self.flying.get(&reference).map(|flight| flight.of.clone()) {
                self.on_response(now, &reference, &silent, servers);
            }
        }
        self.recheck_due_asks(now, servers);
        let mut given_up = vec![];
        while self.intake_closed_since.is_none()
            && let Some((_, reference)) = self.checks.first().filter(|(at, _)| *at <= now).cloned()
        {
            self.checks.pop_first();
            let Some(want) = self.wants.get(&reference) else { continue };
            // A request in flight is waited for; a check may also be left over from an earlier entry of the same PDU.
            if self.flying.contains_key(&reference) || !want.is_over(now, &self.limits) {
                continue;
            }
            if want.candidates(&reference, servers).iter().all(|server| want.has_heard(server)) {
                given_up.extend(self.remove(&reference).map(|want| (reference, want)));
            } else {
                self.ask_at(&reference, Some(now));
            }
        }
        given_up
    }

    /// Checks again the PDUs whose time is over and whose next request is due: the last server without a response may have
    /// left the context since that request was scheduled, and then nothing else would end the wait.
    fn recheck_due_asks(&mut self, now: Millis, servers: FetchCandidates<'_>) {
        let clock = self.gap_clock(now);
        for reference in self.due_asks(now) {
            let Some(want) = self.wants.get(&reference) else { continue };
            let is_over = want.is_over(clock, &self.limits);
            if is_over && want.pick(clock, &reference, servers, &self.limits).is_none() {
                self.checks.insert((now, reference));
            }
        }
    }

    /// Returns the fetches to start now: due PDUs, grouped by server and by the peer that pays, within the limit on
    /// requests.
    pub(crate) fn ask(&mut self, now: Millis, servers: FetchCandidates<'_>) -> Vec<PlannedFetch> {
        let mut asks: Vec<PlannedFetch> = vec![];
        if self.has_room() {
            for reference in self.due_asks(now) {
                self.join(now, &mut asks, &reference, servers);
            }
        }
        for ask in &mut asks {
            let room = self.room();
            if ask.is_one_by_one() {
                ask.references.truncate(room);
                for reference in &ask.references {
                    self.request += 1;
                    self.mark_in_flight(now, ask.of.clone(), reference);
                }
            } else if room > 0 {
                self.request += 1;
                for reference in &ask.references {
                    self.mark_in_flight(now, ask.of.clone(), reference);
                }
            } else {
                ask.references.clear();
            }
        }
        asks.retain(|ask| !ask.references.is_empty());
        asks
    }

    fn due_asks(&self, now: Millis) -> Vec<PduRef> {
        let due = self.asks.iter().take_while(|(at, _)| *at <= now).take(LOOKED_AT_MAX);
        due.map(|(_, reference)| reference.clone()).collect()
    }

    /// Adds a PDU to a matching fetch or to a new one. A PDU without a server left to ask in this round is not
    /// scheduled any more.
    fn join(&mut self, now: Millis, asks: &mut Vec<PlannedFetch>, reference: &PduRef, servers: FetchCandidates<'_>) {
        let Some(want) = self.wants.get(reference) else { return };
        let picked = match self.flying.contains_key(reference) {
            true => None,
            false => want.pick(self.gap_clock(now), reference, servers, &self.limits),
        };
        let Some(of) = picked else { return self.ask_at(reference, None) };
        let cause = want.payer(&of).clone();
        let (generation, alone) = (want.generation, want.for_state || want.edge);
        let is_like = |ask: &PlannedFetch| (ask.generation, ask.alone) == (generation, alone) && ask.takes(reference);
        match asks.iter_mut().find(|ask| ask.of == of && ask.cause == cause && is_like(ask)) {
            Some(ask) => ask.references.push(reference.clone()),
            None => asks.push(PlannedFetch { of, cause, references: vec![reference.clone()], generation, alone }),
        }
    }

    /// Marks the PDU as requested by the newest request.
    fn mark_in_flight(&mut self, now: Millis, of: ServerName, reference: &PduRef) {
        self.ask_at(reference, None);
        if let Some(want) = self.wants.get_mut(reference) {
            want.note_ask(&of);
        }
        let until = now.after(self.limits.give_up);
        self.flying.insert(reference.clone(), InFlightFetch { of, until, request: self.request });
        self.response_deadlines.insert((until, reference.clone()));
        *self.requests.entry(self.request).or_default() += 1;
    }

    fn room(&self) -> usize {
        (self.limits.asks_max.max(1) as usize).saturating_sub(self.requests.len())
    }

    fn has_room(&self) -> bool {
        self.room() > 0
    }

    /// Returns the time of the next action.
    pub(crate) fn due(&self) -> Option<Millis> {
        let ask = self.asks.first().filter(|_| self.has_room());
        let check = self.checks.first().filter(|_| self.intake_closed_since.is_none());
        [ask, check, self.response_deadlines.first()].into_iter().flatten().map(|(at, _)| *at).min()
    }
}

#[cfg(test)]
mod tests;
