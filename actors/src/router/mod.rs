//! The router: starts each peer's actor once, starts another when one dies, and publishes who runs.
//!
//! It owns life cycles only. Look-ups go through [`Routes`], a read-mostly map that it publishes; it is asked on a miss. A hop
//! through it would cost each message about as much as all else an actor does.

mod directory;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use actix::{Actor, Addr, AsyncContext, Context, Handler, Message, Supervisor};

use crate::limits::PeerLimits;
use crate::model::{Refusal, ServerName};
use crate::peer::PeerHandle;
use crate::peer::shell::{Gauge, PeerActor};
use crate::ports::{Ports, Woken};
use crate::supervise::intake::Intake;
use crate::supervise::lifeline::LifeLine;
use crate::supervise::post::post;
use crate::supervise::task::{Isolated, isolated};
use directory::{AfterDeath, Directory};

/// At start, peers with a backlog are woken this far apart ...
const BOOT_STEP: Duration = Duration::from_millis(50);
/// ... and all of them within this.
const BOOT_SPREAD: Duration = Duration::from_secs(120);

/// Who runs, for any thread.
#[derive(Clone, Default)]
pub struct Routes(Arc<Published>);

#[derive(Default)]
struct Published {
    peers: RwLock<HashMap<ServerName, Arc<PeerHandle>>>,
    router: OnceLock<Addr<Router>>,
}

impl Routes {
    /// The handle of a peer's actor, which is started if need be.
    pub async fn peer(&self, server: &ServerName) -> Result<Arc<PeerHandle>, Refusal> {
        if let Some(handle) = self.published(server) {
            return Ok(handle);
        }
        let router = self.0.router.get().ok_or(Refusal::Stopping)?;
        router.send(FindPeer(server.clone())).await.unwrap_or(Err(Refusal::Stopping))
    }

    /// Work was queued for a peer: a hint for its actor. Any thread may call this.
    pub fn woken(&self, woken: Woken) {
        match (self.published(&woken.server), self.0.router.get()) {
            (Some(handle), _) => handle.wake(woken),
            (None, Some(router)) => post(router, Start(woken.server)),
            (None, None) => {}
        }
    }

    fn published(&self, server: &ServerName) -> Option<Arc<PeerHandle>> {
        // A poisoned lock means that an insert or a look-up panicked; the map itself is whole.
        let peers = self.0.peers.read().unwrap_or_else(PoisonError::into_inner);
        peers.get(server).filter(|handle| handle.is_alive()).cloned()
    }

    fn publish(&self, server: ServerName, handle: Arc<PeerHandle>) {
        self.0.peers.write().unwrap_or_else(PoisonError::into_inner).insert(server, handle);
    }
}

/// The root of supervision. Its own panic ends the process: restarted, it would forget who lives.
pub struct Router {
    ports: Ports,
    routes: Routes,
    directory: Directory,
    booting: Option<Isolated>,
    #[expect(dead_code, reason = "held for its drop, which ends the process")]
    lifeline: LifeLine,
}

impl Router {
    /// Start a router on this thread. `gone` is told when it has ended, and whether by a panic.
    pub fn launch(ports: Ports, routes: &Routes, gone: impl FnOnce(bool) + Send + 'static) {
        let address = Self {
            ports,
            routes: routes.clone(),
            directory: Directory::default(),
            booting: None,
            lifeline: LifeLine::new(gone),
        }
        .start();
        // Launched twice, the first one stays: its peers are the published ones.
        let _ = routes.0.router.set(address);
    }

    fn find(&mut self, ctx: &Context<Self>, server: &ServerName) -> Result<Arc<PeerHandle>, Refusal> {
        if let Some(handle) = self.routes.published(server) {
            return Ok(handle);
        }
        let limits = self.ports.roster.limits(server).ok_or_else(|| Refusal::UnknownPeer(server.clone()))?;
        self.birth(ctx, server, &limits)
    }

    fn birth(
        &mut self,
        ctx: &Context<Self>,
        server: &ServerName,
        limits: &Arc<PeerLimits>,
    ) -> Result<Arc<PeerHandle>, Refusal> {
        let elsewhere = || Refusal::Busy { limit: "ownership", value: 0, wait: Duration::from_secs(1) };
        let fence = self.ports.ownership.claim(server).ok_or_else(elsewhere)?;
        let (generation, deaths) = self.directory.birth(server);
        let (router, name) = (ctx.address(), server.clone());
        let lifeline = LifeLine::new(move |crashed| post(&router, Down { server: name, generation, crashed }));
        let gauge = Arc::new(Gauge::default());
        let handle = {
            let (server, limits, gauge) = (server.clone(), limits.clone(), gauge.clone());
            let actor = PeerActor::new(server, limits, self.ports.clone(), fence, gauge, deaths, lifeline);
            Supervisor::start(move |_| actor)
        };
        let intake = Intake::new(limits.intake_max);
        let handle = Arc::new(PeerHandle::new(server.clone(), handle, intake, gauge, limits.outbox_items));
        self.routes.publish(server.clone(), handle.clone());
        Ok(handle)
    }
}

impl Actor for Router {
    type Context = Context<Self>;

    /// Whoever has something unsent is woken without any new traffic: a clock drives delivery, also at start.
    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(0); // see the permits of `supervise::intake`
        let (archive, address) = (self.ports.archive.clone(), ctx.address());
        let boot = async move {
            let behind = match archive.peers_behind().await {
                Ok(behind) => behind,
                Err(error) => {
                    return tracing::error!(%error, "peers with a backlog are not known; they wake with traffic");
                }
            };
            let count = u32::try_from(behind.len()).unwrap_or(u32::MAX).max(1);
            let step = BOOT_STEP.min(BOOT_SPREAD / count);
            // Dates, not pauses: a timer rounds up to its millisecond, and thousands of pauses would add that up.
            let begin = tokio::time::Instant::now();
            for (place, server) in (0u32..).zip(behind) {
                tokio::time::sleep_until(begin + step * place).await;
                post(&address, Start(server));
            }
        };
        self.booting = Some(isolated(boot, |_| {}));
    }
}

/// Find a peer's actor, or start it.
#[derive(Message)]
#[rtype(result = "Result<Arc<PeerHandle>, Refusal>")]
struct FindPeer(ServerName);

impl Handler<FindPeer> for Router {
    type Result = Result<Arc<PeerHandle>, Refusal>;

    fn handle(&mut self, FindPeer(server): FindPeer, ctx: &mut Context<Self>) -> Self::Result {
        self.find(ctx, &server)
    }
}

/// Start a peer's actor: there is work for it.
#[derive(Message)]
#[rtype(result = "()")]
struct Start(ServerName);

impl Handler<Start> for Router {
    type Result = ();

    fn handle(&mut self, Start(server): Start, ctx: &mut Context<Self>) {
        // A peer that was taken out of the configuration keeps its queue and is not written to.
        if let Err(refusal) = self.find(ctx, &server) {
            tracing::warn!(peer = %server, %refusal, "there is work for a peer that cannot be started");
        }
    }
}

/// An actor is gone.
#[derive(Message)]
#[rtype(result = "()")]
struct Down {
    server: ServerName,
    generation: u64,
    crashed: bool,
}

impl Handler<Down> for Router {
    type Result = ();

    fn handle(&mut self, down: Down, ctx: &mut Context<Self>) {
        let Some(limits) = self.ports.roster.limits(&down.server) else { return };
        let now = self.ports.clock.now();
        if self.directory.death(&down.server, down.generation, down.crashed, now, limits.restarts)
            == AfterDeath::Respawn
        {
            tracing::error!(peer = %down.server, "the peer's actor died outside its guard; another is started");
            if let Err(refusal) = self.birth(ctx, &down.server, &limits) {
                tracing::error!(peer = %down.server, %refusal, "the peer's actor cannot be started");
            }
        }
    }
}
