//! Delivery through a third server while the peer itself cannot be reached; see `docs/protocol.md#third-servers`.
//!
//! ```text
//!   Direct    -- unreachable for relay.after, or the route has no "direct" --> Relaying
//!   Relaying  -- the peer has answered, or sending is suspended ------------> Direct
//! ```
//!
//! What is relayed stays in the queue unacknowledged: the peer's own acknowledgement alone removes it. So an item that a relay
//! loses is sent by us in the end, and the receiver skips what it has. If another relay is chosen, it gets everything from the
//! first unacknowledged item on, because nobody knows what the one before it still delivers.

use std::sync::Arc;
use std::time::Duration;

use crate::limits::PeerLimits;
use crate::limits::relay::RelayLimits;
use crate::model::{Index, Item, Millis, OutboxRow, PushFailure, RelayRecord, Seq, ServerName};

/// The state of a server of the route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViaState {
    /// The server.
    pub server: ServerName,
    /// True if it is a peer and we are sending to it.
    pub is_usable: bool,
    /// True if it takes numbered updates; otherwise it passes on PDUs alone, and none but those of its own contexts.
    pub has_numbers: bool,
    /// Number of items for which its outbox has room.
    pub room: u64,
    /// Indexes of the rows whose PDUs are for it as well, if it takes no numbered updates: it takes a PDU as any participant of the
    /// context does, so that no other one is given to it.
    pub shared: Vec<Index>,
}

/// An item that goes to the outbox of a relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayedItem {
    /// Index in the outbox of the peer.
    pub index: Index,
    /// Its number in our sequence to the peer.
    pub number: Seq,
    /// The item.
    pub item: Item,
}

/// Work of the actor for a relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RelayWork {
    /// Read rows of the outbox from this index on, and look at the servers of the route.
    Load(Index),
    /// Queue these items at this server, up to this index.
    Queue(ServerName, Vec<RelayedItem>, Index),
}

/// The result of the work for a relay, or the time for more.
#[derive(Debug, Clone)]
pub enum RelayEvent {
    /// The time has come at which something may have to be relayed.
    Due,
    /// Rows were read from this index on, and the servers of the route looked at, in the order of the route.
    Loaded(Index, Result<Vec<OutboxRow>, String>, Vec<ViaState>),
    /// The items up to this index were queued at this server.
    Queued(ServerName, Index),
    /// This server has refused to pass on, with this code.
    Refused(ServerName, String),
}

/// The facts about the queue and the state of delivery that decide whether something is relayed.
#[derive(Debug, Clone, Copy)]
pub(super) struct QueueFacts {
    /// Newest acknowledged index.
    pub(super) acked: Index,
    /// Newest index.
    pub(super) tail: Index,
    /// True if sending is not suspended for a reason other than that the peer cannot be reached.
    pub(super) may_send: bool,
}

/// The choice between the peer itself and the servers of its route.
#[derive(Debug, Clone)]
pub(super) struct RelayRoute {
    limits: Arc<PeerLimits>,
    /// First of the failures in a row that show that the peer cannot be reached. It is recorded for each peer, because the
    /// configuration may name a server for it later.
    failing_since: Option<Millis>,
    /// Boxed and made with the first server of the route, because most peers have none, and a waiting peer takes little memory.
    through: Option<Box<ThirdServers>>,
}

/// The use of the servers of a route.
#[derive(Debug, Clone, Default)]
struct ThirdServers {
    /// True while they are used.
    active: bool,
    /// Relay in use, and the index up to which it was given everything.
    via: Option<(ServerName, Index)>,
    /// Servers that refused to pass on, each with the time until which it is not used.
    refused: Vec<(ServerName, Millis)>,
    /// First index of the rows that are being read or queued.
    working_from: Option<Index>,
    /// Time of the next look at the servers of the route.
    look_at: Option<Millis>,
    /// True if nothing could be queued at the last look, so that nothing is tried before the next one.
    is_blocked: bool,
    /// Time that the timer is set to.
    timer: Option<Millis>,
}

impl ThirdServers {
    fn next(&self, acked: Index) -> Index {
        self.via.as_ref().map_or(acked, |(_, upto)| (*upto).max(acked)).next()
    }

    /// Forgets the relay once the peer has acknowledged everything that it was given.
    fn follow_acked(&mut self, acked: Index) {
        if self.via.as_ref().is_some_and(|(_, upto)| *upto <= acked) && !self.active {
            self.via = None;
        }
    }

    /// Decides what to do, at most every `probe` unless items are new.
    fn step(&mut self, now: Millis, facts: QueueFacts, probe: Duration) -> Option<RelayWork> {
        self.follow_acked(facts.acked);
        if !self.active {
            self.look_at = None;
            return None;
        }
        let next = self.next(facts.acked);
        // At the end of the queue the servers are only looked at, because the one in use may be unreachable by now.
        let is_due = self.look_at.is_none_or(|at| at <= now);
        let has_work = facts.tail > facts.acked && (is_due || (next <= facts.tail && !self.is_blocked));
        if self.working_from.is_some() || !has_work {
            return None;
        }
        self.is_blocked = false;
        self.look_at = Some(now.after(probe));
        self.working_from = Some(next);
        Some(RelayWork::Load(next))
    }
}

impl RelayRoute {
    /// Returns the state that was loaded from the store.
    pub(super) fn new(limits: &Arc<PeerLimits>, record: &RelayRecord) -> Self {
        let mut route = Self { limits: limits.clone(), failing_since: record.failing_since, through: None };
        route.change_limits(limits);
        if let Some(through) = &mut route.through {
            through.via = record.via.clone().filter(|(via, _)| limits.relay.vias().any(|other| other == via));
        }
        route
    }

    /// Writes its part of the record.
    pub(super) fn record(&self) -> RelayRecord {
        RelayRecord { failing_since: self.failing_since, via: self.relayed().cloned() }
    }

    /// Works with these limits from now on.
    pub(super) fn change_limits(&mut self, limits: &Arc<PeerLimits>) {
        self.limits = limits.clone();
        if self.has_servers() {
            self.through.get_or_insert_default();
        }
        if let Some(through) = &mut self.through {
            through.via.take_if(|(via, _)| !limits.relay.vias().any(|other| other == via));
        }
    }

    fn relay(&self) -> &RelayLimits {
        &self.limits.relay
    }

    fn has_servers(&self) -> bool {
        self.relay().vias().next().is_some()
    }

    /// Returns whether servers of the route are used now.
    pub(super) fn is_active(&self) -> bool {
        self.through.as_ref().is_some_and(|through| through.active)
    }

    /// Returns the relay, and the index up to which it has everything that is not acknowledged.
    pub(super) fn relayed(&self) -> Option<&(ServerName, Index)> {
        self.through.as_ref()?.via.as_ref()
    }

    /// Records the outcome of an attempt at the peer itself.
    pub(super) fn attempted(&mut self, now: Millis, failure: Option<&PushFailure>) {
        match failure {
            Some(
                PushFailure::Unreachable(_)
                | PushFailure::Broken(_)
                | PushFailure::TimedOut
                | PushFailure::Troubled { status: 502..=504, .. },
            ) => {
                self.failing_since.get_or_insert(now);
            }
            // The peer, or what stands before it, refuses us: that is no proof that it can be reached, nor that it cannot.
            Some(PushFailure::Refused { .. } | PushFailure::Redirected { .. } | PushFailure::Unreadable(_)) => {}
            Some(PushFailure::Troubled { .. } | PushFailure::AnswerTooLarge { .. }) | None => {
                self.failing_since = None;
            }
        }
    }

    /// Returns the time from which the peer counts as unreachable, if it has failed.
    fn starts_at(&self) -> Option<Millis> {
        match self.relay().is_direct() {
            true => self.failing_since.map(|since| since.after(self.relay().after)),
            false => Some(Millis(0)),
        }
    }

    /// Decides whether servers of the route are used, and what to do for it.
    pub(super) fn step(&mut self, now: Millis, facts: QueueFacts) -> Option<RelayWork> {
        let may_relay = facts.may_send && self.has_servers();
        let is_active = may_relay && self.starts_at().is_some_and(|start| start <= now);
        let through = self.through.as_mut()?;
        through.active = is_active;
        through.step(now, facts, self.limits.relay.probe)
    }

    /// Returns the time at which [`step`](Self::step) has to be called.
    fn due(&self, facts: QueueFacts) -> Option<Millis> {
        let through = self.through.as_ref()?;
        let waits = facts.may_send && facts.tail > facts.acked && self.has_servers();
        if through.active { through.look_at } else { self.starts_at() }.filter(|_| waits)
    }

    /// Returns the time at which [`step`](Self::step) has to be called, if it is another one than before.
    pub(super) fn new_due(&mut self, facts: QueueFacts) -> Option<Option<Millis>> {
        let due = self.due(facts);
        let before = std::mem::replace(&mut self.through.as_mut()?.timer, due);
        (before != due).then_some(due)
    }

    /// Handles rows that were read, and the servers of the route: returns the items to queue, and where.
    pub(super) fn loaded(
        &mut self,
        now: Millis,
        from: Index,
        rows: Vec<RelayedItem>,
        vias: &[ViaState],
        acked: Index,
    ) -> Option<RelayWork> {
        let through = self.through.as_deref_mut()?;
        if through.working_from.take() != Some(from) || !through.active {
            return None;
        }
        through.refused.retain(|(_, until)| *until > now);
        // An update without a number of ours has no place in a sequence, so a forward is for a peer that we number updates for.
        let has_numbers = self.limits.dialect.numbers_items();
        let is_usable = |via: &&ViaState| {
            let is_refused = through.refused.iter().any(|(other, _)| *other == via.server);
            via.is_usable && (has_numbers || !via.has_numbers) && !is_refused
        };
        let in_use = through.via.as_ref().and_then(|(via, _)| vias.iter().find(|other| other.server == *via));
        let Some(via) = in_use.filter(is_usable).or_else(|| vias.iter().find(is_usable)) else {
            through.via = None;
            through.is_blocked = true;
            return None;
        };
        if through.via.as_ref().is_none_or(|(other, _)| *other != via.server) {
            let before = through.next(acked);
            through.via = Some((via.server.clone(), acked));
            if before != through.next(acked) {
                // Another relay gets everything that is not acknowledged; the next step reads it.
                return None;
            }
        }
        let room = usize::try_from(via.room).unwrap_or(usize::MAX);
        let items: Vec<RelayedItem> = rows.into_iter().take(room).collect();
        let Some(upto) = items.last().map(|item| item.index) else {
            through.is_blocked = true;
            return None;
        };
        // A forward is passed on by its own sender only, so it waits for the peer itself; so does what the relay cannot carry.
        let is_carried = |item: &RelayedItem| match item.item {
            Item::Pdu(..) => via.has_numbers || via.shared.contains(&item.index),
            Item::Update(_) => via.has_numbers,
            Item::Forward(..) => false,
        };
        let items = items.into_iter().filter(is_carried).collect();
        through.working_from = Some(from);
        Some(RelayWork::Queue(via.server.clone(), items, upto))
    }

    /// Records that the items up to this index were queued at a relay. Returns whether that is news.
    pub(super) fn queued(&mut self, via: &ServerName, upto: Index) -> bool {
        let Some(through) = &mut self.through else { return false };
        through.working_from = None;
        match &mut through.via {
            Some((used, last)) if used == via && *last < upto => {
                *last = upto;
                true
            }
            _ => false,
        }
    }

    /// Handles the refusal of a server to pass on. Returns whether it is the first one since it is used.
    pub(super) fn refused(&mut self, now: Millis, via: &ServerName) -> bool {
        let until = now.after(self.relay().retry);
        let through = self.through.get_or_insert_default();
        if through.via.take_if(|(used, _)| used == via).is_some() {
            through.look_at = None;
        }
        if through.refused.iter().any(|(other, until)| other == via && *until > now) {
            return false;
        }
        through.refused.retain(|(other, _)| other != via);
        through.refused.push((via.clone(), until));
        true
    }
}

#[cfg(test)]
mod tests;
