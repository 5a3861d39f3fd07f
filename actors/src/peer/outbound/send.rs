//! Selection and sending of the next request.

use crate::change::CommitPriority;
use crate::model::{BatchId, Edu, Index, OutboundBatch, OutboxRow};
use crate::peer::effect::{EffectCollector, PeerEffect};
use crate::peer::outbound::outbox_window::{IndexSpan, NextSpan};
use crate::peer::outbound::progress::state::SendMode;
use crate::peer::outbound::{Outbound, StepInput};

impl Outbound {
    /// Sends the next request, reads the rows for it, or becomes idle.
    pub(super) fn proceed(&mut self, at: StepInput, out: &mut EffectCollector) {
        self.expiry.stop();
        self.close_gap_at_cursor(out);
        if let Some((index, reason)) = self.outbox.front().and_then(|front| self.unconfirmed.leaves(front)) {
            return self.park(at, index, reason, out);
        }
        if self.unconfirmed.question().is_none() {
            self.expire_loaded(at, out);
        }
        if let Some(last) = self.unconfirmed.question() {
            return self.ask_for(at, last, out);
        }
        let room = self.labels.room(self.rejected.batch_cap(), &self.limits);
        let items = if self.progress.is_probing() { 1 } else { room.items };
        let (items, end) = self.rejected.portion(self.outbox.cursor(), items);
        match self.outbox.next(items, end, room.bytes) {
            NextSpan::Send(span, rows) => self.send(at, Some(span), rows, out),
            NextSpan::Load(from) => {
                self.progress.load(at.now);
                out.effect(PeerEffect::Load(from));
            }
            NextSpan::Nothing => self.send(at, None, vec![], out),
        }
    }

    /// Sends a confirmation probe: a push without updates that asks whether the peer has everything up to this item. Its
    /// number is two above the item's, so it is never the number that the peer expects, and the peer cannot take it for a
    /// numbered push.
    fn ask_for(&mut self, at: StepInput, last: Index, out: &mut EffectCollector) {
        let (label, _) = self.labels.label(at.now, None, self.outbox.number(last).next().next());
        self.ephemeral.let_go();
        self.push(at, label, SendMode::Confirm, vec![], vec![], out);
    }

    fn send(&mut self, at: StepInput, span: Option<IndexSpan>, rows: Vec<OutboxRow>, out: &mut EffectCollector) {
        let weak = match self.rejected.take_without_ephemeral(span.is_some()) {
            true => {
                self.ephemeral.let_go();
                vec![]
            }
            false => self.ephemeral.take(at.now, self.limits.batch_items, self.limits.batch_bytes),
        };
        // An empty request is a probe, which a healthy peer does not need.
        if span.is_none() && weak.is_empty() && !self.progress.is_probing() {
            return self.progress.rest(at.now);
        }
        let mode = match span {
            Some(span) if weak.is_empty() => SendMode::WithoutEphemeral(span),
            Some(span) => SendMode::Normal(span),
            None => SendMode::WithoutItems,
        };
        let (label, beyond) = self.labels.label(at.now, span, self.outbox.tail_number());
        if beyond {
            out.moved(CommitPriority::Now);
            self.renumbering.assign();
        }
        self.push(at, label, mode, rows, weak, out);
    }

    fn push(
        &mut self,
        at: StepInput,
        label: BatchId,
        mode: SendMode,
        rows: Vec<OutboxRow>,
        weak: Vec<Edu>,
        out: &mut EffectCollector,
    ) {
        if self.refuses_label(at, label, out) {
            return;
        }
        let attempt = self.progress.begin_attempt(at.now, label, mode);
        let frame = OutboundBatch {
            to: self.server.clone(),
            dialect: self.limits.dialect,
            label,
            items: rows.into_iter().map(|row| row.item).collect(),
            weak,
            deadlines: self.limits.deadlines(),
        };
        let settled = self.renumbering.take_uncommitted();
        out.effect(PeerEffect::Push { attempt, frame, settled });
    }
}
