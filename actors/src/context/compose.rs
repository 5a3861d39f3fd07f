//! What our messenger says gets its place: all forward edges as parents, a depth, and for state what it replaces.
//!
//! Serial in memory, pipelined on disk: the next PDU may name one that is handed over and not committed.

use std::collections::HashMap;
use std::sync::Arc;

use crate::change::Change;
use crate::context::heads;
use crate::context::machine::Machine;
use crate::context::step::Step;
use crate::model::{
    Berth, Composed, Delivery, Draft, FeedItem, Head, Pdu, PduRef, Refusal, ServerName, Standing, StateSlot, StoredPdu,
    Submission, Submitted,
};

impl Machine {
    pub(super) fn compose(
        &mut self,
        step: &mut Step,
        drafts: Vec<Draft>,
        shut: &[(ServerName, &'static str)],
        holders: &HashMap<(Arc<str>, String), PduRef>,
    ) -> Vec<Result<Composed, Refusal>> {
        drafts.into_iter().map(|draft| self.compose_one(step, draft, shut, holders)).collect()
    }

    fn compose_one(
        &mut self,
        step: &mut Step,
        draft: Draft,
        shut: &[(ServerName, &'static str)],
        holders: &HashMap<(Arc<str>, String), PduRef>,
    ) -> Result<Composed, Refusal> {
        let audience = self.audience(&draft)?;
        let why = |server: &ServerName| shut.iter().find(|(other, _)| other == server).map(|(_, reason)| *reason);
        let (left_out, peers): (Vec<_>, Vec<_>) = audience.into_iter().partition(|server| why(server).is_some());
        let (reference, bytes) = self.berth(step, &draft, holders);
        for server in left_out {
            let (message, state, reason) = (draft.submission.clone(), "parked", why(&server).map(str::to_owned));
            step.changes.push(Change::Fed(FeedItem::Delivery { message, server, state, reason }));
        }
        let Draft { submission: id, digest, accepted, .. } = draft;
        let (what, servers) = (Submitted::Pdu(reference.clone(), bytes), peers.clone());
        step.changes.push(Change::Submitted(Submission { id, digest, accepted, servers, what }));
        Ok(Composed { reference, peers })
    }

    /// Whom it goes to: everybody else, or those it is narrowed to, each once.
    fn audience(&self, draft: &Draft) -> Result<Vec<ServerName>, Refusal> {
        let Some(to) = &draft.to else { return Ok(self.record.participants.clone()) };
        let mut audience: Vec<ServerName> = vec![];
        for server in to {
            if *server == self.us || audience.contains(server) {
                continue;
            }
            if !self.record.participants.contains(server) {
                let (server, context) = (server.clone(), self.record.context.clone());
                return Err(Refusal::NotAParticipant { server, context });
            }
            audience.push(server.clone());
        }
        Ok(audience)
    }

    /// Give it its place, and write it.
    fn berth(
        &mut self,
        step: &mut Step,
        draft: &Draft,
        holders: &HashMap<(Arc<str>, String), PduRef>,
    ) -> (PduRef, bytes::Bytes) {
        let reference = PduRef { origin: self.us.clone(), id: draft.id.clone() };
        let context = self.record.context.clone();
        let (prev, depth) = heads::parents(&self.record.heads);
        let key = draft.state.as_ref().map(|(key, _)| (draft.kind.clone(), key.clone()));
        // Memory first: what was handed over may not be committed yet.
        let prev_state = key.as_ref().and_then(|key| self.holders.get(key).or_else(|| holders.get(key)).cloned());
        let state = draft.state.as_ref().map(|(key, power_level)| StateSlot {
            key: key.clone(),
            power_level: *power_level,
            prev: prev_state.clone(),
        });
        let berth = Berth { context: context.clone(), prev: prev.clone(), depth, prev_state };
        let bytes = self.text.compose(&self.us, draft, &berth);
        let position = self.next_position(step, depth);
        let standing = Standing::Delivered(Delivery { position, depth, shown: None });
        let (kind, received) = (draft.kind.clone(), draft.accepted);
        // Others never saw one that was narrowed: it is nobody's parent, and what it names stays an edge.
        if draft.to.is_none() {
            heads::advance(&mut self.record.heads, &prev, Some(Head { reference: reference.clone(), depth }));
        }
        let pdu =
            Pdu { reference: reference.clone(), context, prev, depth: Some(depth), kind, state, bytes: bytes.clone() };
        let stored = StoredPdu { pdu, sender: None, verified: "own", received, standing };
        step.changes.push(Change::PduStored(Box::new(stored)));
        self.recent.insert(reference.clone(), depth);
        if let Some((kind, key)) = key {
            self.hold_state(step, kind, key, &reference);
        }
        (reference, bytes)
    }
}

#[cfg(test)]
mod tests;
