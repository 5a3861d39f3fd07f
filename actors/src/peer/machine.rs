//! The state machine of a peer: it joins the inbound and outbound halves, takes events and returns effects. Pure: no
//! clock, no randomness, no I/O.

use std::sync::Arc;

use crate::change::Change;
use crate::change::CommitPriority;
use crate::errors::{BatchError, CommandError};
use crate::limits::PeerLimits;
use crate::model::{
    ContextId, FetchRequest, HeldForward, Index, Millis, PduVerdict, PeerCommand, PeerReceipts, PeerRecord, PeerState,
    PeerStatus, PullResponse, PushFailure, PushResponse, ServerName, SuspendReason,
};
use crate::model::{FeedItem, OutboxRow, PeerSnapshot};
use crate::peer::effect::{CommandReply, EffectCollector, PeerEffect, Pull, PushReply};
use crate::peer::fetch_budget::{BudgetExhausted, FetchBudget, FetchCost};
use crate::peer::inbound::dispatch::{ContextGroup, DispatchError, UnknownContexts};
use crate::peer::inbound::forwards::forward_run::RunPlace;
use crate::peer::inbound::{Inbound, InboundBatch};
use crate::peer::notices::HourlyNotice;
use crate::peer::outbound::ephemeral_buffer::EphemeralItem;
use crate::peer::outbound::outbox_window::Outbox;
use crate::peer::outbound::receipts::ReceiptExchange;
use crate::peer::outbound::relay::RelayEvent;
use crate::peer::outbound::{Outbound, StepInput};
use crate::reply_token::ReplyToken;

/// An event for the state machine.
#[derive(Debug, Clone)]
pub enum PeerEvent {
    /// The actor has loaded.
    Started,
    /// The actor has loaded as faulty, after too many crashes.
    RestartsExhausted,
    /// The peer sent a batch.
    Accept(InboundBatch, UnknownContexts),
    /// A context has returned the outcome for its part of a batch.
    Dispatched(ContextGroup, Result<Vec<PduVerdict>, DispatchError>),
    /// The actor of an origin has answered to the run of forwards at this place.
    Forwarded(RunPlace, PushReply),
    /// The local messenger sent an ephemeral item for the peer.
    Weak(EphemeralItem),
    /// Our messenger has acknowledged or refused items of the peer, named by their numbers or, if they are PDUs, by their identity.
    MessengerTook(PeerReceipts),
    /// PDUs that receipts named were looked for: the indexes of those that the peer's messenger has acknowledged, and of those that it
    /// has refused, with the reason.
    ItemsFound {
        /// Indexes of acknowledged items.
        taken: Vec<Index>,
        /// Indexes of refused items.
        rejected: Vec<(Index, String)>,
    },
    /// A context misses parents of a PDU that the peer sent; the named server may have them.
    Fetch(ContextId, FetchRequest, ServerName),
    /// Ask the peer for PDUs, charged to the named server.
    Ask(ContextId, FetchRequest, ServerName),
    /// A fetch that the peer caused has finished.
    Spent(FetchCost),
    /// A `pull` request has finished.
    Pulled(Pull, Result<PullResponse, PushFailure>, UnknownContexts),
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
        outcome: Result<PushResponse, PushFailure>,
    },
    /// An operator sent a command.
    Operator(ReplyToken<CommandReply>, PeerCommand),
    /// The machine's timer has fired.
    TimerFired,
    /// The timer of [`PeerEffect::AskAt`] has fired.
    AskDue,
    /// Something has happened to what goes through third servers.
    Relay(RelayEvent),
    /// The configuration has changed the limits of the peer, or its place in the configuration.
    LimitsChanged(Arc<PeerLimits>),
}

/// The state machine of one peer.
#[derive(Debug, Clone)]
pub struct PeerMachine {
    server: ServerName,
    limits: Arc<PeerLimits>,
    outbound: Outbound,
    inbound: Inbound,
    /// Boxed and made with the first fetch, because most peers cause none, and a waiting peer takes little memory.
    budget: Option<Box<FetchBudget>>,
    /// Limiter of the notices about the peer's numbering.
    numbering: HourlyNotice,
    /// Time that the timer of the pulls is set to.
    asks_at: Option<Millis>,
}

impl PeerMachine {
    /// Returns the machine of a peer of the server `us`, in the state that was loaded from the store.
    pub fn new(us: ServerName, server: ServerName, limits: &Arc<PeerLimits>, load: PeerSnapshot) -> Self {
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
            budget: None,
            numbering: HourlyNotice::default(),
            asks_at: None,
            server,
        }
    }

    /// Adds the forwarded updates of the peer that were loaded from the store.
    #[must_use]
    pub fn holding(mut self, forwards: Vec<HeldForward>) -> Self {
        self.inbound.hold(forwards);
        self
    }

    /// Handles one event. A batch of changes, if there is one, is the first effect, because the others may depend on
    /// it.
    pub fn step(&mut self, at: StepInput, event: PeerEvent) -> Vec<PeerEffect> {
        let mut out = EffectCollector { now: at.now, numbering: self.numbering, ..EffectCollector::default() };
        let could_be_asked = self.outbound.may_ask();
        let contact = match &event {
            PeerEvent::Started | PeerEvent::Replied { outcome: Ok(_), .. } => true,
            PeerEvent::Accept(batch, _) => batch.is_contact(),
            _ => false,
        };
        self.inbound.begin_step(at);
        match event {
            PeerEvent::Started => {
                self.inbound.started(&mut out);
                self.outbound.started(at, &mut out);
            }
            PeerEvent::RestartsExhausted => self.outbound.give_up(at),
            PeerEvent::Accept(batch, _) if self.outbound.state() == PeerState::Suspended(SuspendReason::Faulty) => {
                out.answer(batch.refusal(BatchError::Faulty(self.server.clone())));
            }
            PeerEvent::Accept(mut batch, strange) => {
                let receipts = batch.take_receipts();
                self.inbound.accept(batch, strange, &mut out);
                if contact {
                    self.outbound.on_inbound_contact(at, &mut out);
                }
                self.receipts().take(at, receipts, &mut out);
            }
            PeerEvent::Forwarded(place, answer) => self.inbound.forwarded(place, answer, &mut out),
            PeerEvent::MessengerTook(mut receipts) => {
                self.inbound.number_receipts(&mut receipts);
                self.receipts().tell(at, receipts, &mut out);
            }
            PeerEvent::ItemsFound { taken, rejected } => self.receipts().take_found(at, &taken, rejected, &mut out),
            PeerEvent::Dispatched(group, outcome) => self.inbound.dispatched(&group, outcome, &mut out),
            PeerEvent::Weak(fleeting) => self.outbound.weak(at, fleeting, &mut out),
            PeerEvent::Fetch(context, want, of) => self.fetch(at, context, want, of, &mut out),
            PeerEvent::Ask(context, want, cause) => self.outbound.ask(context, want, cause, &mut out),
            PeerEvent::Spent(spent) => {
                self.budget.get_or_insert_default().spend(at.now, self.limits.fetch(), spent);
            }
            PeerEvent::Pulled(pull, pulled, strange) => {
                self.inbound.pulled(pull, pulled, strange, &mut out);
            }
            PeerEvent::Woken { tail, queued_bytes, rows } => {
                self.outbound.on_outbox_grown(at, tail, queued_bytes, rows, &mut out);
            }
            PeerEvent::Loaded { from, rows } => self.outbound.on_page_loaded(at, from, rows, &mut out),
            PeerEvent::Replied { attempt, outcome } => self.outbound.replied(at, attempt, outcome, &mut out),
            PeerEvent::Operator(token, order) => self.handle_command(at, token, order, &mut out),
            PeerEvent::TimerFired => self.outbound.on_timer(at, &mut out),
            PeerEvent::AskDue => {
                // The scheduled time has passed, even if the wall clock was set back meanwhile.
                let due = self.asks_at.take().unwrap_or(at.now);
                self.inbound.ask_due(at.now.max(due), &mut out);
            }
            PeerEvent::Relay(event) => self.outbound.on_relay_event(at, event, &mut out),
            PeerEvent::LimitsChanged(limits) => {
                self.limits = limits.clone();
                self.inbound.change_limits(&limits, &mut out);
                self.outbound.change_limits(at, &limits, &mut out);
            }
        }
        self.receipts().add_to_answers(at, &mut out);
        self.outbound.relay(at, &mut out);
        // All outbound requests pass this check: a paused peer is not asked for transactions either.
        if !self.outbound.may_ask() {
            for asked in out.effects.extract_if(.., |effect| matches!(effect, PeerEffect::Pull(_))) {
                if let PeerEffect::Pull(asked) = asked {
                    self.inbound.put_off(asked);
                }
            }
        } else if contact || !could_be_asked {
            self.inbound.catch_up(&mut out);
        }
        let asks_at = self.inbound.ask_at();
        if asks_at != self.asks_at {
            self.asks_at = asks_at;
            out.effect(PeerEffect::AskAt(asks_at));
        }
        self.finish(out)
    }

    /// Requests missing parents, charged to this peer's budget: the server whose PDU names them pays for the search.
    fn fetch(
        &mut self,
        at: StepInput,
        context: ContextId,
        want: FetchRequest,
        of: ServerName,
        out: &mut EffectCollector,
    ) {
        let budget = self.budget.get_or_insert_default();
        if let Err(BudgetExhausted { key, full_key, limit }) = budget.allows(at.now, self.limits.fetch()) {
            if budget.first_time_exhausted() {
                let server = &self.server;
                let text = format!(
                    "{server} names more parents that are missing here than may be fetched for it within an hour \
                     ({key} = {limit}): what is missing now is given up in time; if it is honest, raise peers.server.\"{server}\".{key}"
                );
                out.change(Change::FeedAppended(FeedItem::Notice { text, server: Some(server.clone()) }));
            }
            return out.effect(PeerEffect::FetchDeclined { of, context, want, budget: Some(full_key) });
        }
        if of == self.server {
            return self.outbound.ask(context, want, of, out);
        }
        out.effect(PeerEffect::DelegateFetch { of, context, want });
    }

    fn handle_command(
        &mut self,
        at: StepInput,
        token: ReplyToken<CommandReply>,
        order: PeerCommand,
        out: &mut EffectCollector,
    ) {
        if self.outbound.state() == PeerState::Suspended(SuspendReason::Faulty) {
            // The state of a faulty machine may be incomplete, because it may have started without its record. Only a
            // restart helps.
            return out.effect(match order {
                PeerCommand::Resume => PeerEffect::Restart(token),
                _ => PeerEffect::Decline(token, CommandError::Faulty(self.server.clone())),
            });
        }
        // Pending items of a server that is no peer may be dropped; to send them, it must be one.
        let refusal = self.limits.listing.refusal(&self.server);
        if let Some(refusal) = refusal.filter(|_| !matches!(order, PeerCommand::Drop { .. })) {
            return out.effect(PeerEffect::Decline(token, refusal.into()));
        }
        match order {
            PeerCommand::Suspend => self.outbound.suspend(at, out),
            PeerCommand::Resume => self.outbound.resume(at, out),
            PeerCommand::Retry => self.outbound.retry(at, out),
            PeerCommand::Expect { number, yes } => return self.inbound.expect(token, number, yes, out),
            PeerCommand::Renumber { number, yes } => {
                if let Err(refusal) = self.outbound.set_number(at, number, yes, out) {
                    return out.effect(PeerEffect::Decline(token, refusal));
                }
            }
            PeerCommand::Drop { message, first, last, fate } => {
                self.outbound.drop_items(at, message, (first, last), &fate, out);
            }
        }
        out.effect(PeerEffect::Report(token));
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
            shut: self.outbound.shut(),
            since: self.outbound.since(),
            backlog: outbox.backlog(),
            acked: outbox.acked(),
            oldest_unacknowledged: self.outbound.oldest(),
            next_attempt: self.outbound.next_attempt(),
            last_success: self.outbound.attempts().last_success(),
            failures: self.outbound.failures(),
            last_error: self.outbound.attempts().last_error().map(str::to_owned),
            last_code: self.outbound.attempts().last_code(),
            expected_seq: self.inbound.record().expected,
            next_seq: self.outbound.next_number(),
            backlog_bytes: outbox.backlog_bytes(),
            settled: self.outbound.settled().to_vec(),
            open: self.outbound.open(),
            relayed: self.outbound.relayed(),
        }
    }

    /// Returns the outbound half.
    pub const fn outbound(&self) -> &Outbound {
        &self.outbound
    }

    /// Returns the state of the outbound half.
    pub const fn state(&self) -> PeerState {
        self.outbound.state()
    }

    /// Returns the time from which the peer can be evicted: the store then holds everything but what any restart loses (the
    /// batch size that the peer can accept). `None`: it has work.
    pub fn free_from(&self) -> Option<Millis> {
        let outbound = self.outbound.free_from().filter(|_| self.inbound.is_free())?;
        let told = self.numbering.quiet_until().unwrap_or_default();
        let refilled = self.budget.as_ref().map(|budget| budget.refilled_at(self.limits.fetch())).unwrap_or_default();
        Some(outbound.max(refilled).max(told))
    }

    /// Returns the size of the next page of the outbox to read, in items and bytes.
    pub fn page(&self) -> (u32, u64) {
        self.outbound.page()
    }

    /// Returns the size of the next page of the outbox to read for a relay, in items and bytes.
    pub fn relay_page(&self) -> (u32, u64) {
        (self.limits.batch_items, self.limits.batch_bytes)
    }

    /// Returns the number of failed attempts in a row.
    pub const fn failures(&self) -> u32 {
        self.outbound.failures()
    }

    /// Returns the error of the last failed attempt, until one succeeds.
    pub fn last_error(&self) -> Option<&str> {
        self.outbound.attempts().last_error()
    }

    /// Returns the reason that the peer stated for its last wait.
    pub fn why_it_asked(&self) -> Option<&str> {
        self.outbound.attempts().why_it_asked()
    }

    /// Returns the time at which the oldest unacknowledged item was queued, if it is known without reading the store.
    pub(crate) fn oldest(&self) -> Option<Millis> {
        self.outbound.oldest()
    }

    /// Returns the outbox.
    pub(crate) fn outbox(&self) -> &Outbox {
        self.outbound.outbox()
    }

    const fn receipts(&mut self) -> ReceiptExchange<'_> {
        ReceiptExchange { outbound: &mut self.outbound }
    }

    fn finish(&mut self, out: EffectCollector) -> Vec<PeerEffect> {
        self.receipts().settle_dead_letters(&out);
        let EffectCollector { mut changes, moved, notes, effects, numbering, .. } = out;
        self.numbering = numbering;
        if moved.is_some() {
            changes.push(Change::PeerRecordUpdated(Box::new(self.record())));
        }
        // Changes without a stated priority are feed events, which are committed at once.
        // A deferred priority delays no reply of this step: the actor asks the journal for a barrier before it sends one, and a
        // barrier makes everything before it due.
        let urgency = moved.unwrap_or(if changes.is_empty() { CommitPriority::Deferred } else { CommitPriority::Now });
        changes.extend(notes);
        if changes.is_empty() {
            return effects;
        }
        std::iter::once(PeerEffect::Commit(changes, urgency)).chain(effects).collect()
    }
}
