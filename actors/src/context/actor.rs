//! The actix actor of a context: it turns messages into events and effects into calls of the ports. It takes no
//! decisions.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, ContextFutureSpawner, Handler, Supervised, WrapFuture,
};
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout};

use crate::context::guarded_step::{KnownPdus, PendingEvent, StepFailure, StepOutcome, take_step};
use crate::context::machine::{ContextEffect, ContextEvent, ContextMachine, ContextReply};
use crate::context::messages::{
    ContextMessage, ContextOutcome, ContextReplies, ContextReplyTable, HistoryReply, IdleTimerFired, ReplyChannel,
    TimerFired,
};
use crate::context::metrics::ContextMetricsGuard;
use crate::errors::ContextError;
use crate::limits::ContextLimits;
use crate::model::{BadPdu, ContextId, FetchRequest, Pdu, PduRef, ServerName};
use crate::ports::{ArchiveError, ContextSnapshot, Fence, Ports};
use crate::reply_token::ReplyToken;
use crate::router::registry::{ActorRegistry, LookupPurpose};
use crate::supervise::admission::AdmissionPermit;
use crate::supervise::mailbox::send_unbounded;
use crate::supervise::monitor::ExitMonitor;
use crate::supervise::poll_now::{READ_WAIT_MAX, poll_now};
use crate::supervise::restart_intensity::{CrashHistory, RestartDecision};
use crate::supervise::task::spawn_detached;
use crate::supervise::timer::Timer;

/// Maximum number of crashes remembered: more than any restart intensity allows in a short time, including those of a page
/// of the stage.
const KILLERS_MAX: usize = 256;

/// Number of crashes on one PDU from which it counts as poison: it is treated as missing everywhere, and its children
/// are delivered with a gap.
const DEATHS: usize = 2;

/// The actor of one context.
pub(crate) struct ContextActor {
    pub(crate) context: ContextId,
    limits: Arc<ContextLimits>,
    pub(crate) ports: Ports,
    routes: ActorRegistry,
    fence: Fence,
    crashes: CrashHistory,
    /// The PDUs on which the machine crashed, one entry per crash. Poison that a peer pushes is found and quarantined by
    /// the peer's actor. A fetched copy does not pass there, and is fetched as long as a child waits for it.
    poison_crashes: VecDeque<PduRef>,
    /// True if staged PDUs are given to the machine one by one, because of several it is unknown which one crashed it.
    pub(crate) one_by_one: bool,
    /// `None` while loading, while a step waits for a read, and after the actor was given up as faulty.
    machine: Option<Box<ContextMachine>>,
    /// True while a step waits for a read; actix handles no message meanwhile.
    is_waiting: bool,
    faulty: bool,
    /// Incarnation, counted by loads: a page that an earlier incarnation requested is ignored.
    pub(crate) life: u64,
    /// Number of messages read from quarantine since the participants changed, for the log.
    pub(crate) taken_back: usize,
    replies: ContextReplies,
    /// History reads that wait, in order. Those whose caller has disconnected are dropped when the next one arrives.
    reads: Vec<HistoryReply>,
    next_token: u64,
    timer: Timer,
    idle_timer: Timer,
    /// Time of the last event, and the idle time that the timer was set for.
    active: (Instant, Duration),
    /// Contribution of this context to the metrics.
    share: ContextMetricsGuard,
    /// Notifies the router that the context is idle.
    on_quiet: Box<dyn Fn()>,
    #[expect(dead_code, reason = "held for its drop, which tells the router")]
    lifeline: ExitMonitor,
}

impl ContextActor {
    /// Returns an actor that loads its state when it starts.
    #[expect(clippy::too_many_arguments, reason = "each is a different thing the router has in hand, used once")]
    pub(crate) fn new(
        context: ContextId,
        limits: Arc<ContextLimits>,
        ports: Ports,
        routes: ActorRegistry,
        fence: Fence,
        crashes: CrashHistory,
        on_quiet: Box<dyn Fn()>,
        lifeline: ExitMonitor,
    ) -> Self {
        Self {
            context,
            limits,
            ports,
            share: ContextMetricsGuard::new(routes.tally().clone()),
            routes,
            fence,
            crashes,
            poison_crashes: VecDeque::new(),
            one_by_one: false,
            machine: None,
            is_waiting: false,
            faulty: false,
            life: 0,
            taken_back: 0,
            replies: ContextReplies::default(),
            reads: vec![],
            next_token: 0,
            timer: Timer::default(),
            idle_timer: Timer::default(),
            active: (Instant::now(), Duration::ZERO),
            on_quiet,
            lifeline,
        }
    }

    /// Handles one event; every message, timer and completion comes through here. A panic of the machine ends this
    /// incarnation, and the next one loads from the store.
    pub(crate) fn enter(&mut self, ctx: &mut Context<Self>, event: ContextEvent) {
        self.enter_all(ctx, [PendingEvent::plain(event)].into());
    }

    /// Handles an event for which PDUs are looked up first.
    fn enter_with(
        &mut self,
        ctx: &mut Context<Self>,
        pdus: Vec<Pdu>,
        event: impl FnOnce(Vec<Pdu>, KnownPdus) -> ContextEvent + 'static,
    ) {
        self.enter_all(ctx, [PendingEvent::of_pdus(pdus, event)].into());
    }

    /// Handles events one after the other. While a read of a step waits, the actor handles nothing else.
    pub(crate) fn enter_all(&mut self, ctx: &mut Context<Self>, mut events: VecDeque<PendingEvent>) {
        while let Some(next) = events.pop_front() {
            debug_assert!(!self.is_waiting, "the actor handles an event while a step waits");
            let Some(mut machine) = self.machine.take() else { return };
            let (ports, routes, context) = (self.ports.clone(), self.routes.clone(), self.context.clone());
            let mut step = Box::pin(async move {
                let outcome = take_step(&mut machine, next, &ports, &routes, &context).await;
                (machine, outcome)
            });
            let Some((machine, outcome)) = poll_now(step.as_mut()) else {
                self.is_waiting = true;
                let ended = move |ended: Result<_, Elapsed>, actor: &mut Self, ctx: &mut Context<Self>| {
                    actor.is_waiting = false;
                    let Ok((machine, outcome)) = ended else { return actor.on_read_deadline(ctx) };
                    if actor.stepped(ctx, machine, outcome) {
                        actor.enter_all(ctx, events);
                    }
                };
                return ctx.wait(timeout(READ_WAIT_MAX, step).into_actor(self).map(ended));
            };
            if !self.stepped(ctx, machine, outcome) {
                return;
            }
        }
    }

    /// Performs the effects of a step; returns false if it failed, which ends this incarnation.
    fn stepped(&mut self, ctx: &mut Context<Self>, mut machine: Box<ContextMachine>, outcome: StepOutcome) -> bool {
        match outcome {
            Ok(effects) => {
                let (ends, forgotten) = machine.take_head_stats();
                self.machine = Some(machine);
                self.share.set_head_count(ends, forgotten);
                effects.into_iter().for_each(|effect| self.perform(ctx, effect));
                self.arm_idle_timer(ctx);
                true
            }
            Err(StepFailure::Unreadable(error)) => {
                tracing::error!(context = %self.context, %error, "the context cannot read what its step needs; it restarts");
                self.crash(ctx);
                false
            }
            Err(StepFailure::Panicked(panicked, brought)) => {
                tracing::error!(context = %self.context, %panicked, "the context's machine failed; it restarts from the store");
                self.blame(brought);
                self.crash(ctx);
                false
            }
        }
    }

    /// Ends this incarnation, because a read of its step has not ended. The machine is dropped with the step.
    fn on_read_deadline(&mut self, ctx: &mut Context<Self>) {
        tracing::error!(context = %self.context, deadline = ?READ_WAIT_MAX, "a read of the store has not ended; the context restarts");
        self.crash(ctx);
    }

    /// Records the PDUs on which the machine crashed. Each of several is suspected once, and the next time they are given
    /// one by one.
    fn blame(&mut self, brought: Vec<PduRef>) {
        let is_alone = brought.len() == 1;
        self.one_by_one |= !is_alone && !brought.is_empty();
        for reference in brought {
            if is_alone || !self.poison_crashes.contains(&reference) {
                self.poison_crashes.push_back(reference);
            }
        }
        while self.poison_crashes.len() > KILLERS_MAX {
            self.poison_crashes.pop_front();
        }
    }

    fn crash(&mut self, ctx: &mut Context<Self>) {
        self.crashes.note(self.ports.clock.now(), self.limits.restarts);
        ctx.stop();
    }

    fn perform(&mut self, ctx: &mut Context<Self>, effect: ContextEffect) {
        match effect {
            ContextEffect::Commit(changes, urgency) => drop(self.ports.journal.submit(self.fence, changes, urgency)),
            ContextEffect::HandedOver(reply) => {
                if let Some(send) = self.replies.ready(reply) {
                    send();
                }
            }
            ContextEffect::Answer(reply) => self.answer(reply),
            ContextEffect::AnswerReads(came) => {
                let (reads, settled) = (std::mem::take(&mut self.reads), self.ports.journal.barrier());
                spawn_detached(async move {
                    if settled.committed().await.is_ok() {
                        // A caller may have disconnected.
                        reads.into_iter().for_each(|read| drop(read.send(Ok(came))));
                    }
                });
            }
            ContextEffect::Release(references) => self.ports.archive.contexts.release(&self.context, &references),
            ContextEffect::Fetch { of, want, cause } => {
                let (routes, context) = (self.routes.clone(), self.context.clone());
                spawn_detached(async move {
                    // A cause that is no longer a peer has no budget, so the server that is asked pays itself.
                    let payer = match routes.peer(&cause, LookupPurpose::Deliver).await {
                        Ok(payer) => Ok(payer),
                        Err(_) => routes.peer(&of, LookupPurpose::Deliver).await,
                    };
                    match payer {
                        Ok(payer) => payer.fetch(context, want, of),
                        // The server cannot be asked, for instance because it is not a peer: report that as the result.
                        Err(refusal) => routes.fetched(&context, want, of, Err(refusal.to_string())).await,
                    }
                });
            }
            ContextEffect::TakeBack { participants, after, limit } => {
                // Messages of their groups wait in the quarantine of their peers, not in that of the context.
                self.routes.note_participants();
                self.read_quarantine(ctx, participants, after, limit);
            }
            ContextEffect::ReadStage { after } => self.read_stage(after, ctx),
            ContextEffect::Arm(due) => {
                let address = ctx.address();
                let delay = self.ports.clock.now().until(due);
                self.timer.arm(delay, move |epoch| send_unbounded(&address, TimerFired(epoch)));
            }
            ContextEffect::Disarm => self.timer.disarm(),
        }
    }

    fn answer(&mut self, reply: ContextReply) {
        if let Some(send) = self.replies.ready(reply) {
            self.ports.journal.when_settled(send);
        }
    }

    /// Keeps the idle timer armed: an idle context is evicted, because it is cheap to load again. One with pending work stays. A timer that
    /// is pending is not set anew for each event, which would cost two tasks: it looks at the time of the last event when it fires.
    fn arm_idle_timer(&mut self, ctx: &mut Context<Self>) {
        let (idle, armed_for) = (self.limits.idle, self.active.1);
        self.active = (Instant::now(), idle);
        if !self.idle_timer.is_pending() || idle != armed_for {
            self.set_idle_timer(ctx, idle);
        }
    }

    fn set_idle_timer(&mut self, ctx: &mut Context<Self>, delay: Duration) {
        let address = ctx.address();
        self.idle_timer.arm(delay, move |epoch| send_unbounded(&address, IdleTimerFired(epoch)));
    }

    fn load(&mut self, ctx: &mut Context<Self>) {
        self.life += 1;
        let verdict = self.crashes.verdict(self.ports.clock.now(), self.limits.restarts);
        let (ports, context) = (self.ports.clone(), self.context.clone());
        let load = async move {
            if let RestartDecision::Load(delay) = verdict {
                tokio::time::sleep(delay).await;
            }
            // Without the barrier the load could miss batches that the previous incarnation submitted.
            if ports.journal.barrier().committed().await.is_err() {
                return Err(ArchiveError("the journal has stopped".to_owned()));
            }
            ports.archive.contexts.release_all(&context);
            ports.archive.contexts.context(&context).await
        };
        let began = move |loaded, actor: &mut Self, ctx: &mut Context<Self>| actor.begin(ctx, verdict, loaded);
        load.into_actor(self).map(began).wait(ctx);
    }

    fn begin(
        &mut self,
        ctx: &mut Context<Self>,
        verdict: RestartDecision,
        loaded: Result<Option<ContextSnapshot>, ArchiveError>,
    ) {
        if verdict == RestartDecision::GiveUp {
            tracing::error!(context = %self.context, "the context failed too often and is given up until the next start");
            self.faulty = true;
            return;
        }
        match loaded {
            Ok(load) => {
                let (limits, text) = (self.limits.clone(), self.ports.text.clone());
                let machine = ContextMachine::new(self.context.clone(), self.ports.us.clone(), limits, text, load);
                self.machine = Some(Box::new(machine));
                let closed = (!self.routes.is_open()).then_some(ContextEvent::Intake { open: false });
                let events = [ContextEvent::Started].into_iter().chain(closed);
                self.enter_all(ctx, events.map(PendingEvent::plain).collect());
            }
            Err(error) => {
                tracing::error!(context = %self.context, %error, "the context cannot be loaded; retrying");
                self.crash(ctx);
            }
        }
    }

    /// Returns whether the PDU is not poison.
    pub(crate) fn is_not_poison(&self, reference: &PduRef) -> bool {
        self.poison_crashes.iter().filter(|killer| *killer == reference).count() < DEATHS
    }

    /// Registers the reply channel of a request; a faulty context answers at once.
    fn token<R: Send + 'static>(
        &mut self,
        table: impl FnOnce(&mut ContextReplies) -> &mut ContextReplyTable<R>,
        channel: ReplyChannel<R>,
        permit: AdmissionPermit,
    ) -> Option<ReplyToken<R>> {
        if self.faulty {
            // The caller may have disconnected.
            let _ = channel.send(ContextOutcome::Faulty);
            return None;
        }
        self.next_token += 1;
        Some(table(&mut self.replies).insert(self.next_token, channel, Some(permit)))
    }

    fn fetch_finished(
        &mut self,
        ctx: &mut Context<Self>,
        want: FetchRequest,
        from: ServerName,
        pdus: Result<Vec<Result<Pdu, BadPdu>>, String>,
    ) {
        let (pdus, failed) = match pdus {
            Ok(pdus) => (pdus, None),
            Err(why) => (vec![], Some(why)),
        };
        let is_sound = |pdu: &Pdu| self.is_not_poison(&pdu.reference);
        let pdus: Vec<Pdu> = pdus.into_iter().flatten().filter(is_sound).collect();
        self.enter_with(ctx, pdus, move |pdus, known| ContextEvent::Fetched { want, from, pdus, failed, known });
    }
}

impl Actor for ContextActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        // Capacity is no limit in actix: every clone of an address has a slot of its own. Permits are the limit.
        ctx.set_mailbox_capacity(0);
        self.load(ctx);
    }
}

impl Supervised for ContextActor {
    fn restarting(&mut self, _: &mut Context<Self>) {
        self.machine = None;
        self.is_waiting = false;
        self.share.set_head_count(0, 0);
        self.timer.disarm();
        self.idle_timer.disarm();
        self.replies.clear();
        self.reads.clear();
    }
}

impl Handler<ContextMessage> for ContextActor {
    type Result = ();

    fn handle(&mut self, message: ContextMessage, ctx: &mut Context<Self>) {
        match message {
            ContextMessage::PdusArrived { from, verified, pdus, answer, permit } => {
                let Some(token) = self.token(|replies| &mut replies.verdicts, answer, permit) else { return };
                let arrive = move |pdus, known| ContextEvent::Arrive { token, from, verified, pdus, known };
                self.enter_with(ctx, pdus, arrive);
            }
            ContextMessage::Readmit { from, pdu, answer, permit } => {
                let Some(token) = self.token(|replies| &mut replies.verdict, answer, permit) else { return };
                let looked_up = vec![(*pdu).clone()];
                let readmit = move |_, known| ContextEvent::Readmit { token, from, pdu: *pdu, known };
                self.enter_with(ctx, looked_up, readmit);
            }
            ContextMessage::Bridge { from, verified, messages, answer, permit } => {
                let Some(token) = self.token(|replies| &mut replies.verdicts, answer, permit) else { return };
                self.enter(ctx, ContextEvent::Bridge { token, from, verified, messages });
            }
            ContextMessage::Compose { drafts, reach, answer, permit } => {
                let Some(token) = self.token(|replies| &mut replies.composed, answer, permit) else { return };
                self.enter(ctx, ContextEvent::Compose { token, drafts, reach });
            }
            ContextMessage::SetParticipants { servers, answer, permit } => {
                let Some(token) = self.token(|replies| &mut replies.set, answer, permit) else { return };
                self.enter(ctx, ContextEvent::Participants { token, servers });
            }
            ContextMessage::Join { via, backfill, answer, permit } => {
                let Some(token) = self.token(|replies| &mut replies.set, answer, permit) else { return };
                self.enter(ctx, ContextEvent::Join { token, via, backfill });
            }
            ContextMessage::Repair { via, references, answer, permit } => {
                let Some(token) = self.token(|replies| &mut replies.repaired, answer, permit) else { return };
                self.enter(ctx, ContextEvent::Repair { token, via, references });
            }
            ContextMessage::FetchOlder { limit, answer } => {
                if self.faulty {
                    // The caller may have disconnected.
                    let _ = answer.send(Err(ContextError::Faulty(self.context.clone())));
                    return;
                }
                self.reads.retain(|read| !read.is_closed());
                self.reads.push(answer);
                self.enter(ctx, ContextEvent::Older { limit });
            }
            ContextMessage::FetchFinished { want, from, pdus } => self.fetch_finished(ctx, want, from, pdus),
            ContextMessage::PutOff { want, from, why } => self.enter(ctx, ContextEvent::PutOff { want, from, why }),
            ContextMessage::Declined { want, from, why } => {
                self.enter(ctx, ContextEvent::Declined { want, from, why });
            }
            ContextMessage::StageFilled => self.enter(ctx, ContextEvent::StageFilled),
            ContextMessage::SetIntakeOpen { open } => self.enter(ctx, ContextEvent::Intake { open }),
            ContextMessage::ChangeLimits(limits) => {
                self.limits = limits.clone();
                self.enter(ctx, ContextEvent::LimitsChanged(limits));
            }
            ContextMessage::GetStatus(reply) => {
                if let Some(status) = self.machine.as_ref().map(|machine| machine.status()) {
                    // The caller may have disconnected.
                    let _ = reply.send(status);
                }
            }
        }
    }
}

impl Handler<TimerFired> for ContextActor {
    type Result = ();

    fn handle(&mut self, TimerFired(epoch): TimerFired, ctx: &mut Context<Self>) {
        if self.timer.fired(epoch) {
            self.enter(ctx, ContextEvent::Due);
        }
    }
}

impl Handler<IdleTimerFired> for ContextActor {
    type Result = ();

    fn handle(&mut self, IdleTimerFired(epoch): IdleTimerFired, ctx: &mut Context<Self>) {
        let fired = self.idle_timer.fired(epoch);
        let left = self.active.1.saturating_sub(self.active.0.elapsed());
        if fired && !left.is_zero() {
            self.set_idle_timer(ctx, left);
        } else if fired && self.machine.as_ref().is_some_and(|machine| machine.is_idle() && self.replies.is_empty()) {
            (self.on_quiet)();
        } else if fired {
            self.arm_idle_timer(ctx);
        }
    }
}
