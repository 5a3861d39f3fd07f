//! One missing PDU: which servers may have it, how often each was asked, and whom to ask next.

use crate::limits::GapLimits;
use crate::model::{Millis, PduRef, ServerName};

/// Maximum number of servers asked for one parent: a context may have a thousand, and a parent that sixteen do not have
/// is assumed to be lost.
const CANDIDATES_MAX: usize = 16;

/// The servers that may have missing PDUs.
#[derive(Clone, Copy)]
pub(crate) struct FetchCandidates<'a> {
    /// Name of this server, which is never asked.
    pub(crate) us: &'a ServerName,
    /// Participants of the context.
    pub(crate) participants: &'a [ServerName],
    /// True if other servers are admitted, so that they may be asked too.
    pub(crate) open: bool,
}

/// A missing PDU: one that is neither delivered nor held.
pub(crate) struct MissingParent {
    pub(super) first: Millis,
    /// True if no PDU waits for it, because it is only the `prev_state` of a state PDU.
    pub(crate) link: bool,
    /// True if only PDUs held for state wait for it, or none.
    pub(crate) for_state: bool,
    /// True if the PDUs that name it are history; it is then history, too.
    pub(crate) old: bool,
    /// True if a history fetch has reached it and continues with its parents.
    pub(crate) past: bool,
    /// True if it precedes the first batch of a new context.
    pub(crate) edge: bool,
    /// True if a repair asked for it: if no PDU waits for it, it is no gap when it is given up.
    pub(crate) repair: bool,
    /// Number of fetches in a row, including its own, that lead to it from a PDU that arrived by itself.
    pub(crate) generation: u32,
    /// True if it was fetched and quarantined, so that this is reported once.
    pub(crate) parked: bool,
    /// Peers that sent its children.
    pub(super) senders: Vec<ServerName>,
    tries: Vec<FetchTries>,
    pub(super) round: u32,
    pub(super) ask_at: Option<Millis>,
}

struct FetchTries {
    server: ServerName,
    /// Number of rounds in which it was its turn.
    asked: u32,
    /// Number of those rounds in which it was not asked after all, because nothing is sent to it.
    declined: u32,
    heard: bool,
}

impl MissingParent {
    /// Returns a missing PDU for which no PDU waits yet.
    pub(super) fn new(now: Millis, ask_at: Millis, edge: bool, generation: u32) -> Self {
        let (senders, tries) = (vec![], vec![]);
        Self {
            first: now,
            link: true,
            for_state: true,
            old: false,
            past: false,
            edge,
            repair: false,
            generation,
            parked: false,
            senders,
            tries,
            round: 0,
            ask_at: Some(ask_at),
        }
    }

    /// Records that a peer sent a child of it.
    pub(super) fn note_sender(&mut self, sender: &ServerName) {
        if self.senders.len() < CANDIDATES_MAX && !self.senders.contains(sender) {
            self.senders.push(sender.clone());
        }
    }

    fn tries(&self, server: &ServerName) -> Option<&FetchTries> {
        self.tries.iter().find(|tries| tries.server == *server)
    }

    fn tries_mut(&mut self, server: &ServerName) -> Option<&mut FetchTries> {
        self.tries.iter_mut().find(|tries| tries.server == *server)
    }

    fn asked(&self, server: &ServerName) -> u32 {
        self.tries(server).map_or(0, |tries| tries.asked)
    }

    /// Returns whether no server was asked for it.
    pub(super) const fn is_never_asked(&self) -> bool {
        self.tries.is_empty()
    }

    pub(super) fn has_heard(&self, server: &ServerName) -> bool {
        self.tries(server).is_some_and(|tries| tries.heard)
    }

    fn has_tries_left(&self, server: &ServerName, limits: &GapLimits) -> bool {
        self.tries(server).map_or(0, |tries| tries.asked - tries.declined) < limits.tries_max.max(1)
    }

    pub(super) fn note_ask(&mut self, server: &ServerName) {
        match self.tries_mut(server) {
            Some(tries) => tries.asked += 1,
            None => self.tries.push(FetchTries { server: server.clone(), asked: 1, declined: 0, heard: false }),
        }
    }

    /// Takes back a request that was not sent: it is the server's turn again.
    pub(super) fn note_put_off(&mut self, server: &ServerName) {
        if let Some(tries) = self.tries_mut(server) {
            tries.asked = tries.asked.saturating_sub(1);
        }
    }

    /// Records that nothing was sent to the server; `unreachable` if that was so until the end.
    pub(super) fn note_declined(&mut self, server: &ServerName, unreachable: bool) {
        if let Some(tries) = self.tries_mut(server) {
            tries.declined += 1;
            tries.heard |= unreachable;
        }
    }

    pub(super) fn note_heard(&mut self, server: &ServerName) {
        if let Some(tries) = self.tries_mut(server) {
            tries.heard = true;
        }
    }

    /// Returns the peer whose budget pays for a fetch from `of`: that server if it sent a child, otherwise the senders in
    /// turn, because one sender's budget must not pay for all of them.
    pub(super) fn payer<'a>(&'a self, of: &'a ServerName) -> &'a ServerName {
        if self.senders.is_empty() || self.senders.contains(of) {
            return of;
        }
        let asks: u32 = self.tries.iter().map(|tries| tries.asked).sum();
        &self.senders[asks as usize % self.senders.len()]
    }

    /// Returns whether the time has passed after which the PDU is given up.
    pub(super) fn is_over(&self, clock: Millis, limits: &GapLimits) -> bool {
        clock >= self.first.after(limits.give_up)
    }

    /// Returns the sender of the child, the origin of the parent, then the others, each once. An origin that is no participant
    /// is not asked, because what it sends is not accepted; at the history edge it is.
    pub(super) fn candidates(&self, reference: &PduRef, servers: FetchCandidates<'_>) -> Vec<ServerName> {
        let is_heard = |origin: &&ServerName| self.edge || servers.open || servers.participants.contains(origin);
        let origin = Some(&reference.origin).filter(is_heard);
        let mut candidates: Vec<ServerName> = vec![];
        for server in self.senders.iter().chain(origin).chain(servers.participants) {
            if candidates.len() == CANDIDATES_MAX {
                break;
            }
            if server != servers.us && !candidates.contains(server) {
                candidates.push(server.clone());
            }
        }
        candidates
    }

    /// Returns the server to ask in this round: the first of those that were asked least often. When the time is over
    /// (`clock`), only servers without a response are left to ask, whatever the round.
    pub(super) fn pick(
        &self,
        clock: Millis,
        reference: &PduRef,
        servers: FetchCandidates<'_>,
        limits: &GapLimits,
    ) -> Option<ServerName> {
        let mut candidates = self.candidates(reference, servers).into_iter();
        if self.is_over(clock, limits) {
            return candidates.find(|server| !self.has_heard(server));
        }
        let may = |server: &ServerName| self.asked(server) <= self.round && self.has_tries_left(server, limits);
        candidates.filter(may).min_by_key(|server| self.asked(server))
    }

    /// Begins the next round. Returns whether a server is left for it: one that was not asked as often as it may be.
    pub(super) fn next_round(&mut self, reference: &PduRef, servers: FetchCandidates<'_>, limits: &GapLimits) -> bool {
        self.round += 1;
        self.candidates(reference, servers).iter().any(|server| self.has_tries_left(server, limits))
    }
}
