//! Pages that a context's actor reads for its machine: quarantined PDUs of servers that participate now, and the stage.

use std::collections::VecDeque;

use actix::{AsyncContext, Context, Handler};

use crate::context::actor::ContextActor;
use crate::context::guarded_step::PendingEvent;
use crate::context::machine::ContextEvent;
use crate::context::messages::{QuarantinePage, StageRead};
use crate::context::provenance::QuarantinedPdu;
use crate::context::stage_page::StagePage;
use crate::model::{ParkedCode, Pdu, QuarantinedPduRow, ServerName, StagedPdu};
use crate::supervise::again::until_read;
use crate::supervise::mailbox::send_unbounded;
use crate::supervise::task::spawn_detached;

/// Maximum number of staged PDUs read at once, and below, of their bytes.
const STAGE_PAGE: u32 = 100;
const STAGE_BYTES: u64 = 1 << 20;

impl ContextActor {
    pub(crate) fn read_quarantine(
        &self,
        ctx: &Context<Self>,
        participants: Vec<ServerName>,
        after: (u64, u64),
        limit: u32,
    ) {
        let (archive, context) = (self.ports.archive.clone(), self.context.clone());
        let (address, life) = (ctx.address(), self.life);
        spawn_detached(async move {
            let read = || archive.peers.quarantined_pdus_of(&context, participants.clone(), after, limit);
            let page = until_read("quarantine of servers that take part now", read).await;
            send_unbounded(&address, QuarantinePage { life, is_full: page.len() == limit as usize, page });
        });
    }

    pub(crate) fn read_stage(&self, after: Option<ServerName>, ctx: &Context<Self>) {
        let (archive, context) = (self.ports.archive.clone(), self.context.clone());
        let (settled, address, life) = (self.ports.journal.barrier(), ctx.address(), self.life);
        let limit = if self.one_by_one { 1 } else { STAGE_PAGE };
        spawn_detached(async move {
            // If the journal has stopped, the process is about to end.
            if settled.committed().await.is_ok() {
                let read = || archive.contexts.staged(&context, after.as_ref(), limit, STAGE_BYTES);
                let page = until_read("the stage", read).await;
                send_unbounded(&address, StageRead { life, page });
            }
        });
    }

    /// Returns a staged PDU as the machine reads it, or the reason why it cannot be read.
    fn readable(&self, staged: &StagedPdu) -> Result<Pdu, ParkedCode> {
        if !self.is_not_poison(&staged.reference) {
            return Err(ParkedCode::Poison);
        }
        self.ports.text.read(&staged.from, &staged.bytes).ok_or(ParkedCode::BadPdu)
    }
}

impl Handler<QuarantinePage> for ContextActor {
    type Result = ();

    fn handle(&mut self, QuarantinePage { life, page, is_full }: QuarantinePage, ctx: &mut Context<Self>) {
        if life != self.life {
            return;
        }
        let last = page.last().filter(|_| is_full).map(|last| last.place);
        self.taken_back += page.len();
        let mut events = VecDeque::with_capacity(page.len() + 1);
        for QuarantinedPduRow { place, reference, from, number, verified, bytes, superseded } in page {
            // A poison PDU stays in quarantine, where the operator can see it.
            let pdu = self.ports.text.read(&from, &bytes).filter(|_| !superseded && self.is_not_poison(&reference));
            let next = last.filter(|last| *last == place);
            // The weakest method is assumed for a row that does not contain it.
            let verified = verified.unwrap_or("network");
            events.push_back(PendingEvent::of_pdus(pdu.into_iter().collect(), move |mut pdus, known| {
                let pdu = pdus.pop();
                let kept = (superseded || pdu.is_some()).then_some(QuarantinedPdu { from, number, verified, pdu });
                ContextEvent::Kept { kept, known, next }
            }));
        }
        if last.is_some() {
            return self.enter_all(ctx, events);
        }
        events.push_back(PendingEvent::plain(ContextEvent::TakenBack));
        self.enter_all(ctx, events);
        let messages = std::mem::take(&mut self.taken_back);
        if messages > 0 {
            tracing::info!(context = %self.context, messages, "quarantined PDUs are checked again, because their \
                senders are participants now");
        }
    }
}

impl Handler<StageRead> for ContextActor {
    type Result = ();

    fn handle(&mut self, StageRead { life, page }: StageRead, ctx: &mut Context<Self>) {
        if life != self.life {
            return;
        }
        self.one_by_one &= !page.is_empty();
        let pdus: Vec<_> = page
            .into_iter()
            .map(|staged| {
                let pdu = self.readable(&staged);
                (staged, pdu)
            })
            .collect();
        let sound: Vec<_> = pdus.iter().filter_map(|(_, pdu)| pdu.as_ref().ok().cloned()).collect();
        let page = StagePage { pdus };
        self.enter_all(ctx, [PendingEvent::of_pdus(sound, |_, known| ContextEvent::Staged { page, known })].into());
    }
}
