//! The actix actor of a context: it turns messages into events and effects into calls of the ports. It takes no
//! decisions.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, ContextFutureSpawner, Handler, Supervised, WrapFuture,
};

use crate::context::machine::{Effect, Event, Machine, Reply, Token};
use crate::context::messages::{
    Answer, Arrive, Compose, Fetched, Fired, IntakeIs, Join, Older, Outcome, PutOff, Quiet, Read, Readmit,
    SetParticipants, Status,
};
use crate::context::reads::Disk;
use crate::limits::ContextLimits;
use crate::model::{ContextId, Pdu, PduRef, Refusal};
use crate::ports::{ArchiveError, ContextLoad, Fence, Known, Ports};
use crate::routes::{Need, Routes};
use crate::supervise::crashes::{Crashes, Verdict};
use crate::supervise::guard::guard;
use crate::supervise::intake::Permit;
use crate::supervise::lifeline::LifeLine;
use crate::supervise::post::post;
use crate::supervise::task::detached;
use crate::supervise::timer::Timer;
use crate::tally::Share;

/// Deaths remembered: more than any restart intensity lets happen in a short time, those of a page of the stage included.
const KILLERS_MAX: usize = 256;

/// Number of crashes on one PDU from which it counts as poison: it is treated as missing everywhere, and its children
/// are delivered with a gap.
const DEATHS: usize = 2;

/// The actor of one context.
pub(crate) struct ContextActor {
    pub(super) context: ContextId,
    limits: Arc<ContextLimits>,
    pub(super) ports: Ports,
    routes: Routes,
    fence: Fence,
    crashes: Crashes,
    /// The PDUs the machine died on, one entry a death. What a peer pushes is tried by the peer's actor, which parks it; a
    /// copy of it that is fetched comes past that, as often as a child waits for it.
    killers: VecDeque<PduRef>,
    /// Staged PDUs are given to the machine one by one: of several it is not known which killed it.
    pub(super) one_by_one: bool,
    /// `None` while loading, and after the actor was given up as faulty.
    machine: Option<Machine>,
    faulty: bool,
    /// Counts loads: a page that an earlier life asked for is not this one's.
    pub(super) life: u64,
    /// Number of messages read from quarantine since the participants changed, for the log.
    pub(super) taken_back: usize,
    /// Reply channels, ordered by token so that they are dropped in a deterministic order.
    answers: BTreeMap<Token, (Answer, Permit)>,
    /// History reads that wait, in order. Those whose caller has gone are dropped when the next one comes.
    reads: Vec<Read>,
    next_token: u64,
    timer: Timer,
    quiet: Timer,
    /// Contribution of this context to the metrics.
    share: Share,
    /// Notifies the router that the context is idle.
    on_quiet: Box<dyn Fn()>,
    #[expect(dead_code, reason = "held for its drop, which tells the router")]
    lifeline: LifeLine,
}

impl ContextActor {
    /// Returns an actor that loads its state when it starts.
    #[expect(clippy::too_many_arguments, reason = "each is a different thing the router has in hand, used once")]
    pub(crate) fn new(
        context: ContextId,
        limits: Arc<ContextLimits>,
        ports: Ports,
        routes: Routes,
        fence: Fence,
        crashes: Crashes,
        on_quiet: Box<dyn Fn()>,
        lifeline: LifeLine,
    ) -> Self {
        Self {
            context,
            limits,
            ports,
            share: Share::new(routes.tally().clone()),
            routes,
            fence,
            crashes,
            killers: VecDeque::new(),
            one_by_one: false,
            machine: None,
            faulty: false,
            life: 0,
            taken_back: 0,
            answers: BTreeMap::new(),
            reads: vec![],
            next_token: 0,
            timer: Timer::default(),
            quiet: Timer::default(),
            on_quiet,
            lifeline,
        }
    }

    /// Handles one event; every message, timer and completion comes through here. A panic of the machine ends this
    /// incarnation, and the next one loads from the store.
    pub(super) fn enter(&mut self, ctx: &mut Context<Self>, event: Event) {
        let Some(machine) = self.machine.as_mut() else { return };
        let brought = brought(&event);
        let clock = &self.ports.clock;
        let reads = Disk::new(&*self.ports.archive, &self.context);
        let done = guard(|| machine.step(clock.now(), event, &reads));
        if let (Ok(_), Some(error)) = (&done, reads.failed()) {
            tracing::error!(context = %self.context, %error, "the state cannot be read; the context restarts");
            return self.crash(ctx);
        }
        match done {
            Ok(effects) => {
                let (ends, forgotten) = machine.take_ends();
                self.share.is(ends, forgotten);
                effects.into_iter().for_each(|effect| self.perform(ctx, effect));
            }
            Err(panicked) => {
                tracing::error!(context = %self.context, %panicked, "the context's machine failed; it restarts from the store");
                self.blame(brought);
                self.crash(ctx);
            }
        }
        self.watch_quiet(ctx);
    }

    /// The machine died on these. Of several each is suspected once, and the next time they come one by one.
    fn blame(&mut self, brought: Vec<PduRef>) {
        let is_alone = brought.len() == 1;
        self.one_by_one |= !is_alone && !brought.is_empty();
        for reference in brought {
            if is_alone || !self.killers.contains(&reference) {
                self.killers.push_back(reference);
            }
        }
        while self.killers.len() > KILLERS_MAX {
            self.killers.pop_front();
        }
    }

    fn crash(&mut self, ctx: &mut Context<Self>) {
        self.crashes.note(self.ports.clock.now(), self.limits.restarts);
        ctx.stop();
    }

    fn perform(&mut self, ctx: &mut Context<Self>, effect: Effect) {
        match effect {
            Effect::Commit(changes, urgency) => drop(self.ports.journal.submit(self.fence, changes, urgency)),
            Effect::HandedOver(token, reply) => {
                if let Some((answer, _)) = self.answers.remove(&token) {
                    // The caller may have given up; it will retry.
                    let _ = answer.send(Outcome::Done(reply));
                }
            }
            Effect::Answer(token, reply) => self.answer(token, reply),
            Effect::AnswerReads(came) => {
                let (reads, settled) = (std::mem::take(&mut self.reads), self.ports.journal.barrier());
                detached(async move {
                    if settled.committed().await.is_ok() {
                        // A caller may have gone; then nobody is owed anything.
                        reads.into_iter().for_each(|read| drop(read.send(Ok(came))));
                    }
                });
            }
            Effect::Release(references) => self.ports.archive.release(&self.context, &references),
            Effect::Fetch { of, want, cause } => {
                let (routes, context) = (self.routes.clone(), self.context.clone());
                detached(async move {
                    // A cause that is no longer a peer has no budget, so the server that is asked pays itself.
                    let payer = match routes.peer(&cause, Need::Work).await {
                        Ok(payer) => Ok(payer),
                        Err(_) => routes.peer(&of, Need::Work).await,
                    };
                    match payer {
                        Ok(payer) => payer.fetch(context, want, of),
                        // The server cannot be asked, for instance because it is not a peer: report that as the result.
                        Err(refusal) => routes.fetched(&context, want, of, Err(refusal.to_string())).await,
                    }
                });
            }
            Effect::TakeBack { participants, after, limit } => self.read_quarantine(ctx, participants, after, limit),
            Effect::ReadStage { after } => self.read_stage(after, ctx),
            Effect::Arm(due) => {
                let address = ctx.address();
                let delay = self.ports.clock.now().until(due);
                self.timer.arm(delay, move |epoch| post(&address, Fired(epoch)));
            }
            Effect::Disarm => self.timer.disarm(),
        }
    }

    fn answer(&mut self, token: Token, reply: Reply) {
        let Some((answer, permit)) = self.answers.remove(&token) else { return };
        let settled = self.ports.journal.barrier();
        detached(async move {
            if settled.committed().await.is_ok() {
                // The caller may have disconnected.
                let _ = answer.send(Outcome::Done(reply));
            }
            drop(permit);
        });
    }

    /// Arms the idle timer: an idle context is evicted, because it is cheap to load again. One with pending work stays.
    fn watch_quiet(&mut self, ctx: &mut Context<Self>) {
        let address = ctx.address();
        self.quiet.arm(self.limits.idle, move |epoch| post(&address, Quiet(epoch)));
    }

    fn load(&mut self, ctx: &mut Context<Self>) {
        self.life += 1;
        let verdict = self.crashes.verdict(self.ports.clock.now(), self.limits.restarts);
        let (ports, context) = (self.ports.clone(), self.context.clone());
        let load = async move {
            if let Verdict::Load(delay) = verdict {
                tokio::time::sleep(delay).await;
            }
            // Without the barrier the load could miss batches that the previous incarnation submitted.
            if ports.journal.barrier().committed().await.is_err() {
                return Err(ArchiveError("the journal has stopped".to_owned()));
            }
            ports.archive.release_all(&context);
            ports.archive.context(&context).await
        };
        let began = move |loaded, actor: &mut Self, ctx: &mut Context<Self>| actor.begin(ctx, verdict, loaded);
        load.into_actor(self).map(began).wait(ctx);
    }

    fn begin(&mut self, ctx: &mut Context<Self>, verdict: Verdict, loaded: Result<Option<ContextLoad>, ArchiveError>) {
        if verdict == Verdict::GiveUp {
            tracing::error!(context = %self.context, "the context failed too often and is given up until the next start");
            self.faulty = true;
            return;
        }
        match loaded {
            Ok(load) => {
                let (limits, text) = (self.limits.clone(), self.ports.text.clone());
                self.machine = Some(Machine::new(self.context.clone(), self.ports.us.clone(), limits, text, load));
                self.enter(ctx, Event::Started);
                if !self.routes.is_open() {
                    self.enter(ctx, Event::Intake { open: false });
                }
            }
            Err(error) => {
                tracing::error!(context = %self.context, %error, "the context cannot be loaded; it is tried again");
                self.crash(ctx);
            }
        }
    }

    /// Returns whether the PDU is not poison.
    pub(super) fn is_sound(&self, reference: &PduRef) -> bool {
        self.killers.iter().filter(|killer| *killer == reference).count() < DEATHS
    }

    /// Registers the reply channel of a request; a faulty context answers at once.
    fn token(&mut self, answer: Answer, permit: Permit) -> Option<Token> {
        if self.faulty {
            // The caller may have gone.
            let _ = answer.send(Outcome::Faulty);
            return None;
        }
        self.next_token += 1;
        let token = Token(self.next_token);
        self.answers.insert(token, (answer, permit));
        Some(token)
    }

    /// Looks up these PDUs and their parents in the store. Unknown PDUs are claimed for this context.
    pub(super) fn look_up(&mut self, ctx: &mut Context<Self>, pdus: &[Pdu]) -> Option<HashMap<PduRef, Known>> {
        let machine = self.machine.as_ref()?;
        let (arriving, parents) = machine.unknown(pdus);
        match self.ports.archive.look_up(&self.context, &arriving, &parents) {
            Ok(known) => Some(known),
            Err(error) => {
                tracing::error!(context = %self.context, %error, "the context cannot look up what it was given; it restarts");
                self.crash(ctx);
                None
            }
        }
    }
}

/// The PDUs an event brings, where it would be tried again with them. Of several that a peer hands over or that were fetched it
/// is not known which kills, and the peer's actor gives them one by one.
fn brought(event: &Event) -> Vec<PduRef> {
    match event {
        Event::Kept { kept: Some(kept), .. } => kept.pdu.iter().map(|pdu| pdu.reference.clone()).collect(),
        Event::Arrive { pdus, .. } | Event::Fetched { pdus, .. } if pdus.len() == 1 => vec![pdus[0].reference.clone()],
        Event::Staged { page, .. } => page.pdus.iter().map(|(staged, _)| staged.reference.clone()).collect(),
        _ => vec![],
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
        self.share.is(0, 0);
        self.timer.disarm();
        self.quiet.disarm();
        self.answers.clear();
        self.reads.clear();
    }
}

impl Handler<Arrive> for ContextActor {
    type Result = ();

    fn handle(&mut self, arrive: Arrive, ctx: &mut Context<Self>) {
        let Arrive { from, verified, pdus, answer, permit } = arrive;
        let Some(token) = self.token(answer, permit) else { return };
        if let Some(known) = self.look_up(ctx, &pdus) {
            self.enter(ctx, Event::Arrive { token, from, verified, pdus, known });
        }
    }
}

impl Handler<Readmit> for ContextActor {
    type Result = ();

    fn handle(&mut self, readmit: Readmit, ctx: &mut Context<Self>) {
        let Readmit { from, pdu, answer, permit } = readmit;
        let Some(token) = self.token(answer, permit) else { return };
        if let Some(known) = self.look_up(ctx, std::slice::from_ref(&pdu)) {
            self.enter(ctx, Event::Readmit { token, from, pdu, known });
        }
    }
}

impl Handler<Compose> for ContextActor {
    type Result = ();

    fn handle(&mut self, compose: Compose, ctx: &mut Context<Self>) {
        let Compose { drafts, reach, answer, permit } = compose;
        let Some(token) = self.token(answer, permit) else { return };
        self.enter(ctx, Event::Compose { token, drafts, reach });
    }
}

impl Handler<SetParticipants> for ContextActor {
    type Result = ();

    fn handle(&mut self, set: SetParticipants, ctx: &mut Context<Self>) {
        let Some(token) = self.token(set.answer, set.permit) else { return };
        self.enter(ctx, Event::Participants { token, servers: set.servers });
    }
}

impl Handler<Join> for ContextActor {
    type Result = ();

    fn handle(&mut self, Join { via, backfill, answer, permit }: Join, ctx: &mut Context<Self>) {
        let Some(token) = self.token(answer, permit) else { return };
        self.enter(ctx, Event::Join { token, via, backfill });
    }
}

impl Handler<Older> for ContextActor {
    type Result = ();

    fn handle(&mut self, Older { limit, answer }: Older, ctx: &mut Context<Self>) {
        if self.faulty {
            // The caller may have gone.
            let _ = answer.send(Err(Refusal::FaultyContext(self.context.clone())));
            return;
        }
        self.reads.retain(|read| !read.is_closed());
        self.reads.push(answer);
        self.enter(ctx, Event::Older { limit });
    }
}

impl Handler<PutOff> for ContextActor {
    type Result = ();

    fn handle(&mut self, PutOff { want, from, why }: PutOff, ctx: &mut Context<Self>) {
        self.enter(ctx, Event::PutOff { want, from, why });
    }
}

impl Handler<Fetched> for ContextActor {
    type Result = ();

    fn handle(&mut self, fetched: Fetched, ctx: &mut Context<Self>) {
        let Fetched { want, from, pdus } = fetched;
        let (pdus, failed) = match pdus {
            Ok(pdus) => (pdus, None),
            Err(why) => (vec![], Some(why)),
        };
        let is_sound = |pdu: &Pdu| self.is_sound(&pdu.reference);
        let pdus: Vec<Pdu> = pdus.into_iter().flatten().filter(is_sound).collect();
        if let Some(known) = self.look_up(ctx, &pdus) {
            self.enter(ctx, Event::Fetched { want, from, pdus, failed, known });
        }
    }
}

impl Handler<Status> for ContextActor {
    type Result = ();

    fn handle(&mut self, Status(reply): Status, _: &mut Context<Self>) {
        if let Some(status) = self.machine.as_ref().map(Machine::status) {
            // The caller may have disconnected.
            let _ = reply.send(status);
        }
    }
}

impl Handler<IntakeIs> for ContextActor {
    type Result = ();

    fn handle(&mut self, IntakeIs { open }: IntakeIs, ctx: &mut Context<Self>) {
        self.enter(ctx, Event::Intake { open });
    }
}

impl Handler<Fired> for ContextActor {
    type Result = ();

    fn handle(&mut self, Fired(epoch): Fired, ctx: &mut Context<Self>) {
        if self.timer.fired(epoch) {
            self.enter(ctx, Event::Due);
        }
    }
}

impl Handler<Quiet> for ContextActor {
    type Result = ();

    fn handle(&mut self, Quiet(epoch): Quiet, ctx: &mut Context<Self>) {
        let fired = self.quiet.fired(epoch);
        if fired && self.machine.as_ref().is_some_and(|machine| machine.is_idle() && self.answers.is_empty()) {
            (self.on_quiet)();
        } else if fired {
            self.watch_quiet(ctx);
        }
    }
}
