//! The participants of a context: the servers that the messenger names, and those that follow from the state. A server
//! becomes a participant when one of its users joins, and leaves with the last of them. Only current state counts.
//!
//! The messenger has the last word: a server that it names participates until its last user leaves; one that it removes
//! becomes a participant again with the next user that joins.

use std::collections::HashSet;
use std::sync::Arc;

use crate::change::Change;
use crate::context::missing::missing_parent::FetchCandidates;
use crate::context::step::ContextStep;
use crate::errors::ContextError;
use crate::limits::ContextLimits;
use crate::model::{ContextId, CountedNoun, FeedItem, Membership, MembershipSource, PduText, ServerName, StateEntry};

/// The participants of one context.
pub(crate) struct ContextParticipants {
    context: ContextId,
    us: ServerName,
    limits: Arc<ContextLimits>,
    text: Arc<dyn PduText>,
    /// Servers that participate beside us, without duplicates.
    servers: Vec<ServerName>,
    /// Number of joined users per server according to the current state; servers without users are not listed.
    members: Vec<(ServerName, u64)>,
    /// True if the context was created by a PDU from a peer and not by the local messenger.
    adopted: bool,
}

impl ContextParticipants {
    /// Returns the participants that were loaded from the store.
    pub(crate) fn load(
        context: ContextId,
        us: ServerName,
        limits: Arc<ContextLimits>,
        text: Arc<dyn PduText>,
        (servers, members, adopted): (Vec<ServerName>, Vec<(ServerName, u64)>, bool),
    ) -> Self {
        Self { context, us, limits, text, servers, members, adopted }
    }

    /// Works with these limits from now on.
    pub(crate) fn change_limits(&mut self, limits: &Arc<ContextLimits>) {
        self.limits = limits.clone();
    }

    pub(crate) const fn us(&self) -> &ServerName {
        &self.us
    }

    pub(crate) fn is_us(&self, server: &ServerName) -> bool {
        *server == self.us
    }

    /// Returns the servers that participate beside us.
    pub(crate) fn servers(&self) -> &[ServerName] {
        &self.servers
    }

    pub(crate) fn members(&self) -> &[(ServerName, u64)] {
        &self.members
    }

    pub(crate) const fn is_adopted(&self) -> bool {
        self.adopted
    }

    /// Returns whether a peer created the context and it has no participant yet.
    pub(crate) const fn are_unknown(&self) -> bool {
        self.adopted && self.servers.is_empty()
    }

    pub(crate) fn contains(&self, server: &ServerName) -> bool {
        self.servers.contains(server)
    }

    /// Returns whether PDUs that the server created are accepted.
    pub(crate) fn takes_part(&self, server: &ServerName) -> bool {
        self.limits.open || self.is_us(server) || self.contains(server)
    }

    /// Returns the servers that may have missing PDUs.
    pub(crate) fn candidates(&self) -> FetchCandidates<'_> {
        FetchCandidates { us: &self.us, participants: &self.servers, open: self.limits.open }
    }

    /// Returns the membership that a state PDU states, if its type is a membership type.
    pub(crate) fn membership(&self, kind: &Arc<str>, key: &str, text: MembershipSource<'_>) -> Option<Membership> {
        let speaks = self.limits.membership_types.iter().any(|speaks| **speaks == **kind);
        speaks.then(|| self.text.membership(key, text)).flatten()
    }

    /// Returns whether the server would become a participant by a user that joins.
    pub(crate) fn would_join(&self, server: &ServerName) -> bool {
        *server != self.us && !self.contains(server) && self.has_room()
    }

    fn has_room(&self) -> bool {
        self.servers.len() < self.limits.participants_max as usize
    }

    /// Sets the participants that the messenger names. `is_new`: nothing was accepted yet; `is_stored`: the context has a
    /// row.
    pub(crate) fn set(
        &mut self,
        step: &mut ContextStep<'_>,
        servers: Vec<ServerName>,
        is_new: bool,
        is_stored: bool,
    ) -> Result<(), ContextError> {
        let mut seen = HashSet::from([self.us.clone()]);
        let servers: Vec<ServerName> = servers.into_iter().filter(|server| seen.insert(server.clone())).collect();
        let max = self.limits.participants_max;
        if servers.len() > max as usize {
            return Err(ContextError::TooManyParticipants { count: servers.len(), max });
        }
        let adopted = self.adopted && !is_new;
        let is_other = self.servers != servers;
        step.admitted = servers.iter().any(|server| !self.contains(server));
        step.record_dirty |= !is_stored || is_other || self.adopted != adopted;
        self.adopted = adopted;
        self.servers = servers;
        Ok(())
    }

    /// Adds the server from which the messenger joins the context.
    pub(crate) fn join_via(&mut self, step: &mut ContextStep<'_>, via: &ServerName) -> Result<(), ContextError> {
        if !self.contains(via) {
            if !self.has_room() {
                let (count, max) = (self.servers.len() + 1, self.limits.participants_max);
                return Err(ContextError::TooManyParticipants { count, max });
            }
            self.servers.push(via.clone());
            step.admitted = true;
        }
        self.adopted = false;
        step.record_dirty = true;
        Ok(())
    }

    /// Sets the participants of a context that a PDU creates: its origin and its sender. The origins of its parents do not
    /// participate, because a PDU can name any server. Returns false if there are more than the limit allows.
    pub(crate) fn begin_with(&mut self, step: &mut ContextStep<'_>, origin: &ServerName, from: &ServerName) -> bool {
        let mut servers = vec![origin.clone()];
        servers.extend(Some(from).filter(|from| *from != origin).cloned());
        servers.retain(|server| *server != self.us);
        if servers.len() > self.limits.participants_max as usize {
            return false;
        }
        self.servers = servers;
        step.record_dirty = true;
        true
    }

    /// Adds the origin of a PDU to an open context, as long as there is room.
    pub(crate) fn add_if_open(&mut self, step: &mut ContextStep<'_>, origin: &ServerName) {
        if self.limits.open && !self.is_us(origin) && !self.contains(origin) && self.has_room() {
            self.servers.push(origin.clone());
            step.record_dirty = true;
        }
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
            self.servers.push(server.clone());
            step.record_dirty = true;
            step.admitted = true;
        }
        if !self.contains(&server) {
            let (context, max) = (&self.context, self.limits.participants_max);
            let text = format!(
                "{server} joined {context} by state but is not a participant, because the context has {} already \
                 (contexts.participants_max); raise the limit, then add it as a participant",
                CountedNoun(max.into(), "participant")
            );
            return step.changes.push(Change::FeedAppended(FeedItem::Notice { text, server: Some(server) }));
        }
        step.record_dirty = true;
        match self.members.iter_mut().find(|(other, _)| *other == server) {
            Some((_, count)) => *count += 1,
            None => self.members.push((server, 1)),
        }
    }

    fn leaves(&mut self, step: &mut ContextStep<'_>, server: &ServerName) {
        let Some(place) = self.members.iter().position(|(other, _)| other == server) else { return };
        step.record_dirty = true;
        let (_, count) = &mut self.members[place];
        *count -= 1;
        if *count == 0 {
            self.members.remove(place);
            self.servers.retain(|other| other != server);
        }
    }
}

#[cfg(test)]
mod tests;
