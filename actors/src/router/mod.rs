//! The router starts each actor once, replaces actors that crash, evicts idle ones, and publishes the running ones.
//!
//! It owns the life cycles and monitors overload. Lookups go through the read-mostly map that it publishes; the router
//! itself is asked only on a miss, because a hop through it would cost each message about as much as all other work of
//! an actor.

mod config_change;
mod generations;
mod idle_sweep;
mod receipt_teller;
pub(crate) mod registry;
mod residency;
mod sparse_map;

use std::cell::OnceCell;
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Addr, AsyncContext, Context, Handler, Message, Supervisor};
use tokio::sync::oneshot;

use crate::change::Change;
use crate::context::actor::ContextActor;
use crate::context::{ContextHandle, Doors, WeakContext};
use crate::errors::{AdmissionError, UnavailableError};
use crate::limits::ContextLimits;
use crate::model::{ContextId, FeedItem, ServerName};
use crate::overload::{Congestion, OverloadMonitor};
use crate::peer::WeakPeer;
use crate::ports::{CommitPriority, Ports};
use crate::router::generations::{ExitAction, GenerationTable};
use crate::router::idle_sweep::IdleSweep;
use crate::router::receipt_teller::ReceiptTeller;
pub use crate::router::registry::ActorRegistry;
use crate::router::registry::{FindContext, RouterRecipients, StartPeer};
use crate::supervise::again::until_read;
use crate::supervise::mailbox::send_unbounded;
use crate::supervise::monitor::ExitMonitor;
use crate::supervise::task::{IsolatedTask, spawn_abortable};

/// Interval between the starts of actors with pending work when the process starts.
const BOOT_STEP: Duration = Duration::from_millis(50);
/// Period within which all of them are started; many actors shorten the interval.
const BOOT_SPREAD: Duration = Duration::from_secs(120);

/// An actor that is stopping.
struct StoppingActor<W> {
    /// Weak handle that revives the actor while it still runs.
    last: W,
    /// Lookups that wait until the actor has stopped.
    waiting: Vec<oneshot::Sender<()>>,
}

impl<W> StoppingActor<W> {
    fn new(last: W) -> Self {
        Self { last, waiting: vec![] }
    }

    /// Returns a future that completes when the actor has stopped.
    fn gone(&mut self) -> impl Future<Output = ()> + 'static {
        let (gone, left) = oneshot::channel();
        self.waiting.push(gone);
        async move {
            // A dropped sender and a sent value both mean that the actor has stopped.
            let _ = left.await;
        }
    }
}

/// The root of supervision. Its own panic ends the process, because a restarted router would not know which actors run.
pub struct Router {
    ports: Arc<Ports>,
    routes: ActorRegistry,
    peers: GenerationTable<ServerName>,
    contexts: GenerationTable<ContextId>,
    /// Contexts that are stopping. No second actor of the same context starts before the first has stopped.
    leaving: HashMap<ContextId, StoppingActor<WeakContext>>,
    /// Peers that are stopping, in the same way.
    peers_leaving: HashMap<ServerName, StoppingActor<WeakPeer>>,
    /// Finds the peers that leave memory because they have been idle.
    sweep: IdleSweep,
    /// Address of the router, which the monitors of peers report to.
    own_address: OnceCell<Arc<Addr<Self>>>,
    booting: Option<IsolatedTask>,
    /// Start of peers that a changed configuration lists.
    starting: Option<IsolatedTask>,
    /// Limits that the running contexts have.
    context_limits: Arc<ContextLimits>,
    overload: Arc<OverloadMonitor>,
    watching: Option<IsolatedTask>,
    /// Reader of the acknowledged feed, for receipts.
    telling: Option<IsolatedTask>,
    #[expect(dead_code, reason = "held for its drop, which ends the process")]
    lifeline: ExitMonitor,
}

impl Router {
    /// Starts a router on this thread. `gone` is called when it ends, with whether a panic ended it.
    pub fn launch(ports: Ports, routes: &ActorRegistry, gone: impl FnOnce(bool) + Send + 'static) {
        let overload = Arc::new(OverloadMonitor::new(&ports));
        let router = Self {
            overload: overload.clone(),
            watching: None,
            telling: None,
            routes: routes.clone(),
            peers: GenerationTable::new(),
            contexts: GenerationTable::new(),
            leaving: HashMap::new(),
            peers_leaving: HashMap::new(),
            sweep: IdleSweep::default(),
            own_address: OnceCell::new(),
            booting: None,
            starting: None,
            context_limits: ports.roster.contexts(),
            lifeline: ExitMonitor::new(gone),
            ports: Arc::new(ports),
        };
        let router = router.start();
        let recipients = RouterRecipients {
            peer: router.clone().recipient(),
            context: router.clone().recipient(),
            start: router.clone().recipient(),
            config: router.recipient(),
        };
        routes.attach(recipients, overload);
    }

    fn find_context(
        &mut self,
        ctx: &Context<Self>,
        context: &ContextId,
    ) -> Result<Arc<ContextHandle>, UnavailableError> {
        if let Some(handle) = self.routes.published_context(context) {
            return Ok(handle);
        }
        let fence = self.ports.ownership.claim_context(context).ok_or_else(not_owned)?;
        let limits = self.ports.roster.contexts();
        let (generation, deaths) = self.contexts.register_start(context);
        let (router, key) = (ctx.address(), ActorKey::Context(context.clone()));
        let lifeline = ExitMonitor::new(move |crashed| send_unbounded(&router, ActorDown { key, generation, crashed }));
        let (router, idle) = (ctx.address(), context.clone());
        let on_quiet = Box::new(move || send_unbounded(&router, ActorIdle { context: idle.clone(), generation }));
        let doors = Doors::new(&limits);
        let (ports, routes) = (Ports::clone(&self.ports), self.routes.clone());
        let actor = ContextActor::new(context.clone(), limits, ports, routes, fence, deaths, on_quiet, lifeline);
        let address = Supervisor::start(move |_| actor);
        let handle = Arc::new(ContextHandle::new(context.clone(), address.recipient(), doors));
        self.routes.publish_context(context.clone(), handle.clone());
        Ok(handle)
    }
}

impl Router {
    /// Watches the feed and the disk for overload. A timer runs only while the disk is low, because nothing else would
    /// then cause a new measurement.
    fn watch(&mut self, ctx: &Context<Self>) {
        const LOOK_EVERY: Duration = Duration::from_secs(1);
        // Each commit changes the feed, and waking this thread for each costs as much as a small commit. What is taken in is checked
        // against the feed as it is; only the word to the messenger and to the contexts may come so much later.
        const REST: Duration = Duration::from_millis(20);
        let (overload, address) = (self.overload.clone(), ctx.address());
        let mut bounds = self.ports.archive.feed.feed_bounds();
        let watch = async move {
            let mut state = overload.subscribe();
            send_unbounded(&address, OverloadChanged(*state.borrow_and_update()));
            loop {
                bounds.borrow_and_update();
                overload.measure();
                let is_low = overload.subscribe().borrow().free.is_some();
                tokio::select! {
                    // `biased` makes the order of the branches deterministic; whichever branch wakes, everything is
                    // measured above.
                    biased;
                    changed = state.changed() => match changed {
                        Ok(()) => send_unbounded(&address, OverloadChanged(*state.borrow_and_update())),
                        Err(_closed) => return,
                    },
                    changed = bounds.changed() => {
                        if changed.is_err() {
                            return;
                        }
                        tokio::time::sleep(REST).await;
                    }
                    () = tokio::time::sleep(LOOK_EVERY), if is_low => {}
                }
            }
        };
        self.watching = Some(spawn_abortable(watch, |_| {}));
    }
}

/// The overload state has changed.
#[derive(Message)]
#[rtype(result = "()")]
struct OverloadChanged(Congestion);

impl Handler<OverloadChanged> for Router {
    type Result = ();

    fn handle(&mut self, OverloadChanged(now): OverloadChanged, _: &mut Context<Self>) {
        self.routes.tell_intake();
        let told = self.overload.take_transitions(now);
        let Some(fence) = self.ports.ownership.claim_feed().filter(|_| !told.is_empty()) else { return };
        let notice = |text| Change::FeedAppended(FeedItem::Notice { text, server: None });
        drop(self.ports.journal.submit(fence, told.into_iter().map(notice).collect(), CommitPriority::Now));
    }
}

/// Returns the refusal for an actor that another process owns; that process must be asked.
fn not_owned() -> AdmissionError {
    AdmissionError::LimitReached { limit: "ownership", value: 0, wait: Duration::from_secs(1) }
}

impl Actor for Router {
    type Context = Context<Self>;

    /// Starts peers and contexts with unfinished work without new traffic, because timers drive delivery from the start on.
    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(0); // see the permits of `supervise::intake`
        self.watch(ctx);
        let teller = ReceiptTeller { ports: self.ports.clone(), routes: self.routes.clone() };
        self.telling = Some(spawn_abortable(teller.run(), |_| {}));
        let (archive, address) = (self.ports.archive.clone(), ctx.address());
        let listed = self.ports.roster.listed();
        let boot = async move {
            let behind = until_read("peers with work", || archive.peers.peers_with_backlog(listed.clone())).await;
            let holding = until_read("contexts with work", || archive.contexts.contexts_with_held_pdus()).await;
            let count = u32::try_from(behind.len() + holding.len()).unwrap_or(u32::MAX).max(1);
            let step = BOOT_STEP.min(BOOT_SPREAD / count);
            // Absolute times are used instead of pauses: a timer rounds up to its millisecond, and thousands of pauses
            // would add that up.
            let begin = tokio::time::Instant::now();
            let mut dates = (0u32..).map(|place| begin + step * place);
            for server in behind {
                tokio::time::sleep_until(dates.next().unwrap_or(begin)).await;
                send_unbounded(&address, StartPeer { server, woken: None });
            }
            for context in holding {
                tokio::time::sleep_until(dates.next().unwrap_or(begin)).await;
                send_unbounded(&address, StartContext(context));
            }
        };
        self.booting = Some(spawn_abortable(boot, |_| {}));
    }
}

impl Handler<FindContext> for Router {
    type Result = actix::Response<Result<Arc<ContextHandle>, UnavailableError>>;

    fn handle(&mut self, FindContext(context): FindContext, ctx: &mut Context<Self>) -> Self::Result {
        let Some(leaving) = self.leaving.get_mut(&context) else {
            return actix::Response::reply(self.find_context(ctx, &context));
        };
        if let Some(handle) = leaving.last.revive() {
            // A handle is still held, so the actor cannot stop: cancel the shutdown and publish the actor again.
            self.leaving.remove(&context);
            // Send the intake state and the limits again, because changes are not sent to an actor that is stopping.
            handle.tell_intake(self.routes.is_open());
            handle.change_limits(&self.ports.roster.contexts());
            self.routes.publish_context(context, handle.clone());
            return actix::Response::reply(Ok(handle));
        }
        let (gone, router) = (leaving.gone(), ctx.address());
        let again: Pin<Box<dyn Future<Output = _>>> = Box::pin(async move {
            gone.await;
            router.send(FindContext(context)).await.unwrap_or(Err(UnavailableError::Stopping))
        });
        actix::Response::fut(again)
    }
}

/// Start the actor of a context with unfinished work.
#[derive(Message)]
#[rtype(result = "()")]
struct StartContext(ContextId);

impl Handler<StartContext> for Router {
    type Result = ();

    fn handle(&mut self, StartContext(context): StartContext, ctx: &mut Context<Self>) {
        if let Err(refusal) = self.find_context(ctx, &context) {
            tracing::warn!(%context, %refusal, "a context with unfinished work cannot be started");
        }
    }
}

/// A context has been idle for a while.
#[derive(Message)]
#[rtype(result = "()")]
struct ActorIdle {
    context: ContextId,
    generation: u64,
}

impl Handler<ActorIdle> for Router {
    type Result = ();

    /// Withdraws the context. Its actor stops when the last handle is dropped, and holders may use it until then; no
    /// second actor starts before it has stopped.
    fn handle(&mut self, idle: ActorIdle, _: &mut Context<Self>) {
        if self.contexts.is_current(&idle.context, idle.generation)
            && let Some(handle) = self.routes.published_context(&idle.context)
        {
            self.routes.withdraw_context(&idle.context);
            self.leaving.insert(idle.context, StoppingActor::new(handle.downgrade()));
        }
    }
}

/// The key of an actor.
enum ActorKey {
    Peer(ServerName),
    Context(ContextId),
}

/// An actor has exited.
#[derive(Message)]
#[rtype(result = "()")]
struct ActorDown {
    key: ActorKey,
    generation: u64,
    crashed: bool,
}

impl Handler<ActorDown> for Router {
    type Result = ();

    fn handle(&mut self, down: ActorDown, ctx: &mut Context<Self>) {
        let (now, generation, crashed) = (self.ports.clock.now(), down.generation, down.crashed);
        match down.key {
            ActorKey::Peer(server) => self.peer_down(ctx, &server, generation, crashed, now),
            ActorKey::Context(context) => {
                let limits = self.ports.roster.contexts().restarts;
                let after = self.contexts.register_exit(&context, generation, crashed, now, limits);
                if after != ExitAction::Nothing {
                    self.routes.withdraw_context(&context);
                    // Dropping the entry wakes the waiting lookups, which then look the context up again.
                    self.leaving.remove(&context);
                }
                if after == ExitAction::Respawn {
                    tracing::error!(%context, "the context's actor died outside its guard; another is started");
                    if let Err(refusal) = self.find_context(ctx, &context) {
                        tracing::error!(%context, %refusal, "the context's actor cannot be started");
                    }
                }
            }
        }
    }
}
