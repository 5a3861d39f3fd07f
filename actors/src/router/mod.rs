//! The router: starts each actor once, starts another when one dies, lets idle conversations go, and publishes who runs.
//!
//! It owns life cycles, and follows what may run full. Look-ups go through [`Routes`], a read-mostly map that it publishes; it is asked on a miss. A hop
//! through it would cost each message about as much as all else an actor does.

mod directory;
mod peers;

use std::cell::OnceCell;
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Addr, AsyncContext, Context, Handler, Message, Supervisor};
use tokio::sync::oneshot;

use crate::change::Change;
use crate::congestion::{Congestion, Overload};
use crate::context::shell::ContextActor;
use crate::context::{ContextHandle, Doors, WeakContext};
use crate::model::{ContextId, FeedItem, Refusal, ServerName};
use crate::peer::WeakPeer;
use crate::ports::{Ports, Urgency};
pub use crate::routes::Routes;
use crate::routes::{Asks, FindContext, StartPeer};
use crate::supervise::again::until_read;
use crate::supervise::lifeline::LifeLine;
use crate::supervise::post::post;
use crate::supervise::task::{Isolated, isolated};
use directory::{AfterDeath, Directory};

/// At start, actors with work due are woken this far apart ...
const BOOT_STEP: Duration = Duration::from_millis(50);
/// ... and all of them within this.
const BOOT_SPREAD: Duration = Duration::from_secs(120);

/// An actor on its way out.
struct Leaving<W> {
    /// Revives it while it lives.
    last: W,
    /// Who waits to find it anew.
    waiting: Vec<oneshot::Sender<()>>,
}

impl<W> Leaving<W> {
    fn new(last: W) -> Self {
        Self { last, waiting: vec![] }
    }

    /// Completes when it is gone.
    fn gone(&mut self) -> impl Future<Output = ()> + 'static {
        let (gone, left) = oneshot::channel();
        self.waiting.push(gone);
        async move {
            // Dropped or sent, it has left.
            let _ = left.await;
        }
    }
}

/// The root of supervision. Its own panic ends the process: restarted, it would forget who lives.
pub struct Router {
    ports: Arc<Ports>,
    routes: Routes,
    peers: Directory<ServerName>,
    contexts: Directory<ContextId>,
    /// Conversations told to leave and not gone yet: there are never two of the same.
    leaving: HashMap<ContextId, Leaving<WeakContext>>,
    /// The same of peers.
    peers_leaving: HashMap<ServerName, Leaving<WeakPeer>>,
    /// Its own address, which each life line of a peer's reports to.
    me: OnceCell<Arc<Addr<Self>>>,
    booting: Option<Isolated>,
    overload: Arc<Overload>,
    watching: Option<Isolated>,
    #[expect(dead_code, reason = "held for its drop, which ends the process")]
    lifeline: LifeLine,
}

impl Router {
    /// Start a router on this thread. `gone` is told when it has ended, and whether by a panic.
    pub fn launch(ports: Ports, routes: &Routes, gone: impl FnOnce(bool) + Send + 'static) {
        let overload = Arc::new(Overload::new(&ports));
        let router = Self {
            ports: Arc::new(ports),
            overload: overload.clone(),
            watching: None,
            routes: routes.clone(),
            peers: Directory::new(),
            contexts: Directory::new(),
            leaving: HashMap::new(),
            peers_leaving: HashMap::new(),
            me: OnceCell::new(),
            booting: None,
            lifeline: LifeLine::new(gone),
        };
        let router = router.start();
        let (peer, context, start) = (router.clone().recipient(), router.clone().recipient(), router.recipient());
        routes.attach(Asks { peer, context, start }, overload);
    }

    fn find_context(&mut self, ctx: &Context<Self>, context: &ContextId) -> Result<Arc<ContextHandle>, Refusal> {
        if let Some(handle) = self.routes.published_context(context) {
            return Ok(handle);
        }
        let fence = self.ports.ownership.claim_context(context).ok_or_else(elsewhere)?;
        let limits = self.ports.roster.contexts();
        let (generation, deaths) = self.contexts.birth(context);
        let (router, key) = (ctx.address(), Key::Context(context.clone()));
        let lifeline = LifeLine::new(move |crashed| post(&router, Down { key, generation, crashed }));
        let (router, idle) = (ctx.address(), context.clone());
        let on_quiet = Box::new(move || post(&router, Idle { context: idle.clone(), generation }));
        let doors = Doors::new(&limits);
        let (ports, routes) = (Ports::clone(&self.ports), self.routes.clone());
        let actor = ContextActor::new(context.clone(), limits, ports, routes, fence, deaths, on_quiet, lifeline);
        let address = Supervisor::start(move |_| actor);
        let handle = Arc::new(ContextHandle::new(context.clone(), address, doors));
        self.routes.publish_context(context.clone(), handle.clone());
        Ok(handle)
    }
}

impl Router {
    /// Follow what may run full. A clock drives it only while the disk keeps the door shut: then nothing else would open it.
    fn watch(&mut self, ctx: &Context<Self>) {
        const LOOK_EVERY: Duration = Duration::from_secs(1);
        let (overload, address) = (self.overload.clone(), ctx.address());
        let mut bounds = self.ports.archive.feed_bounds();
        let watch = async move {
            let mut state = overload.subscribe();
            post(&address, Congested(*state.borrow_and_update()));
            loop {
                let reached = *bounds.borrow_and_update();
                overload.feed(reached);
                overload.measure();
                let is_low = overload.subscribe().borrow().free.is_some();
                tokio::select! {
                    // Whatever has changed, all of it is looked at above; which is noticed first is not left to chance.
                    biased;
                    changed = state.changed() => match changed {
                        Ok(()) => post(&address, Congested(*state.borrow_and_update())),
                        Err(_closed) => return,
                    },
                    changed = bounds.changed() => if changed.is_err() {
                        return;
                    },
                    () = tokio::time::sleep(LOOK_EVERY), if is_low => {}
                }
            }
        };
        self.watching = Some(isolated(watch, |_| {}));
    }
}

/// Something has run full, or has room again.
#[derive(Message)]
#[rtype(result = "()")]
struct Congested(Congestion);

impl Handler<Congested> for Router {
    type Result = ();

    fn handle(&mut self, Congested(now): Congested, _: &mut Context<Self>) {
        self.routes.tell_intake();
        let told = self.overload.take_news(now);
        let Some(fence) = self.ports.ownership.claim_feed().filter(|_| !told.is_empty()) else { return };
        let notice = |text| Change::Fed(FeedItem::Notice { text, server: None });
        drop(self.ports.journal.submit(fence, told.into_iter().map(notice).collect(), Urgency::Now));
    }
}

/// Another process runs this actor; it is asked, and not us.
fn elsewhere() -> Refusal {
    Refusal::Busy { limit: "ownership", value: 0, wait: Duration::from_secs(1) }
}

impl Actor for Router {
    type Context = Context<Self>;

    /// Peers and conversations with unfinished work are started without any new traffic: a clock drives delivery, also at start.
    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(0); // see the permits of `supervise::intake`
        self.watch(ctx);
        let (archive, address) = (self.ports.archive.clone(), ctx.address());
        let listed = self.ports.roster.listed();
        let boot = async move {
            let behind = until_read("peers with work", || archive.peers_behind(listed.clone())).await;
            let holding = until_read("contexts with work", || archive.contexts_holding()).await;
            let count = u32::try_from(behind.len() + holding.len()).unwrap_or(u32::MAX).max(1);
            let step = BOOT_STEP.min(BOOT_SPREAD / count);
            // Dates, not pauses: a timer rounds up to its millisecond, and thousands of pauses would add that up.
            let begin = tokio::time::Instant::now();
            let mut dates = (0u32..).map(|place| begin + step * place);
            for server in behind {
                tokio::time::sleep_until(dates.next().unwrap_or(begin)).await;
                post(&address, StartPeer { server, woken: None });
            }
            for context in holding {
                tokio::time::sleep_until(dates.next().unwrap_or(begin)).await;
                post(&address, StartContext(context));
            }
        };
        self.booting = Some(isolated(boot, |_| {}));
    }
}

impl Handler<FindContext> for Router {
    type Result = actix::Response<Result<Arc<ContextHandle>, Refusal>>;

    fn handle(&mut self, FindContext(context): FindContext, ctx: &mut Context<Self>) -> Self::Result {
        let Some(leaving) = self.leaving.get_mut(&context) else {
            return actix::Response::reply(self.find_context(ctx, &context));
        };
        if let Some(handle) = leaving.last.revive() {
            // Somebody used it while it was leaving, and it would stay for as long as that keeps it busy: it stays for all.
            self.leaving.remove(&context);
            // It was not told meanwhile.
            handle.tell_intake(self.routes.is_open());
            self.routes.publish_context(context, handle.clone());
            return actix::Response::reply(Ok(handle));
        }
        let (gone, router) = (leaving.gone(), ctx.address());
        let again: Pin<Box<dyn Future<Output = _>>> = Box::pin(async move {
            gone.await;
            router.send(FindContext(context)).await.unwrap_or(Err(Refusal::Stopping))
        });
        actix::Response::fut(again)
    }
}

/// Start a conversation's actor: it has unfinished work.
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

/// A conversation has had nothing to do for a while.
#[derive(Message)]
#[rtype(result = "()")]
struct Idle {
    context: ContextId,
    generation: u64,
}

impl Handler<Idle> for Router {
    type Result = ();

    /// It leaves once the last handle to it is dropped; whoever holds one may still use it. Until it is gone nobody starts
    /// another.
    fn handle(&mut self, idle: Idle, _: &mut Context<Self>) {
        if self.contexts.is_current(&idle.context, idle.generation)
            && let Some(handle) = self.routes.published_context(&idle.context)
        {
            self.routes.withdraw_context(&idle.context);
            self.leaving.insert(idle.context, Leaving::new(handle.downgrade()));
        }
    }
}

/// Which actor.
enum Key {
    Peer(ServerName),
    Context(ContextId),
}

/// An actor is gone.
#[derive(Message)]
#[rtype(result = "()")]
struct Down {
    key: Key,
    generation: u64,
    crashed: bool,
}

impl Handler<Down> for Router {
    type Result = ();

    fn handle(&mut self, down: Down, ctx: &mut Context<Self>) {
        let (now, generation, crashed) = (self.ports.clock.now(), down.generation, down.crashed);
        match down.key {
            Key::Peer(server) => self.peer_down(ctx, &server, generation, crashed, now),
            Key::Context(context) => {
                let limits = self.ports.roster.contexts().restarts;
                let after = self.contexts.death(&context, generation, crashed, now, limits);
                if after != AfterDeath::Nothing {
                    self.routes.withdraw_context(&context);
                    // Those who waited find it anew.
                    self.leaving.remove(&context);
                }
                if after == AfterDeath::Respawn {
                    tracing::error!(%context, "the context's actor died outside its guard; another is started");
                    if let Err(refusal) = self.find_context(ctx, &context) {
                        tracing::error!(%context, %refusal, "the context's actor cannot be started");
                    }
                }
            }
        }
    }
}
