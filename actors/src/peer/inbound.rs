//! The machine that takes what one peer sends: each strong update once, in the order of its numbers.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::change::Change;
use crate::limits::PeerLimits;
use crate::model::{
    Ack, Digest, FeedItem, InboundPush, InboundRecord, Parked, ParkedCode, Refusal, Seq, ServerName, Strong,
};
use crate::peer::effect::{Effect, Out, Token};
use crate::peer::place::{DIGESTS_MAX, Held, Placement, place};
use crate::ports::Urgency;

/// The inbound half of a peer's machine.
#[derive(Debug, Clone)]
pub struct Inbound {
    server: ServerName,
    limits: Arc<PeerLimits>,
    expected: Seq,
    taken: u64,
    /// Of the updates taken last, ascending, ending just below `expected`.
    digests: VecDeque<Digest>,
    /// A push too old to compare was announced; once tells it all.
    told_too_old: bool,
}

impl Inbound {
    /// The machine as the store left it.
    pub fn new(server: ServerName, limits: Arc<PeerLimits>, record: &InboundRecord, digests: Vec<Digest>) -> Self {
        Self {
            server,
            limits,
            expected: record.expected,
            taken: record.taken,
            digests: digests.into(),
            told_too_old: false,
        }
    }

    /// The durable half.
    pub const fn record(&self) -> InboundRecord {
        InboundRecord { expected: self.expected, taken: self.taken }
    }

    /// A push came; `token` is owed an answer.
    pub fn accept(&mut self, token: Token, push: InboundPush, out: &mut Out) {
        let answer = self.take(push, out);
        out.effect(Effect::Answer(token, answer));
    }

    fn take(&mut self, push: InboundPush, out: &mut Out) -> Result<Ack, Refusal> {
        let (seq, count) = (push.seq, push.strong.len());
        if count > self.limits.batch_items as usize {
            return Err(Refusal::PushTooLong { count, max: self.limits.batch_items });
        }
        let held = Held { expected: self.expected, digests: self.digests.make_contiguous() };
        match place(&push, held) {
            Placement::Take { fresh, next, went_back } => {
                if went_back {
                    let text = format!(
                        "{} sent something new under number {seq}, below {}: it seems to be restored from a backup",
                        self.server, self.expected
                    );
                    out.change(Change::Fed(FeedItem::Notice { text, server: Some(self.server.clone()) }));
                }
                self.remember(&push, next, out);
                self.feed(push, &fresh, out);
                out.moved(Urgency::Now);
                Ok(Ack::Ok(seq))
            }
            Placement::Known => Ok(Ack::Ok(seq)),
            Placement::TooOld => {
                if !std::mem::replace(&mut self.told_too_old, true) {
                    let text = format!(
                        "{} sent updates up to number {seq} again, too far below {} to compare: dropped. \
                         If it was restored from a backup, set peers.server.\"{}\".expect_seq",
                        self.server, self.expected, self.server
                    );
                    out.change(Change::Fed(FeedItem::Notice { text, server: Some(self.server.clone()) }));
                }
                Ok(Ack::Ok(seq))
            }
            Placement::Hole => Ok(Ack::Hole { expected: self.expected, conflict: false }),
            Placement::Conflict => Ok(Ack::Hole { expected: self.expected, conflict: true }),
            Placement::Misnumbered => Err(Refusal::Misnumbered { from_seq: push.from_seq, seq, count }),
        }
    }

    /// Hold the digests of all of the push under its numbers, up to `next`.
    fn remember(&mut self, push: &InboundPush, next: Seq, out: &mut Out) {
        let first = Seq(next.0 - push.strong.len() as u64);
        let kept_from = Seq(self.expected.0 - self.digests.len() as u64);
        self.digests.truncate(usize::try_from(first.since(kept_from)).unwrap_or(usize::MAX));
        self.digests.extend(push.strong.iter().map(|strong| strong.digest));
        while self.digests.len() > DIGESTS_MAX {
            self.digests.pop_front();
        }
        self.expected = next;
        out.change(Change::Taken {
            from: self.server.clone(),
            first,
            digests: push.strong.iter().map(|strong| strong.digest).collect(),
            forget_below: Seq(next.0 - self.digests.len() as u64),
        });
    }

    fn feed(&mut self, push: InboundPush, fresh: &[usize], out: &mut Out) {
        let first = push.seq.0 + 1 - push.strong.len() as u64;
        let verified = push.verified;
        let mut wanted = fresh.iter().copied().peekable();
        for (at, strong) in push.strong.into_iter().enumerate() {
            if wanted.next_if_eq(&at).is_some() {
                self.feed_one(Seq(first + at as u64), strong, verified, out);
            }
        }
    }

    fn feed_one(&mut self, seq: Seq, strong: Strong, verified: &'static str, out: &mut Out) {
        let from = self.server.clone();
        match strong.unsound {
            None => {
                self.taken += 1;
                let item = FeedItem::Update { from, n: self.taken, seq, verified, bytes: strong.bytes };
                out.change(Change::Fed(item));
            }
            // It takes its number all the same: sending it again cannot mend it, and the rest must not wait for it.
            Some(reason) => out.change(Change::Quarantined {
                parked: Parked {
                    from,
                    seq,
                    code: ParkedCode::NotAnObject,
                    reason: reason.to_owned(),
                    bytes: strong.bytes,
                },
                keep: self.limits.quarantine_items,
            }),
        }
    }
}

#[cfg(test)]
mod tests;
