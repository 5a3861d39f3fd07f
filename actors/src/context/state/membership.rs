//! Participants derived from the state of the context: a server becomes a participant when one of its users joins, and
//! leaves with the last of them. Only current state counts.
//!
//! The messenger has the last word: a server that it names participates until its last user leaves; one that it removes
//! becomes a participant again with the next user that joins.

use std::sync::Arc;

use crate::change::Change;
use crate::context::machine::ContextMachine;
use crate::context::step::ContextStep;
use crate::model::{CountedNoun, FeedItem, Membership, MembershipSource, ServerName, StateEntry};

impl ContextMachine {
    /// Returns the membership that a state PDU states, if its type is a membership type.
    pub(crate) fn membership(&self, kind: &Arc<str>, key: &str, text: MembershipSource<'_>) -> Option<Membership> {
        let speaks = self.limits.membership_types.iter().any(|speaks| **speaks == **kind);
        speaks.then(|| self.text.membership(key, text)).flatten()
    }

    /// Returns whether the server would become a participant by a user that joins.
    pub(crate) fn would_join(&self, server: &ServerName) -> bool {
        let participants = &self.record.participants;
        let has_room = participants.len() < self.limits.participants_max as usize;
        *server != self.us && !participants.contains(server) && has_room
    }

    /// Updates members and participants after the current state of a membership key has changed.
    pub(crate) fn member_moved(
        &mut self,
        step: &mut ContextStep<'_>,
        before: Option<&StateEntry>,
        now: Option<&StateEntry>,
    ) {
        let joined = |piece: Option<&StateEntry>| {
            let member = piece.and_then(|piece| piece.member.as_ref()).filter(|member| member.joins);
            member.map(|member| member.server.clone()).filter(|server| *server != self.us)
        };
        let (before, now) = (joined(before), joined(now));
        if before == now {
            return;
        }
        if let Some(server) = now {
            self.joins(step, server);
        }
        if let Some(server) = before {
            self.leaves(step, &server);
        }
    }

    fn joins(&mut self, step: &mut ContextStep<'_>, server: ServerName) {
        if self.would_join(&server) {
            self.record.participants.push(server.clone());
            step.record_dirty = true;
            step.admitted = true;
        }
        if !self.record.participants.contains(&server) {
            let (context, max) = (&self.record.context, self.limits.participants_max);
            let text = format!(
                "{server} joined {context} by state but is not a participant, because the context has {} already \
                 (contexts.participants_max); raise the limit, then add it as a participant",
                CountedNoun(max.into(), "participant")
            );
            return step.changes.push(Change::FeedAppended(FeedItem::Notice { text, server: Some(server) }));
        }
        step.record_dirty = true;
        match self.record.members.iter_mut().find(|(other, _)| *other == server) {
            Some((_, count)) => *count += 1,
            None => self.record.members.push((server, 1)),
        }
    }

    fn leaves(&mut self, step: &mut ContextStep<'_>, server: &ServerName) {
        let Some(place) = self.record.members.iter().position(|(other, _)| other == server) else { return };
        step.record_dirty = true;
        let (_, count) = &mut self.record.members[place];
        *count -= 1;
        if *count == 0 {
            self.record.members.remove(place);
            self.record.participants.retain(|other| other != server);
        }
    }
}

#[cfg(test)]
mod tests;
