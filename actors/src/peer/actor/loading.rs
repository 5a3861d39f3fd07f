//! The load of a peer's state when its actor starts, and again after a crash.

use actix::{ActorFutureExt, Context, ContextFutureSpawner, WrapFuture};

use crate::peer::actor::PeerActor;
use crate::peer::handover::relaying;
use crate::peer::machine::{PeerEvent, PeerMachine};
use crate::peer::state_log::StateLogger;
use crate::ports::{ArchiveError, PeerSnapshot};
use crate::supervise::restart_intensity::RestartDecision;

impl PeerActor {
    pub(super) fn load(&mut self, ctx: &mut Context<Self>) {
        self.incarnation += 1;
        let verdict = self.crashes.verdict(self.ports.clock.now(), self.limits.restarts());
        let (ports, server) = (self.ports.clone(), self.server.clone());
        let load = async move {
            if let RestartDecision::Load(delay) = verdict {
                tokio::time::sleep(delay).await;
            }
            // Without the barrier the load could miss batches that the previous incarnation submitted.
            if ports.journal.barrier().committed().await.is_err() {
                return Err(ArchiveError("the journal has stopped".to_owned()));
            }
            ports.archive.peers.peer(&server).await
        };
        let began = move |loaded, actor: &mut Self, ctx: &mut Context<Self>| actor.begin(ctx, verdict, loaded);
        load.into_actor(self).map(began).wait(ctx);
    }

    fn begin(&mut self, ctx: &mut Context<Self>, verdict: RestartDecision, loaded: Result<PeerSnapshot, ArchiveError>) {
        let load = match (loaded, verdict) {
            (Ok(load), _) => load,
            (Err(error), RestartDecision::Load(_)) => {
                tracing::error!(peer = %self.server, %error, "the peer cannot be loaded; retrying");
                self.crashes.note(self.ports.clock.now(), self.limits.restarts());
                return self.restart(ctx);
            }
            // A faulty actor refuses everything and writes nothing, so it needs no rows; another try would be an
            // endless loop.
            (Err(error), RestartDecision::GiveUp) => {
                tracing::error!(peer = %self.server, %error, "the peer cannot be loaded; it is given up as faulty");
                PeerSnapshot::default()
            }
        };
        let forwards = load.forwards.iter();
        let held = forwards.filter_map(|row| relaying::held(row, &self.server, &*self.ports.text)).collect();
        let machine = PeerMachine::new(self.ports.us.clone(), self.server.clone(), &self.limits, load).holding(held);
        self.told = StateLogger::at_start(&machine);
        self.machine = Some(Box::new(machine));
        self.keep_alive = None;
        let event = match verdict {
            RestartDecision::Load(_) => PeerEvent::Started,
            RestartDecision::GiveUp => PeerEvent::RestartsExhausted,
        };
        self.handle_event(ctx, event);
        if let Some(machine) = &self.machine {
            let status = machine.status();
            for reply in std::mem::take(&mut self.resume_waiters) {
                self.report(reply, status.clone());
            }
        }
    }
}
