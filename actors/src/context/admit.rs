//! Admission of inbound PDUs: each is validated on its own, in the order of the request. A bad one never harms its
//! neighbours.

use std::collections::HashMap;

use crate::change::Change;
use crate::context::machine::ContextMachine;
use crate::context::ordering::causal_order::PendingPdu;
use crate::context::provenance::{Provenance, QuarantinedPdu};
use crate::context::state::state_walk::StateWalk;
use crate::context::step::{ContextStep, NewPdu, PduOutcome};
use crate::model::{
    MembershipSource, ParkedCode, ParkedItem, ParkedWhat, Pdu, PduRef, PduState, PduStatus, PduVerdict, PrevStateLink,
    ServerName, StateEntry, StateKey, StateSlot, StoredPdu,
};

/// The status of a parent.
enum ParentLookup {
    Delivered { depth: u64, history: bool },
    Undelivered,
    Foreign,
}

impl ContextMachine {
    /// Accepts the valid PDUs, and delivers those that are ready.
    pub(crate) async fn admit(
        &mut self,
        step: &mut ContextStep<'_>,
        way: Provenance<'_>,
        pdus: Vec<Pdu>,
        known: &HashMap<PduRef, PduStatus>,
    ) -> Vec<PduOutcome> {
        // The whole first batch creates the context, not only its first PDU.
        let is_first = self.is_new() || self.is_just_joined();
        let mut told: HashMap<PduRef, PduOutcome> = HashMap::new();
        let mut taken = vec![];
        let mut fates = Vec::with_capacity(pdus.len());
        for pdu in pdus {
            let reference = pdu.reference.clone();
            let fate = match told.get(&reference) {
                Some(PduOutcome::Taken(_)) => PduOutcome::Told(PduVerdict::Duplicate),
                Some(told) => told.clone(),
                None => match self.validate(step, way, &pdu, known).await {
                    Ok(()) if !pdu.is_for(&self.us) => {
                        self.know_by_name(step, pdu, known).await;
                        PduOutcome::Taken(reference.clone())
                    }
                    Ok(()) => {
                        taken.push((reference.clone(), self.hold(step, way, pdu, known, is_first)));
                        PduOutcome::Taken(reference.clone())
                    }
                    Err(verdict) => {
                        // A PDU that was fetched for state alone and then arrives by itself is news.
                        if way.verified.is_some() && verdict == PduVerdict::Duplicate {
                            self.becomes_news(step, &reference, false);
                        }
                        PduOutcome::Told(verdict)
                    }
                },
            };
            told.entry(reference).or_insert_with(|| fate.clone());
            fates.push(fate);
        }
        // Link after the loop, so that parents are found among the PDUs of the batch, whatever their order.
        for (reference, walked) in &taken {
            self.link(step, reference, *walked);
        }
        self.deliver(step).await;
        fates
    }

    /// Validates a PDU from quarantine again.
    pub(crate) async fn readmit(
        &mut self,
        step: &mut ContextStep<'_>,
        from: &ServerName,
        pdu: Pdu,
        known: &HashMap<PduRef, PduStatus>,
    ) -> PduOutcome {
        step.parks = false;
        // Quarantine rows do not record how the sender was authenticated, so assume the weakest proof, `network`.
        let way = Provenance { from, verified: Some("network"), walked: 0, past: false };
        self.admit(step, way, vec![pdu], known).await.pop().expect("each PDU has an outcome")
    }

    /// Validates a quarantined PDU again that the context itself read. A PDU that is accepted, or known by now, leaves
    /// quarantine. A refused one stays, because its sender and the messenger were told that it is quarantined.
    pub(crate) async fn retry_quarantined(
        &mut self,
        step: &mut ContextStep<'_>,
        kept: QuarantinedPdu,
        known: &HashMap<PduRef, PduStatus>,
    ) {
        let QuarantinedPdu { from, number, pdu } = kept;
        let fate = match pdu {
            Some(pdu) => Some(self.readmit(step, &from, pdu, known).await),
            None => None,
        };
        if !matches!(fate, Some(PduOutcome::Told(PduVerdict::Parked { .. } | PduVerdict::Refused { .. }))) {
            step.changes.push(Change::QuarantineRemoved { server: from, number });
        }
    }

    /// Validates a PDU. It has been claimed since the lookup; the claim of a refused PDU is dropped.
    async fn validate(
        &mut self,
        step: &mut ContextStep<'_>,
        way: Provenance<'_>,
        pdu: &Pdu,
        known: &HashMap<PduRef, PduStatus>,
    ) -> Result<(), PduVerdict> {
        let reference = &pdu.reference;
        let is_elsewhere = pdu.context != self.record.context;
        if !is_elsewhere && (self.recent.peek(reference).is_some() || self.order.holds(reference)) {
            return Err(PduVerdict::Duplicate);
        }
        match known.get(reference) {
            Some(known) if *known.context() == pdu.context && !is_elsewhere => return Err(PduVerdict::Duplicate),
            // The first PDU with an identity keeps it.
            Some(_) => return Err(refused("OTHER_CONTEXT", format!("{reference} is a PDU of another context"))),
            None if is_elsewhere => return Err(refused("OTHER_CONTEXT", format!("{reference} is of {}", pdu.context))),
            None => {}
        }
        // If only the identity of such a PDU were stored, the origin's copy would be a duplicate, so only its origin may
        // state it.
        if !pdu.is_for(&self.us) && (self.is_new() || *way.from != reference.origin) {
            step.released.push(reference.clone());
            let words = format!("{reference} is for other servers only; only its origin may send it here");
            return Err(refused(PduVerdict::NOT_FOR_US, words));
        }
        let for_state = way.verified.is_none() && self.wanted.is_for_state(reference);
        let verdict = self.check(step, way, pdu, known, for_state).await;
        if verdict.is_err() {
            step.released.push(reference.clone());
        }
        verdict
    }

    async fn check(
        &mut self,
        step: &mut ContextStep<'_>,
        way: Provenance<'_>,
        pdu: &Pdu,
        known: &HashMap<PduRef, PduStatus>,
        for_state: bool,
    ) -> Result<(), PduVerdict> {
        self.check_structure(pdu, known)?;
        self.check_prev_state(step, pdu, known).await?;
        if for_state { self.may_bear_state(pdu) } else { self.check_participation(step, way, pdu).await }
    }

    /// Validates a PDU of history. Participation is not checked, because the server that was asked vouches for the PDU.
    pub(crate) async fn judge_past(
        &mut self,
        step: &mut ContextStep<'_>,
        from: &ServerName,
        pdu: &Pdu,
        known: &HashMap<PduRef, PduStatus>,
    ) -> Result<(), PduVerdict> {
        let reference = &pdu.reference;
        let is_elsewhere = pdu.context != self.record.context;
        let is_here = self.recent.peek(reference).is_some() || self.order.holds(reference);
        if is_elsewhere || is_here || known.contains_key(reference) {
            return Err(PduVerdict::Duplicate);
        }
        if !pdu.is_for(&self.us) && *from != reference.origin {
            step.released.push(reference.clone());
            return Err(refused(PduVerdict::NOT_FOR_US, format!("{reference} is for other servers only")));
        }
        let verdict = match self.check_structure(pdu, known) {
            Ok(()) => self.check_prev_state(step, pdu, known).await,
            Err(verdict) => Err(verdict),
        };
        if verdict.is_err() {
            step.released.push(reference.clone());
        }
        verdict
    }

    /// Checks that the PDU can have a position in the graph.
    fn check_structure(&self, pdu: &Pdu, known: &HashMap<PduRef, PduStatus>) -> Result<(), PduVerdict> {
        let reference = &pdu.reference;
        if reference.origin == self.us {
            return Err(refused(
                "OWN_ORIGIN_UNKNOWN",
                format!(
                    "{reference} names us as its origin, but we did not send \
                it"
                ),
            ));
        }
        if pdu.prev.contains(reference) {
            return Err(refused("SELF_PARENT", format!("{reference} names itself as a parent")));
        }
        if let Some(parent) = pdu.prev.iter().find(|parent| matches!(self.parent(parent, known), ParentLookup::Foreign))
        {
            return Err(refused("FOREIGN_PARENT", format!("its parent {parent} is a PDU of another context")));
        }
        if self.order.is_named(reference) && self.order.closes_cycle(reference, &pdu.prev) {
            return Err(refused("CYCLE", format!("{reference} is its own ancestor")));
        }
        Ok(())
    }

    /// Checks that the PDU which it replaces, if known, has the same key and context.
    async fn check_prev_state(
        &mut self,
        step: &mut ContextStep<'_>,
        pdu: &Pdu,
        known: &HashMap<PduRef, PduStatus>,
    ) -> Result<(), PduVerdict> {
        let Some(slot) = &pdu.state else { return Ok(()) };
        let Some(prev) = &slot.prev else { return Ok(()) };
        if *prev == pdu.reference {
            return Err(refused("SELF_STATE", format!("{prev} names itself as its prev_state")));
        }
        let key = (pdu.kind.clone(), slot.key.clone());
        let is_sound = match self.parent(prev, known) {
            ParentLookup::Foreign => false,
            ParentLookup::Delivered { .. } => self.state.is_of_key(step, &key, prev).await,
            ParentLookup::Undelivered => match self.order.get(prev) {
                Some(held) => held.state.as_ref().is_some_and(|(other, _)| *other == key),
                None => true,
            },
        };
        let words = || format!("its prev_state {prev} belongs to another key or context");
        if is_sound { Ok(()) } else { Err(refused("FOREIGN_STATE", words())) }
    }

    fn parent(&self, parent: &PduRef, known: &HashMap<PduRef, PduStatus>) -> ParentLookup {
        if let Some((depth, history)) = self.recent.peek(parent).copied() {
            return ParentLookup::Delivered { depth, history };
        }
        match known.get(parent).filter(|_| !self.order.holds(parent)) {
            Some(known) if *known.context() != self.record.context => ParentLookup::Foreign,
            Some(PduStatus::Delivered { depth, history, .. }) => {
                ParentLookup::Delivered { depth: *depth, history: *history }
            }
            // A claimed PDU belongs to this batch and has not been processed yet.
            Some(PduStatus::Held { .. } | PduStatus::Claimed { .. }) | None => ParentLookup::Undelivered,
        }
    }

    /// Checks that origin and sender are participants. A PDU whose origin is not one goes to quarantine, where our
    /// messenger can see it. A PDU whose sender is neither a participant nor its origin is refused, because a stored copy
    /// would block the copy of its origin.
    async fn check_participation(
        &mut self,
        step: &mut ContextStep<'_>,
        way: Provenance<'_>,
        pdu: &Pdu,
    ) -> Result<(), PduVerdict> {
        let (origin, asked_for) = (&pdu.reference.origin, way.verified.is_none());
        let max = self.limits.participants_max as usize;
        if self.is_new() && !asked_for {
            // Its origin and its sender participate. The origins of its parents do not, because a PDU can name any server.
            let mut servers = vec![origin.clone()];
            servers.extend(Some(way.from).filter(|from| *from != origin).cloned());
            servers.retain(|server| *server != self.us);
            if servers.len() > max {
                return Err(self.park(step, way, pdu).await);
            }
            self.record.participants = servers;
            step.record_dirty = true;
            return Ok(());
        }
        let participants = &self.record.participants;
        if !(asked_for || self.limits.open || way.from == origin || participants.contains(way.from)) {
            let (from, context) = (way.from, &pdu.context);
            let words =
                format!("{from} is not a participant of {context}, so PDUs of {origin} are not accepted from it");
            return Err(refused(PduVerdict::SENDER_NOT_A_PARTICIPANT, words));
        }
        if self.limits.open && !participants.contains(origin) && participants.len() < max {
            self.record.participants.push(origin.clone());
            step.record_dirty = true;
        }
        // A parent that the first batch names is accepted from any origin, but its origin does not become a participant by
        // that.
        match self.record.participants.contains(origin) || self.order.is_awaited_at_edge(&pdu.reference) {
            true => Ok(()),
            false => Err(self.park(step, way, pdu).await),
        }
    }

    /// Accepts, as history, a PDU of a server that has left if state depends on it. Its own parents are not accepted, and
    /// as only that state requests it, a refusal is not reported.
    fn may_bear_state(&self, pdu: &Pdu) -> Result<(), PduVerdict> {
        let reference = &pdu.reference;
        match self.wanted.is_link(reference) || self.takes_part(&reference.origin) {
            true => Ok(()),
            false => Err(PduVerdict::Parked { code: ParkedCode::NotAParticipant.as_str() }),
        }
    }

    fn takes_part(&self, server: &ServerName) -> bool {
        self.limits.open || self.record.participants.contains(server)
    }

    /// Quarantines a PDU whose origin does not participate. There is one row per PDU and sender, so the copy of its origin
    /// is kept beside relayed ones.
    async fn park(&mut self, step: &mut ContextStep<'_>, way: Provenance<'_>, pdu: &Pdu) -> PduVerdict {
        let code = ParkedCode::NotAParticipant;
        let PduRef { origin, id } = &pdu.reference;
        // A fetched PDU comes again from every server that has it: it is reported once, and not at all if it comes too
        // late.
        let is_told = match self.wanted.get_mut(&pdu.reference) {
            Some(want) if way.verified.is_none() => !std::mem::replace(&mut want.parked, true),
            _ => way.verified.is_some(),
        };
        if is_told && step.parks && !step.reads.is_kept(&pdu.reference, way.from).await {
            let context = &pdu.context;
            let max = self.limits.participants_max;
            let reason = format!(
                "{origin} is not a participant of {context}; add it to the context's servers (at most {max}, \
                 contexts.participants_max), or leave {origin}/{id} in quarantine"
            );
            let (origin, id) = (Some(origin.to_string()), Some(id.to_string()));
            let what = ParkedWhat::Pdu { origin, id, context: Some(context.clone()) };
            let parked = ParkedItem { from: way.from.clone(), what, code, reason, bytes: pdu.bytes.clone() };
            step.changes.push(Change::Quarantined { parked, keep: self.limits.quarantine_items });
        }
        PduVerdict::Parked { code: code.as_str() }
    }

    /// Adds an accepted PDU, which is held until it is linked. Returns the number of fetches in a row for the PDUs that it
    /// names.
    pub(crate) fn hold(
        &mut self,
        step: &mut ContextStep<'_>,
        way: Provenance<'_>,
        mut pdu: Pdu,
        known: &HashMap<PduRef, PduStatus>,
        is_first: bool,
    ) -> StateWalk {
        let reference = pdu.reference.clone();
        let want = self.wanted.remove(&reference);
        // If this PDU is itself a history edge, its missing parents are edges too, not gaps.
        let beyond = want.as_ref().is_some_and(|want| want.edge)
            || self.gaps.is_edge(&reference) && !self.is_bookmark(&reference);
        let (mut prev, mut missing, mut depth): (Vec<PduRef>, _, _) = (vec![], vec![], 0);
        let mut on_news = false;
        for parent in &pdu.prev {
            if prev.contains(parent) {
                continue;
            }
            prev.push(parent.clone());
            match self.parent(parent, known) {
                ParentLookup::Delivered { depth: parents, history } => {
                    depth = depth.max(parents + 1);
                    on_news |= !history;
                }
                ParentLookup::Undelivered | ParentLookup::Foreign => missing.push(parent.clone()),
            }
        }
        let for_state = want.as_ref().filter(|want| want.for_state && way.verified.is_none() && !way.past);
        let is_link = for_state.is_some_and(|want| want.link);
        // The PDU names history, is behind the edge, or is of a server that has left.
        let is_old = for_state.is_some_and(|want| {
            let is_edge = self.gaps.get(&reference).is_some();
            want.old || want.past || is_edge || !self.takes_part(&reference.origin)
        });
        let mut behind = vec![];
        if is_old && self.record.join.is_none() && !for_state.is_some_and(|want| want.past) {
            // Fetched only because state refers to it, and this context was not joined: do not wait for its parents;
            // keep them in `behind`, so that one that arrives by itself is delivered as new, not as history.
            std::mem::swap(&mut missing, &mut behind);
        }
        let (history, for_state) = (way.past || is_old, for_state.is_some() && !is_old);
        let (state, link) = self.state_entry_of(&mut pdu, known).unzip();
        let (edge, sender, link) = (is_first || beyond, Some(way.from.clone()), link.flatten());
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
        self.order.insert(reference, waiting);
        // The sender's authentication proves the sender's own name only, so the PDU of another origin is relayed.
        let verified = match pdu.reference.origin == *way.from {
            true => way.verified.unwrap_or("network"),
            false => "relayed",
        };
        step.take(NewPdu { pdu, sender: way.from.clone(), verified });
        let further = way.walked + 1;
        // A walk through its ancestors starts at the PDU that state depends on.
        StateWalk { parents: if is_link { 1 } else { further }, link: further }
    }
}

impl ContextMachine {
    /// Records only the identity of a PDU that is narrowed to other servers, so that its children do not wait for it.
    pub(crate) async fn know_by_name(
        &mut self,
        step: &mut ContextStep<'_>,
        pdu: Pdu,
        known: &HashMap<PduRef, PduStatus>,
    ) {
        let reference = pdu.reference.clone();
        let above = |parent: &PduRef| match self.parent(parent, known) {
            ParentLookup::Delivered { depth, .. } => depth + 1,
            ParentLookup::Undelivered | ParentLookup::Foreign => 0,
        };
        let depth = pdu.prev.iter().map(above).max().unwrap_or(0);
        let pdu = Pdu { prev: vec![], bytes: bytes::Bytes::new(), ..pdu };
        let (verified, received, standing) = ("", step.now, PduState::Named { depth });
        step.changes.push(Change::PduStored(Box::new(StoredPdu { pdu, sender: None, verified, received, standing })));
        self.wanted.remove(&reference);
        let context = || self.record.context.clone();
        if self.gaps.close(&reference).is_some() {
            step.changes.push(Change::GapClosed { context: context(), missing: reference.clone() });
        }
        if let Some(link) = self.state.links.close(&reference) {
            self.link_came(step, link, None).await;
        }
        self.recent.put(reference.clone(), (depth, false));
        self.order.delivered(&reference, depth, false);
    }

    /// Returns the key and the state entry that a PDU sets, and its `prev_state` if that is not delivered.
    fn state_entry_of(
        &self,
        pdu: &mut Pdu,
        known: &HashMap<PduRef, PduStatus>,
    ) -> Option<((StateKey, StateEntry), Option<PduRef>)> {
        let slot = pdu.state.as_mut()?;
        slot.member = self.membership(&pdu.kind, &slot.key, MembershipSource::Pdu(&pdu.bytes));
        let StateSlot { key, power_level, prev, member } = slot.clone();
        let lacks = prev.clone().filter(|prev| matches!(self.parent(prev, known), ParentLookup::Undelivered));
        let (reference, bond) = (pdu.reference.clone(), PrevStateLink::Sound);
        let piece = StateEntry { reference, power: power_level, prev, bond, member };
        Some((((pdu.kind.clone(), key), piece), lacks))
    }
}

fn refused(code: &'static str, reason: String) -> PduVerdict {
    PduVerdict::Refused { code, reason }
}

#[cfg(test)]
mod tests;
