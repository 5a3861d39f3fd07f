//! Admission of inbound PDUs: each is validated on its own, in the order of the request. A bad one never harms its
//! neighbours.

use std::collections::HashMap;

use crate::change::Change;
use crate::context::ordering::causal_order::PendingPdu;
use crate::context::ordering::context_graph::ContextGraph;
use crate::context::provenance::{Provenance, QuarantinedPdu};
use crate::context::state::state_walk::StateWalk;
use crate::context::step::{ContextStep, NewPdu, PduOutcome};
use crate::model::{
    MembershipSource, ParkedCode, ParkedItem, ParkedWhat, Pdu, PduProof, PduRef, PduState, PduStatus, PduVerdict,
    PrevStateLink, ServerName, StateEntry, StateKey, StateSlot, StoredPdu, VERIFIED_AS_OWN, VERIFIED_AS_RELAYED,
    VERIFIED_BY_PDU_SIGNATURE,
};

/// The status of a parent.
enum ParentLookup {
    Delivered { depth: u64, history: bool },
    Undelivered,
    Foreign,
}

/// The admission of the PDUs of one batch to the graph of their context.
pub(crate) struct PduAdmission<'a> {
    graph: &'a mut ContextGraph,
    way: Provenance<'a>,
    /// Status of the PDUs and their parents in the store.
    known: &'a HashMap<PduRef, PduStatus>,
}

impl<'a> PduAdmission<'a> {
    pub(crate) const fn new(
        graph: &'a mut ContextGraph,
        way: Provenance<'a>,
        known: &'a HashMap<PduRef, PduStatus>,
    ) -> Self {
        Self { graph, way, known }
    }

    /// Returns the admission of a PDU from quarantine. `verified`: the method by which its sender was authenticated.
    pub(crate) const fn of_quarantined(
        graph: &'a mut ContextGraph,
        from: &'a ServerName,
        verified: &'static str,
        known: &'a HashMap<PduRef, PduStatus>,
    ) -> Self {
        Self::new(graph, Provenance::arrived(from, verified), known)
    }

    /// Accepts the valid PDUs, and delivers those that are ready.
    pub(crate) async fn admit(&mut self, step: &mut ContextStep<'_>, pdus: Vec<Pdu>) -> Vec<PduOutcome> {
        // The whole first batch creates the context, not only its first PDU.
        let is_first = self.graph.is_new() || self.graph.is_just_joined();
        // Whether the PDU before was delivered at once, and this one may be.
        let are_for_us = pdus.iter().all(|pdu| self.is_for_us(pdu));
        let mut goes_on = !is_first && self.way.is_news() && are_for_us && is_chain(&pdus);
        // What is delivered meanwhile must not push out parents of those behind it, whose status was looked up as known.
        self.graph.timeline.keep_more(pdus.len());
        let mut told: HashMap<PduRef, PduOutcome> = HashMap::new();
        let mut taken = vec![];
        let mut fates = Vec::with_capacity(pdus.len());
        for pdu in pdus {
            let reference = pdu.reference.clone();
            goes_on = goes_on && self.is_ready_alone(&pdu);
            if goes_on {
                fates.push(match self.validate(step, &pdu).await {
                    Ok(()) => {
                        let (sender, verified) = self.sender_and_proof(&pdu);
                        let depth = self.depth_below(&pdu);
                        self.graph.deliver_at_once(step, NewPdu { pdu, sender, verified }, depth);
                        PduOutcome::Taken(reference)
                    }
                    Err(verdict) => {
                        goes_on = false;
                        let told_first = told.entry(reference).or_insert(PduOutcome::Told(verdict));
                        told_first.clone()
                    }
                });
                continue;
            }
            let fate = match told.get(&reference) {
                Some(PduOutcome::Taken(_)) => PduOutcome::Told(PduVerdict::Duplicate),
                Some(told) => told.clone(),
                None => match self.validate(step, &pdu).await {
                    Ok(()) if !self.is_for_us(&pdu) => {
                        self.know_by_name(step, pdu).await;
                        PduOutcome::Taken(reference.clone())
                    }
                    Ok(()) => {
                        taken.push((reference.clone(), self.hold(step, pdu, is_first)));
                        PduOutcome::Taken(reference.clone())
                    }
                    Err(verdict) => {
                        // A PDU that was fetched for state alone and then arrives by itself is news.
                        if self.way.verified.is_some() && verdict == PduVerdict::Duplicate {
                            self.graph.pending.becomes_news(step, &reference, false);
                        }
                        PduOutcome::Told(verdict)
                    }
                },
            };
            told.entry(reference).or_insert_with(|| fate.clone());
            fates.push(fate);
        }
        self.graph.timeline.keep_more(0);
        // Link after the loop, so that parents are found among the PDUs of the batch, whatever their order.
        for (reference, walked) in &taken {
            self.graph.pending.link(step, reference, *walked);
        }
        self.graph.deliver(step).await;
        fates
    }

    /// Returns whether the PDU waits for nothing, nobody waits for it, and nothing is remembered of it: then it needs no place among the
    /// held ones.
    fn is_ready_alone(&self, pdu: &Pdu) -> bool {
        let is_delivered = |parent: &PduRef| matches!(self.parent(parent), ParentLookup::Delivered { .. });
        let is_new = self.graph.pending.has_nothing_of(&pdu.reference);
        is_new && pdu.state.is_none() && pdu.prev.iter().all(is_delivered)
    }

    /// Returns one more than the depth of the deepest delivered parent.
    fn depth_below(&self, pdu: &Pdu) -> u64 {
        let above = |parent: &PduRef| match self.parent(parent) {
            ParentLookup::Delivered { depth, .. } => depth + 1,
            ParentLookup::Undelivered | ParentLookup::Foreign => 0,
        };
        pdu.prev.iter().map(above).max().unwrap_or(0)
    }

    /// Validates a PDU from quarantine again.
    pub(crate) async fn readmit(&mut self, step: &mut ContextStep<'_>, pdu: Pdu) -> PduOutcome {
        step.parks = false;
        self.admit(step, vec![pdu]).await.pop().expect("each PDU has an outcome")
    }

    /// Validates a quarantined PDU again that the context itself read. A PDU that is accepted, or known by now, leaves
    /// quarantine. A refused one stays, because its sender and the messenger were told that it is quarantined.
    pub(crate) async fn retry_quarantined(
        graph: &mut ContextGraph,
        step: &mut ContextStep<'_>,
        kept: QuarantinedPdu,
        known: &HashMap<PduRef, PduStatus>,
    ) {
        let QuarantinedPdu { from, number, verified, pdu } = kept;
        let fate = match pdu {
            Some(pdu) => {
                let pdu = Pdu { proof: PduProof::of_word(verified), ..pdu };
                Some(PduAdmission::of_quarantined(graph, &from, verified, known).readmit(step, pdu).await)
            }
            None => None,
        };
        if !matches!(fate, Some(PduOutcome::Told(PduVerdict::Parked { .. } | PduVerdict::Refused { .. }))) {
            step.changes.push(Change::QuarantineRemoved { server: from, number });
        }
    }

    /// Validates a PDU. It has been claimed since the lookup; the claim of a refused PDU is dropped.
    async fn validate(&mut self, step: &mut ContextStep<'_>, pdu: &Pdu) -> Result<(), PduVerdict> {
        let reference = &pdu.reference;
        let is_elsewhere = pdu.context != self.graph.context;
        if !is_elsewhere && self.graph.has_in_memory(reference) {
            return Err(PduVerdict::Duplicate);
        }
        match self.known.get(reference) {
            Some(known) if *known.context() == pdu.context && !is_elsewhere => return Err(PduVerdict::Duplicate),
            // The first PDU with an identity keeps it.
            Some(_) => return Err(refused("OTHER_CONTEXT", format!("{reference} is a PDU of another context"))),
            None if is_elsewhere => return Err(refused("OTHER_CONTEXT", format!("{reference} is of {}", pdu.context))),
            None => {}
        }
        // If only the identity of such a PDU were stored, the origin's copy would be a duplicate, so only its origin may
        // state it.
        if !self.is_for_us(pdu) && (self.graph.is_new() || *self.way.from != reference.origin) {
            step.released.push(reference.clone());
            let words = format!("{reference} is for other servers only; only its origin may send it here");
            return Err(refused(PduVerdict::NOT_FOR_US, words));
        }
        let for_state = self.way.verified.is_none() && self.graph.pending.wanted.is_for_state(reference);
        let verdict = self.check(step, pdu, for_state).await;
        if verdict.is_err() {
            step.released.push(reference.clone());
        }
        verdict
    }

    async fn check(&mut self, step: &mut ContextStep<'_>, pdu: &Pdu, for_state: bool) -> Result<(), PduVerdict> {
        self.check_structure(pdu)?;
        self.check_prev_state(step, pdu).await?;
        if for_state { self.may_bear_state(pdu) } else { self.check_participation(step, pdu).await }
    }

    /// Checks that the PDU is proved to be of its origin. A PDU of ours is checked before.
    fn check_proof(pdu: &Pdu) -> Result<(), PduVerdict> {
        match &pdu.proof {
            PduProof::Missing(missing) => Err(refused(missing.code.as_str(), missing.reason.clone())),
            PduProof::Sender | PduProof::Signature => Ok(()),
        }
    }

    /// Validates a PDU of history. Participation is not checked, because the server that was asked vouches for it.
    pub(crate) async fn judge_past(&mut self, step: &mut ContextStep<'_>, pdu: &Pdu) -> Result<(), PduVerdict> {
        let reference = &pdu.reference;
        let is_elsewhere = pdu.context != self.graph.context;
        let is_here = self.graph.has_in_memory(reference);
        if is_elsewhere || is_here || self.known.contains_key(reference) {
            return Err(PduVerdict::Duplicate);
        }
        if !self.is_for_us(pdu) && *self.way.from != reference.origin {
            step.released.push(reference.clone());
            return Err(refused(PduVerdict::NOT_FOR_US, format!("{reference} is for other servers only")));
        }
        let verdict = match Self::check_proof(pdu).and_then(|()| self.check_structure(pdu)) {
            Ok(()) => self.check_prev_state(step, pdu).await,
            Err(verdict) => Err(verdict),
        };
        if verdict.is_err() {
            step.released.push(reference.clone());
        }
        verdict
    }

    /// Checks that the PDU can have a position in the graph.
    fn check_structure(&self, pdu: &Pdu) -> Result<(), PduVerdict> {
        let reference = &pdu.reference;
        // One that we have signed was lost with a store that was restored from a backup.
        if self.graph.participants.is_us(&reference.origin) && pdu.proof != PduProof::Signature {
            let words = format!("{reference} names us as its origin, but we did not send it, or it is not signed");
            return Err(refused("OWN_ORIGIN_UNKNOWN", words));
        }
        if pdu.prev.contains(reference) {
            return Err(refused("SELF_PARENT", format!("{reference} names itself as a parent")));
        }
        if let Some(parent) = pdu.prev.iter().find(|parent| matches!(self.parent(parent), ParentLookup::Foreign)) {
            return Err(refused("FOREIGN_PARENT", format!("its parent {parent} is a PDU of another context")));
        }
        if self.graph.pending.order.is_named(reference) && self.graph.pending.order.closes_cycle(reference, &pdu.prev) {
            return Err(refused("CYCLE", format!("{reference} is its own ancestor")));
        }
        Ok(())
    }

    /// Checks that the PDU which it replaces, if known, has the same key and context.
    async fn check_prev_state(&mut self, step: &mut ContextStep<'_>, pdu: &Pdu) -> Result<(), PduVerdict> {
        let Some(slot) = &pdu.state else { return Ok(()) };
        let Some(prev) = &slot.prev else { return Ok(()) };
        if *prev == pdu.reference {
            return Err(refused("SELF_STATE", format!("{prev} names itself as its prev_state")));
        }
        let key = (pdu.kind.clone(), slot.key.clone());
        let is_sound = match self.parent(prev) {
            ParentLookup::Foreign => false,
            ParentLookup::Delivered { .. } => self.graph.state.is_of_key(step, &key, prev).await,
            ParentLookup::Undelivered => match self.graph.pending.order.get(prev) {
                Some(held) => held.state.as_ref().is_some_and(|(other, _)| *other == key),
                None => true,
            },
        };
        let words = || format!("its prev_state {prev} belongs to another key or context");
        if is_sound { Ok(()) } else { Err(refused("FOREIGN_STATE", words())) }
    }

    fn parent(&self, parent: &PduRef) -> ParentLookup {
        let ContextGraph { context, pending, timeline, .. } = &*self.graph;
        if let Some((depth, history)) = timeline.recent.peek(parent).copied() {
            return ParentLookup::Delivered { depth, history };
        }
        match self.known.get(parent).filter(|_| !pending.order.holds(parent)) {
            Some(known) if known.context() != context => ParentLookup::Foreign,
            Some(PduStatus::Delivered { depth, history, .. }) => {
                ParentLookup::Delivered { depth: *depth, history: *history }
            }
            // A claimed PDU belongs to this batch and has not been processed yet.
            Some(PduStatus::Held { .. } | PduStatus::Claimed { .. }) | None => ParentLookup::Undelivered,
        }
    }

    /// Returns whether the PDU is not narrowed to other servers.
    pub(crate) fn is_for_us(&self, pdu: &Pdu) -> bool {
        pdu.is_for(self.graph.participants.us())
    }

    /// Checks that origin and sender are participants. A PDU whose origin is not one goes to quarantine, where our
    /// messenger can see it. A PDU whose sender is neither a participant nor its origin is refused, because a stored copy
    /// would block the copy of its origin.
    async fn check_participation(&mut self, step: &mut ContextStep<'_>, pdu: &Pdu) -> Result<(), PduVerdict> {
        let (from, origin, asked_for) = (self.way.from, &pdu.reference.origin, self.way.verified.is_none());
        if self.graph.is_new() && !asked_for {
            Self::check_proof(pdu)?;
            return match self.graph.participants.begin_with(step, origin, from) {
                true => Ok(()),
                false => Err(self.park(step, pdu).await),
            };
        }
        let ContextGraph { pending, participants, .. } = &mut *self.graph;
        if !(asked_for || from == origin || participants.takes_part(from)) {
            let context = &pdu.context;
            let words =
                format!("{from} is not a participant of {context}, so PDUs of {origin} are not accepted from it");
            return Err(refused(PduVerdict::SENDER_NOT_A_PARTICIPANT, words));
        }
        // A stranger's copy is refused as such: whether it is signed changes nothing.
        Self::check_proof(pdu)?;
        participants.add_if_open(step, origin);
        // A parent that the first batch names is accepted from any origin, but its origin does not become a participant by
        // that.
        match participants.is_us(origin)
            || participants.contains(origin)
            || pending.order.is_awaited_at_edge(&pdu.reference)
        {
            true => Ok(()),
            false => Err(self.park(step, pdu).await),
        }
    }

    /// Accepts, as history, a PDU of a server that has left if state depends on it. Its own parents are not accepted, and
    /// as only that state requests it, a refusal is not reported.
    fn may_bear_state(&self, pdu: &Pdu) -> Result<(), PduVerdict> {
        Self::check_proof(pdu)?;
        let reference = &pdu.reference;
        match self.graph.pending.wanted.is_link(reference) || self.graph.participants.takes_part(&reference.origin) {
            true => Ok(()),
            false => Err(PduVerdict::Parked { code: ParkedCode::NotAParticipant.as_str() }),
        }
    }

    /// Quarantines a PDU whose origin does not participate. There is one row per PDU and sender, so the copy of its origin
    /// is kept beside relayed ones.
    async fn park(&mut self, step: &mut ContextStep<'_>, pdu: &Pdu) -> PduVerdict {
        let code = ParkedCode::NotAParticipant;
        let PduRef { origin, id } = &pdu.reference;
        // A fetched PDU comes again from every server that has it: it is reported once, and not at all if it comes too
        // late.
        let is_told = match self.graph.pending.wanted.get_mut(&pdu.reference) {
            Some(want) if self.way.verified.is_none() => !std::mem::replace(&mut want.parked, true),
            _ => self.way.verified.is_some(),
        };
        if is_told && step.parks && !step.reads.is_kept(&pdu.reference, self.way.from).await {
            let context = &pdu.context;
            let max = self.graph.limits.participants_max;
            let reason = format!(
                "{origin} is not a participant of {context}; add it to the context's servers (at most {max}, \
                 contexts.participants_max), or leave {origin}/{id} in quarantine"
            );
            let (origin, id) = (Some(origin.to_string()), Some(id.to_string()));
            let what = ParkedWhat::Pdu { origin, id, context: Some(context.clone()) };
            let (from, verified) = (self.way.from.clone(), pdu.proof.word(self.way.verified.unwrap_or("network")));
            let parked = ParkedItem { from, what, code, reason, verified: Some(verified), bytes: pdu.bytes.clone() };
            step.changes.push(Change::Quarantined { parked, keep: self.graph.limits.quarantine_items });
        }
        PduVerdict::Parked { code: code.as_str() }
    }

    /// Adds an accepted PDU, which is held until it is linked. Returns the number of fetches in a row for the PDUs that it
    /// names.
    pub(crate) fn hold(&mut self, step: &mut ContextStep<'_>, mut pdu: Pdu, is_first: bool) -> StateWalk {
        let reference = pdu.reference.clone();
        let want = self.graph.pending.wanted.remove(&reference);
        // If this PDU is itself a history edge, its missing parents are edges too, not gaps.
        let beyond = want.as_ref().is_some_and(|want| want.edge)
            || self.graph.pending.gaps.is_edge(&reference) && !self.graph.pending.is_bookmark(&reference);
        let (mut prev, mut missing, mut depth): (Vec<PduRef>, _, _) = (vec![], vec![], 0);
        let mut on_news = false;
        for parent in &pdu.prev {
            if prev.contains(parent) {
                continue;
            }
            prev.push(parent.clone());
            match self.parent(parent) {
                ParentLookup::Delivered { depth: parents, history } => {
                    depth = depth.max(parents + 1);
                    on_news |= !history;
                }
                ParentLookup::Undelivered | ParentLookup::Foreign => missing.push(parent.clone()),
            }
        }
        let for_state = want.as_ref().filter(|want| want.for_state && self.way.verified.is_none() && !self.way.past);
        let is_link = for_state.is_some_and(|want| want.link);
        // The PDU names history, is behind the edge, or is of a server that has left.
        let is_old = for_state.is_some_and(|want| {
            let is_edge = self.graph.pending.gaps.get(&reference).is_some();
            want.old || want.past || is_edge || !self.graph.participants.takes_part(&reference.origin)
        });
        let mut behind = vec![];
        if is_old && !self.graph.pending.is_joined() && !for_state.is_some_and(|want| want.past) {
            // Fetched only because state refers to it, and this context was not joined: do not wait for its parents;
            // keep them in `behind`, so that one that arrives by itself is delivered as new, not as history.
            std::mem::swap(&mut missing, &mut behind);
        }
        let (history, for_state) = (self.way.past || is_old, for_state.is_some() && !is_old);
        let (state, link) = self.state_entry_of(&mut pdu).unzip();
        let (edge, sender, link) = (is_first || beyond, Some(self.way.from.clone()), link.flatten());
        let (narrowed, stated) = (pdu.to.is_some(), pdu.depth);
        let waiting = PendingPdu {
            prev,
            missing,
            edge,
            depth,
            sender,
            state,
            link,
            history,
            for_state,
            on_news,
            narrowed,
            stated,
            absent_parents: behind,
        };
        self.graph.pending.order.insert(reference, waiting);
        let (sender, verified) = self.sender_and_proof(&pdu);
        step.take(NewPdu { pdu, sender, verified });
        let further = self.way.walked + 1;
        // A walk through its ancestors starts at the PDU that state depends on.
        StateWalk { parents: if is_link { 1 } else { further }, link: further }
    }

    /// Returns the sender of a PDU and what was verified, as they are stored. A PDU of ours that comes back is stored as if our
    /// messenger had submitted it.
    fn sender_and_proof(&self, pdu: &Pdu) -> (Option<ServerName>, &'static str) {
        let (origin, from) = (&pdu.reference.origin, self.way.from);
        if self.graph.participants.is_us(origin) {
            return (None, VERIFIED_AS_OWN);
        }
        // The sender's authentication proves the sender's own name only, so the PDU of another origin is relayed.
        let verified = match pdu.proof {
            PduProof::Signature => VERIFIED_BY_PDU_SIGNATURE,
            _ if origin == from => self.way.verified.unwrap_or("network"),
            _ => VERIFIED_AS_RELAYED,
        };
        (Some(from.clone()), verified)
    }

    /// Records only the identity of a PDU that is narrowed to other servers, so that its children do not wait for it.
    pub(crate) async fn know_by_name(&mut self, step: &mut ContextStep<'_>, pdu: Pdu) {
        let (reference, depth) = (pdu.reference.clone(), self.depth_below(&pdu));
        let pdu = Pdu { prev: vec![], bytes: bytes::Bytes::new(), ..pdu };
        let (verified, received, standing) = ("", step.now, PduState::Named { depth });
        step.changes.push(Change::PduStored(Box::new(StoredPdu { pdu, sender: None, verified, received, standing })));
        let ContextGraph { context, pending, timeline, state, participants, .. } = &mut *self.graph;
        pending.wanted.remove(&reference);
        if pending.gaps.close(&reference).is_some() {
            step.changes.push(Change::GapClosed { context: context.clone(), missing: reference.clone() });
        }
        if let Some(link) = pending.links.close(&reference) {
            state.link_came(step, participants, link, None).await;
        }
        timeline.recent.put(reference.clone(), (depth, false));
        pending.order.delivered(&reference, depth, false);
    }

    /// Returns the key and the state entry that a PDU sets, and its `prev_state` if that is not delivered.
    fn state_entry_of(&self, pdu: &mut Pdu) -> Option<((StateKey, StateEntry), Option<PduRef>)> {
        let slot = pdu.state.as_mut()?;
        slot.member = self.graph.participants.membership(&pdu.kind, &slot.key, MembershipSource::Pdu(&pdu.bytes));
        let StateSlot { key, power_level, prev, member } = slot.clone();
        let lacks = prev.clone().filter(|prev| matches!(self.parent(prev), ParentLookup::Undelivered));
        let (reference, bond) = (pdu.reference.clone(), PrevStateLink::Sound);
        let piece = StateEntry { reference, power: power_level, prev, bond, member };
        Some((((pdu.kind.clone(), key), piece), lacks))
    }
}

/// Returns whether each PDU names the one before it as a parent, so that no other order of them is possible.
fn is_chain(pdus: &[Pdu]) -> bool {
    pdus.windows(2).all(|pair| pair[1].prev.contains(&pair[0].reference))
}

fn refused(code: &'static str, reason: String) -> PduVerdict {
    PduVerdict::Refused { code, reason }
}

#[cfg(test)]
mod tests;
