//! The actix actor of a peer: it turns messages into events and effects into calls of the ports. It takes no decisions.

use std::sync::Arc;

use actix::{Actor, ActorContext, ActorFutureExt, Addr, AsyncContext, Context, Handler, Supervised, WrapFuture};
use tokio::sync::oneshot;
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use crate::limits::PeerLimits;
use crate::model::{ContextId, FetchRequest, PeerStatus, PushFailure, PushResponse, ServerName};
use crate::peer::effect::{CommandReply, PeerEffect};
use crate::peer::handover::asking;
use crate::peer::handover::item_search::find_items;
use crate::peer::handover::relaying::Relaying;
use crate::peer::handover::{Handover, known_forwards, mark_known, unknown_contexts};
use crate::peer::inbound::InboundBatch;
use crate::peer::inbound::dispatch::UnknownContexts;
use crate::peer::inbound::forwards::forward_run::ForwardRun;
use crate::peer::machine::{PeerEvent, PeerMachine};
use crate::peer::messages::{PeerMessage, PeerReplies, TaskFinished};
use crate::peer::outbound::StepInput;
use crate::peer::outbound::relay::RelayEvent;
use crate::peer::shared::PeerShared;
use crate::peer::state_log::StateLogger;
use crate::ports::{Fence, OutboxGrown, Ports};
use crate::router::registry::{ActorRegistry, LookupPurpose};
use crate::supervise::admission::AdmissionLimit;
use crate::supervise::alarm::{RareTimerSlot, TimerSlot};
use crate::supervise::catch_panic::guard;
use crate::supervise::mailbox::send_unbounded;
use crate::supervise::monitor::ExitMonitor;
use crate::supervise::poll_now::{READ_WAIT_MAX, poll_now};
use crate::supervise::restart_intensity::CrashHistory;
use crate::supervise::task::{IsolatedTask, spawn_abortable, spawn_detached};

/// The actor of one remote server.
pub(crate) struct PeerActor {
    server: ServerName,
    limits: Arc<PeerLimits>,
    ports: Arc<Ports>,
    routes: ActorRegistry,
    fence: Fence,
    shared: Arc<PeerShared>,
    crashes: CrashHistory,
    /// `None` while loading, and between a crash and the next load.
    machine: Option<Box<PeerMachine>>,
    told: StateLogger,
    /// Incarnation of the actor, counted by loads; completions of tasks of an earlier incarnation are ignored.
    incarnation: u64,
    replies: PeerReplies,
    /// Replies to the commands that caused the restart in progress; they are sent after the load.
    resume_waiters: Vec<oneshot::Sender<CommandReply>>,
    next_token: u64,
    alarm: TimerSlot,
    /// Timer of the next pull of missed transactions.
    ask_alarm: RareTimerSlot,
    /// Timer of the delivery through third servers.
    relay_alarm: RareTimerSlot,
    /// Request in flight; it is aborted when it is replaced or dropped.
    attempt: Option<IsolatedTask>,
    reading: Option<IsolatedTask>,
    /// Own address, held between a crash and the end of the next load, because an actor without addresses stops instead
    /// of restarting.
    keep_alive: Option<Box<Addr<Self>>>,
    #[expect(dead_code, reason = "held for its drop, which tells the router")]
    lifeline: ExitMonitor,
}

impl PeerActor {
    /// Returns an actor that loads its state when it starts.
    #[expect(clippy::too_many_arguments, reason = "each is a different thing the router has in hand, used once")]
    pub(crate) fn new(
        server: ServerName,
        limits: Arc<PeerLimits>,
        ports: Arc<Ports>,
        routes: ActorRegistry,
        fence: Fence,
        shared: Arc<PeerShared>,
        crashes: CrashHistory,
        lifeline: ExitMonitor,
    ) -> Self {
        Self {
            server,
            limits,
            ports,
            routes,
            fence,
            shared,
            crashes,
            machine: None,
            told: StateLogger::nothing(),
            incarnation: 0,
            replies: PeerReplies::default(),
            resume_waiters: Vec::new(),
            next_token: 0,
            alarm: TimerSlot::default(),
            ask_alarm: RareTimerSlot::default(),
            relay_alarm: RareTimerSlot::default(),
            attempt: None,
            reading: None,
            keep_alive: None,
            lifeline,
        }
    }

    /// Handles one event; every message, timer and completion comes through here. A panic of the machine ends this
    /// incarnation, and the next one loads from the store.
    fn handle_event(&mut self, ctx: &mut Context<Self>, event: PeerEvent) {
        let Some(machine) = self.machine.as_mut() else { return };
        let clock = &self.ports.clock;
        let before = (machine.state(), machine.failures());
        let stepped = guard(|| machine.step(StepInput { now: clock.now(), jitter_roll: fastrand::f64() }, event));
        match stepped {
            Ok(effects) => {
                if before != (machine.state(), machine.failures()) {
                    self.told.log_transition(&self.server, clock.now(), machine);
                }
                self.shared.gauge.update(machine, self.crashes.over_at(self.limits.restarts()));
                for effect in effects {
                    self.perform(ctx, effect);
                }
            }
            Err(panicked) => {
                tracing::error!(peer = %self.server, %panicked, "the peer's machine failed; it restarts from the store");
                self.crashes.note(self.ports.clock.now(), self.limits.restarts());
                self.restart(ctx);
            }
        }
    }

    fn next_token(&mut self) -> u64 {
        self.next_token += 1;
        self.next_token
    }

    fn restart(&mut self, ctx: &mut Context<Self>) {
        self.shared.gauge.busy();
        self.keep_alive = Some(Box::new(ctx.address()));
        ctx.stop();
    }

    fn perform(&mut self, ctx: &mut Context<Self>, effect: PeerEffect) {
        match effect {
            PeerEffect::Commit(changes, urgency) => drop(self.ports.journal.submit(self.fence, changes, urgency)),
            PeerEffect::Answer(reply) => {
                // If the journal has stopped, the reply is dropped: the caller is told that the outcome is unknown, and the
                // process exits.
                if let Some(send) = self.replies.ready(reply) {
                    self.ports.journal.when_settled(send);
                }
            }
            PeerEffect::Report(token) => {
                let (Some(reply), Some(machine)) = (self.replies.commands.take(token), &self.machine) else { return };
                self.report(reply, machine.status());
            }
            PeerEffect::Decline(token, refusal) => {
                if let Some(send) = self.replies.commands.ready(token, Err(refusal)) {
                    send();
                }
            }
            PeerEffect::Restart(token) => {
                self.resume_waiters.extend(self.replies.commands.take(token));
                self.crashes = CrashHistory::default();
                self.restart(ctx);
            }
            PeerEffect::FindItems { from, upto, receipts } => {
                let (archive, server) = (self.ports.archive.clone(), self.server.clone());
                let finish = self.completion_sender(ctx);
                spawn_detached(async move {
                    let (taken, rejected) = find_items(&archive, &server, (from, upto), receipts).await;
                    finish(PeerEvent::ItemsFound { taken, rejected });
                });
            }
            PeerEffect::CountReceipts(result, count) => self.routes.tally().count_receipts(result, count),
            PeerEffect::Abort => {
                self.attempt = None;
                self.reading = None;
            }
            PeerEffect::Push { attempt, frame, settled } => {
                let sent = asking::push(&self.ports, frame, settled);
                let finish = self.completion_sender(ctx);
                self.attempt = Some(spawn_abortable(sent, move |ended| {
                    let outcome: Result<PushResponse, PushFailure> =
                        ended.unwrap_or_else(|panicked| Err(PushFailure::Unreachable(panicked.to_string().into())));
                    finish(PeerEvent::Replied { attempt, outcome });
                }));
            }
            PeerEffect::Dispatch { group, verified, pdus, after_staged } => {
                let (from, ports, routes) = (self.server.clone(), self.ports.clone(), self.routes.clone());
                let handover = Handover::new(from, ports, routes, &self.limits);
                let finish = self.completion_sender(ctx);
                spawn_detached(async move {
                    let outcome = handover.run(&group.context, verified, pdus, after_staged).await;
                    finish(PeerEvent::Dispatched(group, outcome));
                });
            }
            PeerEffect::DispatchMessages { group, verified, messages, after_staged } => {
                let (from, ports, routes) = (self.server.clone(), self.ports.clone(), self.routes.clone());
                let handover = Handover::new(from, ports, routes, &self.limits);
                let finish = self.completion_sender(ctx);
                spawn_detached(async move {
                    let outcome = handover.run_messages(&group.context, verified, messages, after_staged).await;
                    finish(PeerEvent::Dispatched(group, outcome));
                });
            }
            PeerEffect::Relay(work) => {
                let relayed = Relaying::new(self.server.clone(), self.ports.clone(), self.routes.clone(), self.fence);
                let page = self.machine.as_ref().map(|machine| machine.relay_page()).unwrap_or_default();
                let vias = self.limits.relay.vias().cloned().collect();
                let (done, finish) = (relayed.run(work, vias, page), self.completion_sender(ctx));
                spawn_detached(async move { finish(PeerEvent::Relay(done.await)) });
            }
            PeerEffect::RelayAt(due) => {
                let delay = due.map(|due| self.ports.clock.now().until(due));
                self.relay_alarm.set(ctx, delay, Self::relay_due);
            }
            PeerEffect::TellRelayRefused(destination, code) => {
                let (routes, via) = (self.routes.clone(), self.server.clone());
                spawn_detached(async move { routes.relay_refused(&destination, via, code).await });
            }
            PeerEffect::HandOver(run) => {
                let (routes, finish) = (self.routes.clone(), self.completion_sender(ctx));
                let ForwardRun { origin, place, push } = run;
                let answer = async move { routes.forward(&origin, push).await };
                spawn_detached(async move { finish(PeerEvent::Forwarded(place, answer.await)) });
            }
            PeerEffect::CountForward(role, result) => self.routes.relays().count(role, result),
            PeerEffect::TellStaged(context) => {
                let (routes, settled) = (self.routes.clone(), self.ports.journal.barrier());
                spawn_detached(async move {
                    if settled.committed().await.is_ok() {
                        routes.stage_filled(&context).await;
                    }
                });
            }
            PeerEffect::FetchFromPeer { context, want, cause } => self.get(context, want, cause),
            PeerEffect::DelegateFetch { of, context, want } => {
                let (routes, cause) = (self.routes.clone(), self.server.clone());
                spawn_detached(async move {
                    match routes.peer(&of, LookupPurpose::Deliver).await {
                        Ok(peer) => peer.ask(context, want, cause),
                        // The server cannot be asked, for instance because it is not a peer: report that as the result.
                        Err(refusal) => routes.fetched(&context, want, of, Err(refusal.to_string())).await,
                    }
                });
            }
            PeerEffect::Pull(pull) => {
                // Above the limit the peer is not asked now; missing PDUs are also noticed by their context.
                let Ok(permit) = self.fetches().enter() else {
                    let (finish, strange) = (self.completion_sender(ctx), UnknownContexts::default());
                    let busy = Err(PushFailure::Unreachable("peers.intake_max questions are open".into()));
                    return spawn_detached(async move { finish(PeerEvent::Pulled(pull, busy, strange)) });
                };
                let asked =
                    asking::pull(self.ports.clone(), self.server.clone(), pull, self.limits.deadlines(), permit);
                let finish = self.completion_sender(ctx);
                spawn_detached(async move {
                    let (pulled, strange) = asked.await;
                    finish(PeerEvent::Pulled(pull, pulled, strange));
                });
            }
            PeerEffect::FetchDeclined { of, context, want, budget } => {
                let routes = self.routes.clone();
                if let Some(key) = budget {
                    routes.tally().count_refusal(key);
                }
                let why = format!("{of} is not asked now; see `fernpost peer show {of}` and fetch_items");
                spawn_detached(async move { routes.declined(&context, want, of, why).await });
            }
            PeerEffect::Load(from) => {
                let Some((items, bytes)) = self.machine.as_ref().map(|machine| machine.page()) else { return };
                let (archive, server) = (self.ports.archive.clone(), self.server.clone());
                let read = async move { archive.peers.outbox_from(&server, from, items, bytes).await };
                let finish = self.completion_sender(ctx);
                self.reading = Some(spawn_abortable(read, move |ended| {
                    let rows = ended
                        .map_err(|panicked| panicked.to_string())
                        .and_then(|read| read.map_err(|error| error.to_string()));
                    finish(PeerEvent::Loaded { from, rows });
                }));
            }
            PeerEffect::Arm(due) => {
                // `Arm` is emitted only when nothing is in flight: drop finished task handles, or they are held for the
                // whole back-off.
                (self.attempt, self.reading) = (None, None);
                let delay = self.ports.clock.now().until(due);
                self.alarm.arm(ctx, delay, Self::due);
            }
            PeerEffect::Disarm => self.alarm.disarm(ctx),
            PeerEffect::AskAt(due) => {
                let delay = due.map(|due| self.ports.clock.now().until(due));
                self.ask_alarm.set(ctx, delay, Self::ask_due);
            }
        }
    }

    fn due(&mut self, ctx: &mut Context<Self>, epoch: u64) {
        if self.alarm.fired(epoch) {
            self.handle_event(ctx, PeerEvent::TimerFired);
        }
    }

    fn ask_due(&mut self, ctx: &mut Context<Self>, epoch: u64) {
        if self.ask_alarm.fired(epoch) {
            self.handle_event(ctx, PeerEvent::AskDue);
        }
    }

    fn relay_due(&mut self, ctx: &mut Context<Self>, epoch: u64) {
        if self.relay_alarm.fired(epoch) {
            self.handle_event(ctx, PeerEvent::Relay(RelayEvent::Due));
        }
    }

    fn fetches(&self) -> &AdmissionLimit {
        self.shared.gauge.fetches(self.limits.intake_max)
    }

    /// Fetches PDUs from the peer for a context, which gets the result; the cost is charged to the peer that caused the
    /// fetch.
    fn get(&self, context: ContextId, want: FetchRequest, cause: ServerName) {
        let (routes, server) = (self.routes.clone(), self.server.clone());
        // Above the limit the peer is not asked, and the context repeats the request later.
        let Ok(permit) = self.fetches().enter() else {
            let why = "peers.intake_max questions to it are open".to_owned();
            return spawn_detached(async move { routes.put_off(&context, want, server, why).await });
        };
        let deadlines = self.limits.deadlines();
        spawn_detached(asking::fetch(self.ports.clone(), routes, server, deadlines, permit, (context, want, cause)));
    }

    fn accept(&mut self, ctx: &mut Context<Self>, mut batch: InboundBatch) {
        let unknown = unknown_contexts(self.ports.archive.contexts.clone(), batch.contexts());
        let known = known_forwards(self.ports.archive.peers.clone(), &mut batch);
        let mut read = Box::pin(async move { (unknown.await, known.await) });
        let accept = move |(contexts, known), actor: &mut Self, ctx: &mut Context<Self>| {
            mark_known(&mut batch, known);
            let strange = UnknownContexts { contexts, most: actor.ports.roster.contexts().adopt_max };
            actor.handle_event(ctx, PeerEvent::Accept(batch, strange));
        };
        match poll_now(read.as_mut()) {
            Some(found) => accept(found, self, ctx),
            // No message is handled meanwhile, so that batches keep their order; an alarm that is due may fire once.
            None => {
                let ended = move |ended: Result<_, Elapsed>, actor: &mut Self, ctx: &mut Context<Self>| match ended {
                    Ok(found) => accept(found, actor, ctx),
                    Err(_) => actor.on_read_deadline(ctx),
                };
                ctx.wait(timeout(READ_WAIT_MAX, read).into_actor(self).map(ended));
            }
        }
    }

    /// Ends this incarnation, because a read of the store has not ended. Callers are answered that the outcome is unknown.
    fn on_read_deadline(&mut self, ctx: &mut Context<Self>) {
        tracing::error!(peer = %self.server, deadline = ?READ_WAIT_MAX, "a read of the store has not ended; the peer restarts");
        self.crashes.note(self.ports.clock.now(), self.limits.restarts());
        self.restart(ctx);
    }

    fn report(&self, reply: oneshot::Sender<CommandReply>, status: PeerStatus) {
        let settled = self.ports.journal.barrier();
        spawn_detached(async move {
            if settled.committed().await.is_ok() {
                // The operator may have disconnected.
                let _ = reply.send(Ok(status));
            }
        });
    }

    fn completion_sender(&self, ctx: &Context<Self>) -> impl FnOnce(PeerEvent) + 'static {
        let (address, life) = (ctx.address(), self.incarnation);
        move |event| send_unbounded(&address, TaskFinished { life, event })
    }
}

impl Actor for PeerActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        // Capacity is no limit in actix: every clone of an address has a slot of its own. Permits are the limit.
        ctx.set_mailbox_capacity(0);
        self.load(ctx);
    }
}

impl Supervised for PeerActor {
    fn restarting(&mut self, _: &mut Context<Self>) {
        self.machine = None;
        self.attempt = None;
        self.reading = None;
        self.alarm.forget();
        self.ask_alarm.forget();
        self.relay_alarm.forget();
        self.replies.clear();
    }
}

impl Handler<PeerMessage> for PeerActor {
    type Result = ();

    fn handle(&mut self, message: PeerMessage, ctx: &mut Context<Self>) {
        let event = match message {
            PeerMessage::AcceptPush { push, reply, permit } => {
                let number = self.next_token();
                let token = self.replies.pushes.insert(number, reply, Some(permit));
                return self.accept(ctx, InboundBatch::Push(push, token));
            }
            PeerMessage::AcceptForwarded { push, reply, permit } => {
                let number = self.next_token();
                let token = self.replies.pushes.insert(number, reply, Some(permit));
                return self.accept(ctx, InboundBatch::Forwarded(push, Some(token)));
            }
            PeerMessage::AcceptTransaction { transaction, reply, permit } => {
                let number = self.next_token();
                let token = self.replies.transactions.insert(number, reply, Some(permit));
                return self.accept(ctx, InboundBatch::Transaction(transaction, token));
            }
            PeerMessage::OutboxGrown(OutboxGrown { tail, queued_bytes, rows, .. }) => {
                PeerEvent::Woken { tail, queued_bytes, rows }
            }
            PeerMessage::SendEphemeral(fleeting) => PeerEvent::Weak(fleeting),
            PeerMessage::TellReceipts(receipts) => PeerEvent::MessengerTook(receipts),
            PeerMessage::FetchPdus { context, want, of } => PeerEvent::Fetch(context, want, of),
            PeerMessage::AskForPdus { context, want, cause } => PeerEvent::Ask(context, want, cause),
            PeerMessage::RelayRefused { via, code } => PeerEvent::Relay(RelayEvent::Refused(via, code)),
            PeerMessage::FetchCompleted(spent) => PeerEvent::Spent(spent),
            PeerMessage::RunCommand { order, reply } => {
                let number = self.next_token();
                PeerEvent::Operator(self.replies.commands.insert(number, reply, None), order)
            }
            PeerMessage::ChangeLimits(limits) => {
                // An actor that loads has no machine yet; the one that it makes has these limits.
                self.limits = limits.clone();
                PeerEvent::LimitsChanged(limits)
            }
            PeerMessage::GetStatus { reply } => {
                if let Some(machine) = &self.machine {
                    // The caller may have disconnected.
                    let _ = reply.send(machine.status());
                }
                return;
            }
        };
        self.handle_event(ctx, event);
    }
}

impl Handler<TaskFinished> for PeerActor {
    type Result = ();

    fn handle(&mut self, finished: TaskFinished, ctx: &mut Context<Self>) {
        if finished.life == self.incarnation {
            self.handle_event(ctx, finished.event);
        }
    }
}

mod loading;
