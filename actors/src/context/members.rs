//! Participants derived from the state of the context: a server becomes a participant when one of its users joins, and
//! leaves with the last of them. Only current state counts.
//!
//! The messenger has the last word: a server that it names participates until its last user leaves; one that it removes
//! becomes a participant again with the next user that joins.

use std::sync::Arc;

use crate::change::Change;
use crate::context::machine::Machine;
use crate::context::step::Step;
use crate::model::{Counted, FeedItem, Membership, ServerName, Spoken, StatePiece};

impl Machine {
    /// Returns the membership that a state PDU states, if its type is a membership type.
    pub(super) fn membership(&self, kind: &Arc<str>, key: &str, text: Spoken<'_>) -> Option<Membership> {
        let speaks = self.limits.membership_types.iter().any(|speaks| **speaks == **kind);
        speaks.then(|| self.text.membership(key, text)).flatten()
    }

    /// Returns whether the server would become a participant by a user that joins.
    pub(super) fn comes_in(&self, server: &ServerName) -> bool {
        let participants = &self.record.participants;
        let has_room = participants.len() < self.limits.participants_max as usize;
        *server != self.us && !participants.contains(server) && has_room
    }

    /// Updates members and participants after the current state of a membership key has changed.
    pub(super) fn member_moved(&mut self, step: &mut Step<'_>, before: Option<&StatePiece>, now: Option<&StatePiece>) {
        let joined = |piece: Option<&StatePiece>| {
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

    fn joins(&mut self, step: &mut Step<'_>, server: ServerName) {
        if self.comes_in(&server) {
            self.record.participants.push(server.clone());
            step.moved = true;
            step.admitted = true;
        }
        if !self.record.participants.contains(&server) {
            let (context, max) = (&self.record.context, self.limits.participants_max);
            let text = format!(
                "{server} is named as a member of {context}, which has {} already, the most it may \
                 (contexts.participants_max); it is not counted in: raise the limit, then name it as a participant",
                Counted(max.into(), "participant")
            );
            return step.changes.push(Change::Fed(FeedItem::Notice { text, server: Some(server) }));
        }
        step.moved = true;
        match self.record.members.iter_mut().find(|(other, _)| *other == server) {
            Some((_, count)) => *count += 1,
            None => self.record.members.push((server, 1)),
        }
    }

    fn leaves(&mut self, step: &mut Step<'_>, server: &ServerName) {
        let Some(place) = self.record.members.iter().position(|(other, _)| other == server) else { return };
        step.moved = true;
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
