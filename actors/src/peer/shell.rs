//! The actix actor of a peer: it turns messages into events and effects into calls of the ports. It takes no decisions.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use actix::{
    Actor, ActorContext, ActorFutureExt, Addr, AsyncContext, Context, ContextFutureSpawner, Handler, Supervised,
    WrapFuture,
};
use tokio::time::Instant;

use crate::limits::PeerLimits;
use crate::model::{Answered, ContextId, Index, PeerStatus, PushFailure, ServerName, Want};
use crate::peer::Door;
use crate::peer::budget::Spent;
use crate::peer::dispatch::Strange;
use crate::peer::effect::{Effect, Token};
use crate::peer::handover::Handover;
use crate::peer::machine::{Event, Machine};
use crate::peer::messages::{Accept, Ask, Charge, Fetch, Finished, Ordered, Reply, Report, Status, Wake, Weak};
use crate::peer::outbound::Moment;
use crate::peer::told::Told;
use crate::ports::{Archive, ArchiveError, Fence, PeerLoad, Ports};
use crate::routes::{Need, Routes};
use crate::supervise::alarm::Alarm;
use crate::supervise::crashes::{Crashes, Verdict};
use crate::supervise::guard::guard;
use crate::supervise::intake::{Intake, Permit};
use crate::supervise::lifeline::LifeLine;
use crate::supervise::post::post;
use crate::supervise::task::{Isolated, detached, isolated};

/// The actor of one remote server.
pub(crate) struct PeerActor {
    server: ServerName,
    limits: Arc<PeerLimits>,
    ports: Arc<Ports>,
    routes: Routes,
    fence: Fence,
    door: Arc<Door>,
    crashes: Crashes,
    /// `None` while loading, and between a crash and the next load.
    machine: Option<Box<Machine>>,
    told: Told,
    /// Incarnation of the actor, counted by loads; completions of tasks of an earlier incarnation are ignored.
    life: u64,
    replies: BTreeMap<Token, (Reply, Permit)>,
    reports: BTreeMap<Token, Report>,
    /// Replies to the commands that caused the restart in progress; they are sent after the load.
    reborn: Vec<Report>,
    next_token: u64,
    alarm: Alarm,
    /// When the peer is asked for missed transactions once more.
    ask_alarm: Alarm,
    /// Request in flight; it is aborted when it is replaced or dropped.
    attempt: Option<Isolated>,
    reading: Option<Isolated>,
    /// Own address, held between a crash and the end of the next load, because an actor without addresses stops instead
    /// of restarting.
    staying: Option<Box<Addr<Self>>>,
    #[expect(dead_code, reason = "held for its drop, which tells the router")]
    lifeline: LifeLine,
}

impl PeerActor {
    /// Returns an actor that loads its state when it starts.
    #[expect(clippy::too_many_arguments, reason = "each is a different thing the router has in hand, used once")]
    pub(crate) fn new(
        server: ServerName,
        limits: Arc<PeerLimits>,
        ports: Arc<Ports>,
        routes: Routes,
        fence: Fence,
        door: Arc<Door>,
        crashes: Crashes,
        lifeline: LifeLine,
    ) -> Self {
        Self {
            server,
            limits,
            ports,
            routes,
            fence,
            door,
            crashes,
            machine: None,
            told: Told::nothing(),
            life: 0,
            replies: BTreeMap::new(),
            reports: BTreeMap::new(),
            reborn: Vec::new(),
            next_token: 0,
            alarm: Alarm::default(),
            ask_alarm: Alarm::default(),
            attempt: None,
            reading: None,
            staying: None,
            lifeline,
        }
    }

    /// Handles one event; every message, timer and completion comes through here. A panic of the machine ends this
    /// incarnation, and the next one loads from the store.
    fn enter(&mut self, ctx: &mut Context<Self>, event: Event) {
        let Some(machine) = self.machine.as_mut() else { return };
        let clock = &self.ports.clock;
        let before = (machine.state(), machine.failures());
        let stepped = guard(|| machine.step(Moment { now: clock.now(), roll: fastrand::f64() }, event));
        match stepped {
            Ok(effects) => {
                if before != (machine.state(), machine.failures()) {
                    self.told.moved(&self.server, clock.now(), machine);
                }
                self.door.gauge.stepped(machine, self.crashes.over_at(self.limits.restarts));
                for effect in effects {
                    self.perform(ctx, effect);
                }
            }
            Err(panicked) => {
                tracing::error!(peer = %self.server, %panicked, "the peer's machine failed; it restarts from the store");
                self.crashes.note(self.ports.clock.now(), self.limits.restarts);
                self.restart(ctx);
            }
        }
    }

    fn restart(&mut self, ctx: &mut Context<Self>) {
        self.door.gauge.busy();
        self.staying = Some(Box::new(ctx.address()));
        ctx.stop();
    }

    fn perform(&mut self, ctx: &mut Context<Self>, effect: Effect) {
        match effect {
            Effect::Commit(changes, urgency) => drop(self.ports.journal.submit(self.fence, changes, urgency)),
            Effect::Answer(token, answer) => {
                let Some((reply, permit)) = self.replies.remove(&token) else { return };
                let settled = self.ports.journal.barrier();
                detached(async move {
                    // If the journal has stopped, the reply is dropped: the caller learns that the outcome is unknown,
                    // and the process exits.
                    if settled.committed().await.is_ok() {
                        // The caller may have disconnected.
                        let _ = reply.send(answer);
                    }
                    drop(permit);
                });
            }
            Effect::Report(token) => {
                let (Some(reply), Some(machine)) = (self.reports.remove(&token), &self.machine) else { return };
                self.report(reply, machine.status());
            }
            Effect::Decline(token, refusal) => {
                if let Some(reply) = self.reports.remove(&token) {
                    // The operator may have disconnected.
                    let _ = reply.send(Err(refusal));
                }
            }
            Effect::Restart(token) => {
                self.reborn.extend(self.reports.remove(&token));
                self.crashes = Crashes::default();
                self.restart(ctx);
            }
            Effect::Abort => {
                self.attempt = None;
                self.reading = None;
            }
            Effect::Push { attempt, frame, settled } => {
                let transport = self.ports.transport.clone();
                let barrier = settled.then(|| self.ports.journal.barrier());
                let sent = async move {
                    if let Some(barrier) = barrier {
                        let lost = |_| PushFailure::Unreachable("the journal has stopped".to_owned());
                        barrier.committed().await.map_err(lost)?;
                    }
                    // `push` is called inside the task, so that a panic before it returns a future is isolated too.
                    transport.push(frame).await
                };
                let finish = self.finisher(ctx);
                self.attempt = Some(isolated(sent, move |ended| {
                    let outcome: Result<Answered, PushFailure> =
                        ended.unwrap_or_else(|panicked| Err(PushFailure::Unreachable(panicked.to_string())));
                    finish(Event::Replied { attempt, outcome });
                }));
            }
            Effect::Dispatch { group, verified, pdus, behind } => {
                let (from, ports, routes) = (self.server.clone(), self.ports.clone(), self.routes.clone());
                let handover = Handover::new(from, ports, routes, &self.limits);
                let finish = self.finisher(ctx);
                detached(async move {
                    let outcome = handover.run(&group.context, verified, pdus, behind).await;
                    finish(Event::Dispatched(group, outcome));
                });
            }
            Effect::TellStaged(context) => {
                let (routes, settled) = (self.routes.clone(), self.ports.journal.barrier());
                detached(async move {
                    if settled.committed().await.is_ok() {
                        routes.stage_filled(&context).await;
                    }
                });
            }
            Effect::Get { context, want, cause } => self.get(context, want, cause),
            Effect::Ask { of, context, want } => {
                let (routes, cause) = (self.routes.clone(), self.server.clone());
                detached(async move {
                    match routes.peer(&of, Need::Work).await {
                        Ok(peer) => peer.ask(context, want, cause),
                        // The server cannot be asked, for instance because it is not a peer: report that as the result.
                        Err(refusal) => routes.fetched(&context, want, of, Err(refusal.to_string())).await,
                    }
                });
            }
            Effect::Pull(pull) => {
                // Above the limit the peer is not asked now; PDUs that are missing are also noticed by their context.
                let Ok(permit) = self.fetches().enter() else {
                    let (finish, strange) = (self.finisher(ctx), Strange::default());
                    let busy = Err(PushFailure::Unreachable("peers.intake_max questions are open".to_owned()));
                    return detached(async move { finish(Event::Pulled(pull, busy, strange)) });
                };
                let asked = self.ports.transport.pull(&self.server, pull.after, self.limits.deadlines);
                let (server, finish) = (self.server.clone(), self.finisher(ctx));
                let (archive, most) = (self.ports.archive.clone(), self.ports.roster.contexts().adopt_max);
                detached(async move {
                    let pulled = asked.await.inspect_err(|failure| {
                        tracing::debug!(peer = %server, after = pull.after, %failure, "the peer was asked in vain");
                    });
                    drop(permit);
                    let pdus = pulled.iter().flat_map(|pulled| pulled.pdus.iter().flatten());
                    let contexts = unheard_of(&*archive, pdus.map(|pdu| &pdu.context));
                    let strange = Strange { contexts, most };
                    finish(Event::Pulled(pull, pulled, strange));
                });
            }
            Effect::NotAsked { of, context, want } => {
                let routes = self.routes.clone();
                let why = format!("{of} is not asked now; see `fernpost peer show {of}` and fetch_items");
                detached(async move { routes.fetched(&context, want, of, Err(why)).await });
            }
            Effect::Load(from) => {
                let Some((items, bytes)) = self.machine.as_ref().map(|machine| machine.page()) else { return };
                let (archive, server) = (self.ports.archive.clone(), self.server.clone());
                let read = async move { archive.outbox_from(&server, from, items, bytes).await };
                let finish = self.finisher(ctx);
                self.reading = Some(isolated(read, move |ended| {
                    let rows = ended
                        .map_err(|panicked| panicked.to_string())
                        .and_then(|read| read.map_err(|error| error.to_string()));
                    finish(Event::Loaded { from, rows });
                }));
            }
            Effect::Arm(due) => {
                // `Arm` is emitted only when nothing is in flight: drop finished task handles, or they are held for the
                // whole back-off.
                (self.attempt, self.reading) = (None, None);
                let delay = self.ports.clock.now().until(due);
                self.alarm.arm(ctx, delay, Self::due);
            }
            Effect::Disarm => self.alarm.disarm(ctx),
            Effect::AskAt(Some(due)) => {
                let delay = self.ports.clock.now().until(due);
                self.ask_alarm.arm(ctx, delay, Self::ask_due);
            }
            Effect::AskAt(None) => self.ask_alarm.disarm(ctx),
        }
    }

    fn due(&mut self, ctx: &mut Context<Self>, epoch: u64) {
        if self.alarm.fired(epoch) {
            self.enter(ctx, Event::Due);
        }
    }

    fn ask_due(&mut self, ctx: &mut Context<Self>, epoch: u64) {
        if self.ask_alarm.fired(epoch) {
            self.enter(ctx, Event::AskDue);
        }
    }

    fn fetches(&self) -> &Intake {
        self.door.gauge.fetches(self.limits.intake_max)
    }

    /// Fetches PDUs from the peer for a context, which gets the result; the cost is charged to the peer that caused the
    /// fetch.
    fn get(&self, context: ContextId, want: Want, cause: ServerName) {
        let (routes, server) = (self.routes.clone(), self.server.clone());
        // Beyond the bound the peer is not asked, and the conversation asks it again later.
        let Ok(permit) = self.fetches().enter() else {
            let why = "peers.intake_max questions to it are open".to_owned();
            return detached(async move { routes.put_off(&context, want, server, why).await });
        };
        let (transport, deadlines) = (self.ports.transport.clone(), self.limits.deadlines);
        detached(async move {
            // Not the wall clock: set forward meanwhile, it would use up the budget.
            let began = Instant::now();
            let asked = transport.fetch(&server, want.clone(), deadlines).await;
            drop(permit);
            let pdus = asked.inspect_err(|failure| {
                tracing::debug!(peer = %server, %context, %failure, "the peer was asked in vain");
            });
            let pdus = pdus.map_err(|failure| failure.to_string());
            if let Ok(cause) = routes.peer(&cause, Need::Work).await {
                let sound = || pdus.iter().flatten().flatten();
                let bytes = sound().map(|pdu| pdu.bytes.len() as u64).sum();
                cause.spent(Spent { items: sound().count() as u64, bytes, time: began.elapsed() });
            }
            routes.fetched(&context, want, server, pdus).await;
        });
    }

    fn report(&self, reply: Report, status: PeerStatus) {
        let settled = self.ports.journal.barrier();
        detached(async move {
            if settled.committed().await.is_ok() {
                // The operator may have disconnected.
                let _ = reply.send(Ok(status));
            }
        });
    }

    fn finisher(&self, ctx: &Context<Self>) -> impl FnOnce(Event) + 'static {
        let (address, life) = (ctx.address(), self.life);
        move |event| post(&address, Finished { life, event })
    }

    fn load(&mut self, ctx: &mut Context<Self>) {
        self.life += 1;
        let verdict = self.crashes.verdict(self.ports.clock.now(), self.limits.restarts);
        let (ports, server) = (self.ports.clone(), self.server.clone());
        let load = async move {
            if let Verdict::Load(delay) = verdict {
                tokio::time::sleep(delay).await;
            }
            // Without the barrier the load could miss batches that the previous incarnation submitted.
            if ports.journal.barrier().committed().await.is_err() {
                return Err(ArchiveError("the journal has stopped".to_owned()));
            }
            ports.archive.peer(&server).await
        };
        let began = move |loaded, actor: &mut Self, ctx: &mut Context<Self>| actor.begin(ctx, verdict, loaded);
        load.into_actor(self).map(began).wait(ctx);
    }

    fn begin(&mut self, ctx: &mut Context<Self>, verdict: Verdict, loaded: Result<PeerLoad, ArchiveError>) {
        let load = match (loaded, verdict) {
            (Ok(load), _) => load,
            (Err(error), Verdict::Load(_)) => {
                tracing::error!(peer = %self.server, %error, "the peer cannot be loaded; it is tried again");
                self.crashes.note(self.ports.clock.now(), self.limits.restarts);
                return self.restart(ctx);
            }
            // A faulty actor refuses everything and writes nothing, so it needs no rows; another try would be an
            // endless loop.
            (Err(error), Verdict::GiveUp) => {
                tracing::error!(peer = %self.server, %error, "the peer cannot be loaded; it is given up as faulty");
                let (digests, seen, last_error) = (vec![], vec![], None);
                PeerLoad { record: None, tail: Index(0), queued_bytes: 0, digests, seen, last_error }
            }
        };
        let machine = Machine::new(self.ports.us.clone(), self.server.clone(), &self.limits, load);
        self.told = Told::at_start(&machine);
        self.machine = Some(Box::new(machine));
        self.staying = None;
        let event = match verdict {
            Verdict::Load(_) => Event::Started,
            Verdict::GiveUp => Event::GivenUp,
        };
        self.enter(ctx, event);
        if let Some(machine) = &self.machine {
            let status = machine.status();
            for reply in std::mem::take(&mut self.reborn) {
                self.report(reply, status.clone());
            }
        }
    }
}

/// Returns the contexts without a record, each once. If the store cannot be read they count as known, because a limit
/// on new contexts is no reason to refuse PDUs of existing ones.
fn unheard_of<'a>(archive: &dyn Archive, contexts: impl Iterator<Item = &'a ContextId>) -> Vec<ContextId> {
    let mut seen = HashSet::new();
    let is_strange = |context: &&ContextId| archive.context_record(context).is_ok_and(|record| record.is_none());
    contexts.filter(|context| seen.insert(*context)).filter(is_strange).cloned().collect()
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
        self.replies.clear();
        self.reports.clear();
    }
}

impl Handler<Accept> for PeerActor {
    type Result = ();

    fn handle(&mut self, accept: Accept, ctx: &mut Context<Self>) {
        self.next_token += 1;
        let token = Token(self.next_token);
        self.replies.insert(token, (accept.reply, accept.permit));
        let contexts = unheard_of(&*self.ports.archive, accept.frame.contexts());
        let strange = Strange { contexts, most: self.ports.roster.contexts().adopt_max };
        self.enter(ctx, Event::Accept(token, accept.frame, strange));
    }
}

impl Handler<Wake> for PeerActor {
    type Result = ();

    fn handle(&mut self, Wake(woken): Wake, ctx: &mut Context<Self>) {
        self.enter(ctx, Event::Woken { tail: woken.tail, queued_bytes: woken.queued_bytes, rows: woken.rows });
    }
}

impl Handler<Weak> for PeerActor {
    type Result = ();

    fn handle(&mut self, Weak(fleeting): Weak, ctx: &mut Context<Self>) {
        self.enter(ctx, Event::Weak(fleeting));
    }
}

impl Handler<Fetch> for PeerActor {
    type Result = ();

    fn handle(&mut self, Fetch { context, want, of }: Fetch, ctx: &mut Context<Self>) {
        self.enter(ctx, Event::Fetch(context, want, of));
    }
}

impl Handler<Ask> for PeerActor {
    type Result = ();

    fn handle(&mut self, Ask { context, want, cause }: Ask, ctx: &mut Context<Self>) {
        self.enter(ctx, Event::Ask(context, want, cause));
    }
}

impl Handler<Charge> for PeerActor {
    type Result = ();

    fn handle(&mut self, Charge(spent): Charge, ctx: &mut Context<Self>) {
        self.enter(ctx, Event::Spent(spent));
    }
}

impl Handler<Ordered> for PeerActor {
    type Result = ();

    fn handle(&mut self, Ordered { order, reply }: Ordered, ctx: &mut Context<Self>) {
        self.next_token += 1;
        let token = Token(self.next_token);
        self.reports.insert(token, reply);
        self.enter(ctx, Event::Operator(token, order));
    }
}

impl Handler<Status> for PeerActor {
    type Result = ();

    fn handle(&mut self, Status { reply }: Status, _: &mut Context<Self>) {
        if let Some(machine) = &self.machine {
            // The caller may have disconnected.
            let _ = reply.send(machine.status());
        }
    }
}

impl Handler<Finished> for PeerActor {
    type Result = ();

    fn handle(&mut self, finished: Finished, ctx: &mut Context<Self>) {
        if finished.life == self.life {
            self.enter(ctx, finished.event);
        }
    }
}
