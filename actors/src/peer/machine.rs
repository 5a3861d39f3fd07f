//! The state machine of a peer: it joins the inbound and outbound halves, takes events and returns effects. Pure: no
//! clock, no randomness, no I/O.

use std::sync::Arc;

use crate::change::Change;
use crate::change::Urgency;
use crate::limits::PeerLimits;
use crate::model::{
    Answered, Cause, ContextId, Index, Millis, Order, PeerRecord, PeerState, PeerStatus, Pulled, PushFailure, Refusal,
    ServerName, Verdict, Want,
};
use crate::model::{FeedItem, OutboxRow, PeerLoad};
use crate::peer::budget::{Budget, Spent, UsedUp};
use crate::peer::dispatch::{Group, Strange, Undone};
use crate::peer::effect::{Effect, Out, Pull, Token};
use crate::peer::inbound::{Frame, Inbound};
use crate::peer::notices::HourlyNotice;
use crate::peer::outbound::{Moment, Outbound};
use crate::peer::weak::Fleeting;

/// An event for the state machine.
#[derive(Debug, Clone)]
pub enum Event {
    /// The actor has loaded.
    Started,
    /// The actor has loaded as faulty, after too many crashes.
    GivenUp,
    /// The peer sent a batch.
    Accept(Token, Frame, Strange),
    /// A context has returned the outcome for its part of a batch.
    Dispatched(Group, Result<Vec<Verdict>, Undone>),
    /// The local messenger sent an ephemeral item for the peer.
    Weak(Fleeting),
    /// A context misses parents of a PDU that the peer sent; the named server may have them.
    Fetch(ContextId, Want, ServerName),
    /// The peer is to be asked for PDUs, charged to the named server.
    Ask(ContextId, Want, ServerName),
    /// A fetch that the peer caused has finished.
    Spent(Spent),
    /// A `pull` request has finished.
    Pulled(Pull, Result<Pulled, PushFailure>, Strange),
    /// The peer's outbox has grown.
    Woken {
        /// Newest index of the outbox.
        tail: Index,
        /// Running sum of the bytes queued for the peer, up to that index.
        queued_bytes: u64,
        /// New rows, or none of them.
        rows: Vec<OutboxRow>,
    },
    /// A read of outbox rows has finished.
    Loaded {
        /// First index that was requested.
        from: Index,
        /// Rows, or the error of the read.
        rows: Result<Vec<OutboxRow>, String>,
    },
    /// An attempt has finished.
    Replied {
        /// Number of the attempt.
        attempt: u64,
        /// Response of the peer, or the failure.
        outcome: Result<Answered, PushFailure>,
    },
    /// An operator sent a command.
    Operator(Token, Order),
    /// The machine's timer has fired.
    Due,
    /// The timer of [`Effect::AskAt`] went off.
    AskDue,
}

/// The state machine of one peer.
#[derive(Debug, Clone)]
pub struct Machine {
    server: ServerName,
    limits: Arc<PeerLimits>,
    outbound: Outbound,
    inbound: Inbound,
    budget: Budget,
    /// When a notice about its numbering was raised last.
    numbering: HourlyNotice,
    /// What the timer of questions is set to.
    asks_at: Option<Millis>,
}

impl Machine {
    /// Returns the machine of a peer of the server `us`, in the state that was loaded from the store.
    pub fn new(us: ServerName, server: ServerName, limits: &Arc<PeerLimits>, load: PeerLoad) -> Self {
        let record = load.record.unwrap_or_else(|| PeerRecord::new(server.clone()));
        Self {
            outbound: Outbound::new(
                us,
                server.clone(),
                limits.clone(),
                &record.outbound,
                (load.tail, load.queued_bytes),
                load.last_error,
            ),
            inbound: Inbound::new(server.clone(), limits.clone(), &record.inbound, load.digests, load.seen),
            limits: limits.clone(),
            budget: Budget::default(),
            numbering: HourlyNotice::default(),
            asks_at: None,
            server,
        }
    }

    /// Handles one event. A batch of changes, if there is one, is the first effect, because the others may depend on
    /// it.
    pub fn step(&mut self, at: Moment, event: Event) -> Vec<Effect> {
        let mut out = Out { now: at.now, numbering: self.numbering, ..Out::default() };
        let could_be_asked = self.outbound.may_ask();
        let contact = matches!(event, Event::Started | Event::Accept(..) | Event::Replied { outcome: Ok(_), .. });
        self.inbound.begin_step(at);
        match event {
            Event::Started => {
                self.inbound.started(&mut out);
                self.outbound.started(at, &mut out);
            }
            Event::GivenUp => self.outbound.give_up(at),
            Event::Accept(token, ..) if self.outbound.state() == PeerState::Suspended(Cause::Faulty) => {
                out.effect(Effect::Answer(token, Err(Refusal::Faulty(self.server.clone()))));
            }
            Event::Accept(token, frame, strange) => {
                self.inbound.accept(token, frame, strange, &mut out);
                self.outbound.contact(at, &mut out);
            }
            Event::Dispatched(group, outcome) => self.inbound.dispatched(&group, outcome, &mut out),
            Event::Weak(fleeting) => self.outbound.weak(at, fleeting, &mut out),
            Event::Fetch(context, want, of) => self.fetch(at, context, want, of, &mut out),
            Event::Ask(context, want, cause) => self.outbound.ask(context, want, cause, &mut out),
            Event::Spent(spent) => self.budget.spend(at.now, self.limits.fetch, spent),
            Event::Pulled(pull, pulled, strange) => {
                self.inbound.pulled(pull, pulled, strange, &mut out);
            }
            Event::Woken { tail, queued_bytes, rows } => self.outbound.woken(at, tail, queued_bytes, rows, &mut out),
            Event::Loaded { from, rows } => self.outbound.loaded(at, from, rows, &mut out),
            Event::Replied { attempt, outcome } => self.outbound.replied(at, attempt, outcome, &mut out),
            Event::Operator(token, order) => self.obey(at, token, order, &mut out),
            Event::Due => self.outbound.due(at, &mut out),
            Event::AskDue => {
                // What was waited for has passed, also where the wall clock was set back meanwhile.
                let due = self.asks_at.take().unwrap_or(at.now);
                self.inbound.ask_due(at.now.max(due), &mut out);
            }
        }
        // All outbound requests pass this check: a paused peer is not asked for transactions either.
        if !self.outbound.may_ask() {
            for asked in out.effects.extract_if(.., |effect| matches!(effect, Effect::Pull(_))) {
                if let Effect::Pull(asked) = asked {
                    self.inbound.put_off(asked);
                }
            }
        } else if contact || !could_be_asked {
            self.inbound.catch_up(&mut out);
        }
        let asks_at = self.inbound.ask_at();
        if asks_at != self.asks_at {
            self.asks_at = asks_at;
            out.effect(Effect::AskAt(asks_at));
        }
        self.finish(out)
    }

    /// Requests missing parents, charged to this peer's budget: the server whose PDU names them pays for the search.
    fn fetch(&mut self, at: Moment, context: ContextId, want: Want, of: ServerName, out: &mut Out) {
        if let Err(UsedUp { key, limit }) = self.budget.allows(at.now, self.limits.fetch) {
            if self.budget.is_news() {
                let server = &self.server;
                let text = format!(
                    "{server} names more parents that are missing here than may be fetched for it within an hour \
                     ({key} = {limit}): what is missing now is given up in time; if it is honest, raise peers.server.\"{server}\".{key}"
                );
                out.change(Change::Fed(FeedItem::Notice { text, server: Some(server.clone()) }));
            }
            return out.effect(Effect::NotAsked { of, context, want });
        }
        if of == self.server {
            return self.outbound.ask(context, want, of, out);
        }
        out.effect(Effect::Ask { of, context, want });
    }

    fn obey(&mut self, at: Moment, token: Token, order: Order, out: &mut Out) {
        if self.outbound.state() == PeerState::Suspended(Cause::Faulty) {
            // The state of a faulty machine may be incomplete, because it may have started without its record. Only a
            // restart helps.
            return out.effect(match order {
                Order::Resume => Effect::Restart(token),
                _ => Effect::Decline(token, Refusal::Faulty(self.server.clone())),
            });
        }
        // What waits for a peer that is not listed may be taken out; to write to it, it has to be listed.
        if !self.limits.listed && !matches!(order, Order::Drop { .. }) {
            return out.effect(Effect::Decline(token, Refusal::UnknownPeer(self.server.clone())));
        }
        match order {
            Order::Suspend => self.outbound.suspend(at, out),
            Order::Resume => self.outbound.resume(at, out),
            Order::Retry => self.outbound.retry(at, out),
            Order::Expect { number, yes } => return self.inbound.expect(token, number, yes, out),
            Order::Renumber { number, yes } => {
                if let Err(refusal) = self.outbound.set_number(at, number, yes, out) {
                    return out.effect(Effect::Decline(token, refusal));
                }
            }
            Order::Drop { message, first, last } => self.outbound.drop_items(at, message, first, last, out),
        }
        out.effect(Effect::Report(token));
    }

    /// Returns the record to store.
    pub fn record(&self) -> PeerRecord {
        PeerRecord { server: self.server.clone(), outbound: self.outbound.record(), inbound: self.inbound.record() }
    }

    /// Returns the status of the peer for operators.
    pub fn status(&self) -> PeerStatus {
        let outbox = self.outbound.outbox();
        PeerStatus {
            server: self.server.clone(),
            state: self.outbound.state(),
            since: self.outbound.since(),
            backlog: outbox.backlog(),
            acked: outbox.acked(),
            oldest_unacknowledged: self.outbound.oldest(),
            next_attempt: self.outbound.next_attempt(),
            last_success: self.outbound.attempts().last_success(),
            failures: self.outbound.failures(),
            last_error: self.outbound.attempts().last_error().map(str::to_owned),
            expected_seq: self.inbound.record().expected,
            next_seq: self.outbound.next_number(),
            backlog_bytes: outbox.backlog_bytes(),
            open: self.outbound.open(),
        }
    }

    /// Returns the state of the outbound half.
    pub const fn state(&self) -> PeerState {
        self.outbound.state()
    }

    /// From when on it may leave memory: the store then holds all it knows but what any restart forgets (how large a batch the peer
    /// could take). `None`: it has something to do.
    pub fn free_from(&self) -> Option<Millis> {
        let outbound = self.outbound.free_from().filter(|_| self.inbound.is_free())?;
        let told = self.numbering.quiet_until().unwrap_or_default();
        Some(outbound.max(self.budget.whole_at(self.limits.fetch)).max(told))
    }

    /// Returns the size of the next page of the outbox to read, in items and bytes.
    pub fn page(&self) -> (u32, u64) {
        self.outbound.page()
    }

    /// Returns the number of failed attempts in a row.
    pub const fn failures(&self) -> u32 {
        self.outbound.failures()
    }

    /// Returns the error of the last failed attempt, until one succeeds.
    pub fn last_error(&self) -> Option<&str> {
        self.outbound.attempts().last_error()
    }

    /// Why the peer asked for time, in its words, the last time it did.
    pub fn why_it_asked(&self) -> Option<&str> {
        self.outbound.attempts().why_it_asked()
    }

    /// Returns the number of items that are queued and not acknowledged.
    pub fn backlog(&self) -> u64 {
        self.outbound.outbox().backlog()
    }

    /// Returns the size of these items in bytes.
    pub fn backlog_bytes(&self) -> u64 {
        self.outbound.outbox().backlog_bytes()
    }

    fn finish(&mut self, out: Out) -> Vec<Effect> {
        let Out { mut changes, moved, notes, effects, numbering, .. } = out;
        self.numbering = numbering;
        if moved.is_some() {
            changes.push(Change::PeerMoved(Box::new(self.record())));
        }
        // Changes without a stated priority are feed events, which are committed at once.
        let urgency = moved.unwrap_or(if changes.is_empty() { Urgency::Rides } else { Urgency::Now });
        changes.extend(notes);
        if changes.is_empty() {
            return effects;
        }
        std::iter::once(Effect::Commit(changes, urgency)).chain(effects).collect()
    }
}
