//! Items that leave without being acknowledged: refused for what they are, too old, or taken out by an operator.
//!
//! Each becomes a dead letter and is told of, and its number goes to the next one. Only a refusal of the item itself, its age
//! and an operator end its life: distance and trouble never do, however often.

use super::{Moment, Outbound, State};
use crate::change::{Change, Urgency};
use crate::model::{Fate, FeedItem, Index, Label, Millis, OutboxRow, SubmissionId};
use crate::peer::effect::{Effect, Out};

/// A page that could not be read is tried again after this.
const SWEEP_AGAIN_MS: u64 = 60_000;

impl Outbound {
    /// Close over what is gone at the cursor. Where the peer may have it, it is asked first.
    pub(super) fn mend(&mut self, out: &mut Out) {
        if self.doubt.keeps(self.outbox.cursor()) {
            if let Some(last) = self.outbox.gone() {
                self.doubt.ask_about_gone(last);
            }
            return;
        }
        let acked = self.outbox.acked();
        if self.outbox.mend() {
            self.renumbered = true;
            out.moved(Urgency::Now);
        } else if self.outbox.acked() > acked {
            out.moved(Urgency::Rides);
        }
    }

    /// When the oldest item has waited long enough.
    pub(super) fn expiry(&self) -> Option<Millis> {
        let oldest = self.oldest.filter(|_| self.rests() && self.outbox.backlog() > 0);
        oldest.map(|queued| queued.after(self.limits.keep))
    }

    /// Wake for whatever comes first: the next attempt, or the end of an item's time.
    pub(super) fn arm(&mut self, out: &mut Out) {
        self.armed = self.next_attempt().into_iter().chain(self.expiry()).min();
        out.effect(self.armed.map_or(Effect::Disarm, Effect::Arm));
    }

    /// The same, where how long the oldest item has waited may have to be read first. An attempt reads it anyway.
    pub(super) fn watch(&mut self, out: &mut Out) {
        match self.oldest {
            None if self.outbox.backlog() > 0 && self.next_attempt().is_none() => self.sweep(out),
            _ => self.arm(out),
        }
    }

    /// Read the oldest items, to see which of them have waited long enough.
    pub(super) fn sweep(&mut self, out: &mut Out) {
        let from = self.outbox.acked().next();
        self.sweeping = Some(from);
        // The attempt that a clock would make meanwhile is not missed: the timer is set again when the page is here.
        out.effect(Effect::Load(from));
    }

    /// The oldest items are here. The page is let go again: a peer that is left alone holds nothing in memory.
    pub(super) fn swept(&mut self, at: Moment, from: Index, rows: Result<Vec<OutboxRow>, String>, out: &mut Out) {
        if self.sweeping.take() != Some(from) {
            return;
        }
        let Ok(mut rows) = rows else {
            let soon = at.now.0 + SWEEP_AGAIN_MS;
            self.oldest = Some(Millis(soon.saturating_sub(millis(self.limits.keep))));
            return self.arm(out);
        };
        rows.retain(|row| row.index > self.outbox.acked() && !self.outbox.has_left(row.index));
        let count = rows.iter().take_while(|row| self.is_over(at, row)).count();
        let all = count == rows.len() && count > 0;
        self.oldest = rows.get(count).map(|row| row.queued);
        self.expire(&rows[..count], out);
        match all && self.outbox.backlog() > 0 {
            true => self.sweep(out),
            false => self.arm(out),
        }
    }

    /// Of the items in memory, those at the cursor that have waited long enough leave instead of being sent.
    pub(super) fn expire_loaded(&mut self, at: Moment, out: &mut Out) {
        let next = self.outbox.unacknowledged(Index(u64::MAX));
        let over: Vec<OutboxRow> = next.take_while(|row| self.is_over(at, row)).cloned().collect();
        if !over.is_empty() {
            self.expire(&over, out);
            self.labels.reserve(at.now);
            self.mend(out);
        }
    }

    fn is_over(&self, at: Moment, row: &OutboxRow) -> bool {
        row.queued.after(self.limits.keep) <= at.now
    }

    /// These are the oldest unacknowledged items, as many as fit on a page.
    fn expire(&mut self, rows: &[OutboxRow], out: &mut Out) {
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return };
        let reason = format!("not taken within {} s (keep)", self.limits.keep.as_secs());
        self.left(first.index, last.index, Fate::Expired, &reason, out);
        let mut told: Option<&SubmissionId> = None;
        for row in rows {
            if told.replace(&row.submission) != Some(&row.submission) {
                self.tell(row.submission.clone(), Fate::Expired.state(), Some(reason.clone()), out);
            }
        }
        self.outbox.leave(last.index);
        self.renumbered = true;
        out.moved(Urgency::Now);
    }

    /// An operator takes items out, wherever they stand. A request that carries any of them is given up; whether the peer took
    /// it is not known then; the peer is asked before their numbers go to others.
    pub fn drop_items(&mut self, at: Moment, message: SubmissionId, first: Index, last: Index, out: &mut Out) {
        let (first, last) = (first.max(self.outbox.acked().next()), last.min(self.outbox.tail()));
        if first > last {
            return;
        }
        let stops = match self.state {
            State::Loading => true,
            State::Sending { span: Some(span), .. } => span.first <= last && first <= span.last,
            _ => false,
        };
        if stops {
            out.effect(Effect::Abort);
            self.labels.abandon();
        }
        if let State::Sending { label: Label::Numbers { .. }, span: Some(span), .. } = self.state
            && stops
        {
            self.doubt.unanswered(span.last);
        }
        let in_doubt = self.doubt.take_out(first, last);
        let reason = "taken out by an operator";
        self.left(first, last, Fate::Dropped, reason, out);
        self.tell(message, Fate::Dropped.state(), Some(reason.to_owned()), out);
        if first == self.outbox.acked().next() && !in_doubt {
            self.outbox.leave(last);
        } else {
            self.outbox.forget(first, last);
        }
        // The rows that would say how far indexes were given may be among these.
        self.newest = self.outbox.tail();
        self.renumbered = true;
        out.moved(Urgency::Now);
        if stops {
            self.proceed(at, out);
        }
    }

    /// These items become dead letters.
    pub(super) fn left(&self, first: Index, last: Index, fate: Fate, reason: &str, out: &mut Out) {
        let (server, reason, keep) = (self.server.clone(), reason.to_owned(), self.limits.quarantine_items);
        out.change(Change::OutboxLeft { server, first, last, fate, reason, keep });
    }

    /// News of a submission for the messenger.
    pub(super) fn tell(&self, message: SubmissionId, state: &'static str, reason: Option<String>, out: &mut Out) {
        let server = self.server.clone();
        out.change(Change::Fed(FeedItem::Delivery { message, server, state, reason }));
    }
}

pub(super) fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
