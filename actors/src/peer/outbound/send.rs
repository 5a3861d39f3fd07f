//! Selection and sending of the next request.

use super::{Moment, Outbound, State};
use crate::change::Urgency;
use crate::model::{Index, Label, OutFrame, OutboxRow};
use crate::peer::effect::{Effect, Out};
use crate::peer::outbox::{Next, Span};
use crate::peer::weak::Fleeting;

impl Outbound {
    /// Sends the next request, reads the rows for it, or becomes idle.
    pub(super) fn proceed(&mut self, at: Moment, out: &mut Out) {
        self.sweeping = None;
        self.mend(out);
        if let Some((index, reason)) = self.outbox.front().and_then(|front| self.doubt.leaves(front)) {
            return self.park(at, index, reason, out);
        }
        if self.doubt.question().is_none() {
            self.expire_loaded(at, out);
        }
        if let Some(last) = self.doubt.question() {
            return self.ask_for(at, last, out);
        }
        let room = self.labels.room(self.cap, &self.limits);
        let (items, end) = self.search.portion(self.outbox.cursor(), if self.probing { 1 } else { room.items });
        match self.outbox.next(items, end, room.bytes) {
            Next::Send(span, rows) => self.send(at, Some(span), rows, out),
            Next::Load(from) => {
                self.enter(at, State::Loading);
                out.effect(Effect::Load(from));
            }
            Next::Nothing => self.send(at, None, vec![], out),
        }
    }

    /// Sends a confirmation probe: a push without updates that asks whether the peer has everything up to this item.
    /// Its number is two above the item's, so it is never the number that the peer expects, and the peer cannot take it
    /// for a numbered push.
    fn ask_for(&mut self, at: Moment, last: Index, out: &mut Out) {
        let (label, _) = self.labels.label(at.now, None, self.outbox.number(last).next().next());
        self.push(at, label, None, vec![], vec![], out);
    }

    fn send(&mut self, at: Moment, span: Option<Span>, rows: Vec<OutboxRow>, out: &mut Out) {
        let bare = std::mem::take(&mut self.bare) && span.is_some();
        let weak = if bare { vec![] } else { self.ring.take(at.now, self.limits.batch_items, self.limits.batch_bytes) };
        // An empty request is a probe, which a healthy peer does not need.
        if span.is_none() && weak.is_empty() && !self.probing {
            return self.enter(at, State::Idle);
        }
        let (label, beyond) = self.labels.label(at.now, span, self.outbox.tail_number());
        if beyond {
            out.moved(Urgency::Now);
        }
        self.renumbered |= beyond;
        self.push(at, label, span, rows, weak, out);
    }

    fn push(
        &mut self,
        at: Moment,
        label: Label,
        span: Option<Span>,
        rows: Vec<OutboxRow>,
        weak: Vec<Fleeting>,
        out: &mut Out,
    ) {
        if self.refuses_label(at, label, out) {
            return;
        }
        self.attempt += 1;
        let attempt = self.attempt;
        let forwarded = self.forwarded.take();
        self.enter(at, State::Sending { attempt, label, span, bare: weak.is_empty(), forwarded });
        let frame = OutFrame {
            to: self.server.clone(),
            label,
            items: rows.into_iter().map(|row| row.item).collect(),
            weak: weak.iter().map(|fleeting| fleeting.edu.clone()).collect(),
            deadlines: self.limits.deadlines,
        };
        self.riding = weak;
        let settled = std::mem::take(&mut self.renumbered);
        out.effect(Effect::Push { attempt, frame, settled });
    }
}
