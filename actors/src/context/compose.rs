//! Composition of local PDUs: each gets the heads as parents, a depth, and for state the PDU that it replaces.
//!
//! Composition is serial in memory and pipelined on disk: a PDU may name one that is submitted and not committed yet.

use crate::change::Change;
use crate::context::event::RecipientReach;
use crate::context::groups::plain_copies::GroupRecipients;
use crate::context::ordering::context_graph::ContextGraph;
use crate::context::ordering::heads::NamedParents;
use crate::context::step::ContextStep;
use crate::errors::DraftError;
use crate::model::{
    ComposedPdu, Delivery, FeedFlags, GraphPosition, Head, Membership, MembershipSource, Pdu, PduDraft, PduProof,
    PduRef, PduState, PduText, PrevStateLink, ServerName, StateEntry, StateSlot, StoredPdu, Submission,
    SubmittedContent, VERIFIED_AS_OWN,
};

/// The composition of the drafts of one submission.
pub(crate) struct DraftComposer<'a> {
    pub(crate) graph: &'a mut ContextGraph,
    /// Writer of the PDUs.
    pub(crate) text: &'a dyn PduText,
    pub(crate) reach: &'a RecipientReach,
    pub(crate) source: DraftSource<'a>,
}

/// The author of drafts.
#[derive(Clone, Copy)]
pub(crate) enum DraftSource<'a> {
    /// The local messenger, which is not shown what it submitted.
    Messenger,
    /// A group of this peer, which does not get the message back.
    Group {
        from: &'a ServerName,
        /// Method by which the peer was authenticated.
        verified: &'static str,
    },
}

impl DraftComposer<'_> {
    /// Composes the drafts in their order.
    pub(crate) async fn compose(
        &mut self,
        step: &mut ContextStep<'_>,
        drafts: Vec<PduDraft>,
    ) -> Vec<Result<ComposedPdu, DraftError>> {
        let mut composed = Vec::with_capacity(drafts.len());
        for draft in drafts {
            composed.push(self.compose_one(step, draft).await);
        }
        composed
    }

    async fn compose_one(&mut self, step: &mut ContextStep<'_>, draft: PduDraft) -> Result<ComposedPdu, DraftError> {
        let to = self.narrowed(&draft)?;
        let mut audience = to.clone().unwrap_or_else(|| self.graph.participants.servers().to_vec());
        let mut others = self.graph.participants.servers().len();
        let setting = match &draft.state {
            Some((key, power)) => Some(self.replace(step, &draft, key, *power).await?),
            None => None,
        };
        if let Some(Membership { server, joins: true }) = setting.as_ref().and_then(|setting| setting.member.as_ref())
            && self.graph.participants.would_join(server)
        {
            // The server that the message adds as a participant receives it too.
            audience.push(server.clone());
            others += 1;
        }
        if let DraftSource::Group { from, .. } = self.source {
            audience.retain(|server| server != from);
        }
        let groups = self.graph.limits.groups.of_context(&self.graph.context);
        let mut plain = GroupRecipients::take(groups, &mut audience);
        match draft.state.is_some() {
            true => plain = GroupRecipients::default(),
            false => audience.extend(plain.servers().cloned()),
        }
        let shut = &self.reach.shut;
        let why = |server: &ServerName| shut.iter().find(|(other, _)| other == server).map(|(_, reason)| *reason);
        let left_out: Vec<_> = audience.iter().filter_map(|server| Some((server.clone(), why(server)?))).collect();
        plain.retain(|server| why(server).is_none());
        audience.retain(|server| why(server).is_none() && plain.servers().all(|other| other != server));
        let (reference, bytes) = self.assign_position(step, &draft, (setting, to), others).await;
        step.report_left_out(&draft.submission, &left_out);
        let left_out = left_out.into_iter().map(|(server, _)| server).collect();
        let copies = plain.copies(self.text, &reference, &bytes);
        let peers = audience.iter().chain(copies.servers()).cloned().collect();
        let PduDraft { submission: id, digest, accepted, receipt, .. } = draft;
        let (what, servers) = (SubmittedContent::Pdu(reference.clone(), self.graph.context.clone(), bytes), audience);
        copies.submit(step, Submission { id, digest, accepted, servers, left_out, receipt, what });
        Ok(ComposedPdu { reference, peers })
    }

    /// Returns the other recipients of a draft, each once; `None` if they are all participants. Each recipient must keep
    /// the message from all other servers.
    fn narrowed(&self, draft: &PduDraft) -> Result<Option<Vec<ServerName>>, DraftError> {
        let Some(named) = &draft.to else { return Ok(None) };
        let ContextGraph { context, participants, .. } = &*self.graph;
        let mut to: Vec<ServerName> = vec![];
        for server in named.iter().filter(|server| *server != participants.us()) {
            if !participants.contains(server) {
                return Err(DraftError::NotAParticipant { server: server.clone(), context: context.clone() });
            }
            if !to.contains(server) {
                to.push(server.clone());
            }
        }
        if to.len() == participants.servers().len() {
            return Ok(None);
        }
        if draft.state.is_some() {
            return Err(DraftError::StateNarrowed(context.clone()));
        }
        match to.iter().find(|server| self.reach.deaf.contains(server)) {
            Some(server) => Err(DraftError::ToNotHonoured { server: server.clone() }),
            None => Ok(Some(to)),
        }
    }

    /// Returns the state fields of a draft. It replaces the current state directly, so it becomes the current state.
    async fn replace(
        &mut self,
        step: &ContextStep<'_>,
        draft: &PduDraft,
        key: &str,
        power_level: i64,
    ) -> Result<StateSlot, DraftError> {
        let holder = self.graph.state.holder(step, &(draft.kind.clone(), key.to_owned())).await;
        if let Some(holder) = holder.as_ref().filter(|holder| holder.power > power_level)
            && self.graph.limits.state.enforce_power
        {
            return Err(DraftError::PowerTooLow { own: power_level, current: holder.power });
        }
        let member = self.graph.participants.membership(&draft.kind, key, MembershipSource::Content(&draft.content));
        let prev = holder.map(|holder| holder.reference);
        Ok(StateSlot { key: key.to_owned(), power_level, prev, member })
    }

    /// Assigns the graph position and writes the PDU. `to` are the other recipients if it is narrowed, `others` is the number of
    /// participants beside us.
    async fn assign_position(
        &mut self,
        step: &mut ContextStep<'_>,
        draft: &PduDraft,
        (state, to): (Option<StateSlot>, Option<Vec<ServerName>>),
        others: usize,
    ) -> (PduRef, bytes::Bytes) {
        let sign = self.graph.limits.sign.signs(others);
        let ContextGraph { context, pending, timeline, state: current_state, participants, .. } = &mut *self.graph;
        let reference = PduRef { origin: participants.us().clone(), id: draft.id.clone() };
        let context = context.clone();
        let NamedParents { prev, depth, emitted } = timeline.heads.parents();
        let prev_state = state.as_ref().and_then(|state| state.prev.clone());
        let to = to.map(|mut to| {
            to.push(participants.us().clone());
            to.sort();
            to
        });
        let (within, named, recipients) = (context.clone(), prev.clone(), to.clone());
        let berth = GraphPosition { context: within, prev: named, depth: emitted, prev_state, to: recipients, sign };
        let bytes = self.text.compose(participants.us(), draft, &berth);
        let position = timeline.next_position(step, depth);
        let (sender, verified, shown) = match self.source {
            DraftSource::Messenger => (None, VERIFIED_AS_OWN, None),
            DraftSource::Group { from, verified } => (Some(from.clone()), verified, Some(FeedFlags::default())),
        };
        let standing = PduState::Delivered(Delivery { position, depth, shown });
        let (kind, received) = (draft.kind.clone(), draft.accepted);
        // Other servers never see a narrowed PDU: it is no parent, and the heads that it names stay heads.
        if to.is_none() {
            timeline.heads.advance(&prev, Some(Head::of(reference.clone(), depth, Some(emitted))));
        }
        let counts = state.clone().map(|StateSlot { key, power_level, prev, member }| {
            let (reference, power, bond) = (reference.clone(), power_level, PrevStateLink::Sound);
            ((kind.clone(), key), StateEntry { reference, power, prev, bond, member })
        });
        let (own, stated) = (reference.clone(), Some(emitted));
        let pdu = Pdu {
            reference: own,
            context,
            prev,
            depth: stated,
            kind,
            state,
            to,
            bytes: bytes.clone(),
            proof: PduProof::Sender,
        };
        let stored = StoredPdu { pdu, sender, verified, received, standing };
        step.changes.push(Change::PduStored(Box::new(stored)));
        timeline.recent.put(reference.clone(), (depth, false));
        if let Some((key, piece)) = counts {
            let (links, recent) = (&mut pending.links, &timeline.recent);
            let counted = current_state.resolve_with(step, links, recent, key, piece, None).await;
            current_state.apply(step, participants, counted).await;
        }
        (reference, bytes)
    }
}

#[cfg(test)]
mod tests;
