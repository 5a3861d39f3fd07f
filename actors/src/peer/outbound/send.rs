//! Selection and sending of the next request.

use crate::change::CommitPriority;
use crate::model::{BatchId, Index, OutboundBatch, OutboxRow};
use crate::peer::effect::{EffectCollector, PeerEffect};
use crate::peer::outbound::ephemeral_buffer::EphemeralItem;
use crate::peer::outbound::outbox_window::{IndexSpan, NextSpan};
use crate::peer::outbound::state::OutboundState;
use crate::peer::outbound::{Outbound, StepInput};

impl Outbound {
    /// Sends the next request, reads the rows for it, or becomes idle.
    pub(super) fn proceed(&mut self, at: StepInput, out: &mut EffectCollector) {
        self.sweeping = None;
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
        let room = self.labels.room(self.batch_cap, &self.limits);
        let (items, end) = self.search.portion(self.outbox.cursor(), if self.probing { 1 } else { room.items });
        match self.outbox.next(items, end, room.bytes) {
            NextSpan::Send(span, rows) => self.send(at, Some(span), rows, out),
            NextSpan::Load(from) => {
                self.set_state(at, OutboundState::Loading);
                out.effect(PeerEffect::Load(from));
            }
            NextSpan::Nothing => self.send(at, None, vec![], out),
        }
    }

    /// Sends a confirmation probe: a push without updates that asks whether the peer has everything up to this item.
    /// Its number is two above the item's, so it is never the number that the peer expects, and the peer cannot take it
    /// for a numbered push.
    fn ask_for(&mut self, at: StepInput, last: Index, out: &mut EffectCollector) {
        let (label, _) = self.labels.label(at.now, None, self.outbox.number(last).next().next());
        self.push(at, label, None, vec![], vec![], out);
    }

    fn send(&mut self, at: StepInput, span: Option<IndexSpan>, rows: Vec<OutboxRow>, out: &mut EffectCollector) {
        let bare = std::mem::take(&mut self.bare) && span.is_some();
        let weak = if bare { vec![] } else { self.ring.take(at.now, self.limits.batch_items, self.limits.batch_bytes) };
        // An empty request is a probe, which a healthy peer does not need.
        if span.is_none() && weak.is_empty() && !self.probing {
            return self.set_state(at, OutboundState::Idle);
        }
        let (label, beyond) = self.labels.label(at.now, span, self.outbox.tail_number());
        if beyond {
            out.moved(CommitPriority::Now);
        }
        self.renumbered |= beyond;
        self.push(at, label, span, rows, weak, out);
    }

    fn push(
        &mut self,
        at: StepInput,
        label: BatchId,
        span: Option<IndexSpan>,
        rows: Vec<OutboxRow>,
        weak: Vec<EphemeralItem>,
        out: &mut EffectCollector,
    ) {
        if self.refuses_label(at, label, out) {
            return;
        }
        self.attempt += 1;
        let attempt = self.attempt;
        let forwarded = self.forwarded.take();
        self.set_state(
            at,
            OutboundState::Sending {
                attempt,
                label,
                span,
                without_ephemeral: weak.is_empty(),
                original_retry_at: forwarded,
            },
        );
        let frame = OutboundBatch {
            to: self.server.clone(),
            label,
            items: rows.into_iter().map(|row| row.item).collect(),
            weak: weak.iter().map(|fleeting| fleeting.edu.clone()).collect(),
            deadlines: self.limits.deadlines,
        };
        self.riding = weak;
        let settled = std::mem::take(&mut self.renumbered);
        out.effect(PeerEffect::Push { attempt, frame, settled });
    }
}
