//! The actor that orders the certificate of the federation listener when it is due.

use std::path::PathBuf;
use std::sync::Arc;

use actix::{Actor, AsyncContext, Context, Handler, Message};
use actors::model::Millis;
use actors::ports::Clock;
use actors::supervise::alarm::TimerSlot;
use actors::supervise::catch_panic::StepPanicked;
use actors::supervise::mailbox;
use actors::supervise::task::{IsolatedTask, spawn_abortable};

use crate::tls::acme::certificate_order::{OrderError, OrderParts};
use crate::tls::acme::http_answers::HttpAnswers;
use crate::tls::acme::options::AcmeOptions;
use crate::tls::acme::renewal_machine::{RenewalEffect, RenewalEvent, RenewalMachine, renewal_due};
use crate::tls::key_pair::KeyPairFiles;

/// The actor. It stops with its last address.
pub struct RenewalActor {
    machine: RenewalMachine,
    timer: TimerSlot,
    /// The order under way; it is aborted when the actor ends.
    under_way: Option<IsolatedTask>,
    parts: Arc<OrderParts>,
    clock: Arc<dyn Clock>,
}

impl RenewalActor {
    /// Returns the actor for a certificate of these names.
    pub fn new(
        options: AcmeOptions,
        names: Vec<String>,
        (data_dir, files): (PathBuf, KeyPairFiles),
        answers: HttpAnswers,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let machine = RenewalMachine::new(options.retry_min, options.retry_max);
        let parts = Arc::new(OrderParts { options, names, answers, data_dir, files });
        Self { machine, timer: TimerSlot::default(), under_way: None, parts, clock }
    }

    /// Returns when the certificate in the files is to be renewed: at once if it cannot be used, is our own first one, or lacks a name.
    fn due(&self) -> Millis {
        let Ok(pair) = self.parts.files.load() else { return Millis(0) };
        let certificate = pair.certificate;
        if certificate.is_self_signed() || !self.parts.names.iter().all(|name| certificate.covers(name)) {
            return Millis(0);
        }
        renewal_due((certificate.not_before(), certificate.not_after()), self.parts.options.renew_before)
    }

    /// The one entry of everything that wakes the actor.
    fn enter(&mut self, event: RenewalEvent, context: &mut Context<Self>) {
        match self.machine.step(self.clock.now(), event) {
            None => {}
            Some(RenewalEffect::WakeAfter(pause)) => self.timer.arm(context, pause, Self::wake),
            Some(RenewalEffect::Order) => self.order(context),
        }
    }

    fn wake(&mut self, context: &mut Context<Self>, epoch: u64) {
        if self.timer.fired(epoch) {
            self.enter(RenewalEvent::Woken, context);
        }
    }

    fn order(&mut self, context: &Context<Self>) {
        let (parts, actor) = (Arc::clone(&self.parts), context.address());
        tracing::info!(names = %parts.names.join(", "), directory = %parts.options.directory, "a certificate is ordered");
        // There is one order at a time, so the mailbox holds at most one end.
        let ended = move |result: Result<Result<(), OrderError>, StepPanicked>| {
            mailbox::send_unbounded(&actor, OrderEnded(result.map_err(|panic| panic.0)));
        };
        self.under_way = Some(spawn_abortable(async move { parts.order().await }, ended));
    }
}

/// The end of an order; a panic is told by its words.
#[derive(Message)]
#[rtype(result = "()")]
struct OrderEnded(Result<Result<(), OrderError>, String>);

impl Handler<OrderEnded> for RenewalActor {
    type Result = ();

    fn handle(&mut self, OrderEnded(result): OrderEnded, context: &mut Context<Self>) {
        self.under_way = None;
        let names = self.parts.names.join(", ");
        let event = match result {
            Ok(Ok(())) => {
                tracing::info!(names, "a certificate was issued");
                RenewalEvent::Issued { due: self.due() }
            }
            Ok(Err(error)) => {
                tracing::error!(%error, names, "no certificate was issued; the one before stays in use");
                RenewalEvent::Failed
            }
            Err(panic) => {
                tracing::error!(panic, names, "an order of a certificate crashed");
                RenewalEvent::Failed
            }
        };
        self.enter(event, context);
    }
}

impl Actor for RenewalActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let due = self.due();
        self.enter(RenewalEvent::Started { due }, context);
    }
}
