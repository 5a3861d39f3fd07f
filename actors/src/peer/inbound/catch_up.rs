//! Transactions that the peer is asked for, page by page, once it can be asked: those that it has named and that never came, and,
//! after our store was restored, those that it sent to the disk that is lost.
//!
//! What comes next shows what is missing, but a peer that has nothing new to say would never show it. The places asked from are
//! durable; that of a restore is that of the backup, and what comes meanwhile does not move it.

use crate::change::{Change, Urgency};
use crate::model::{FeedItem, InboundRecord, Pulled, PushFailure};
use crate::peer::dispatch::Strange;
use crate::peer::effect::{Effect, Out, Pull};

use super::{Frame, Inbound};

/// Answers that say nothing after which a peer counts as one that cannot tell: a real server of 2014 never could.
const TRIES_MAX: u32 = 3;

/// Pages asked for in one go; the next contact goes on from there.
const PAGES_MAX: u32 = 100;

/// What is left to ask for.
#[derive(Debug, Clone)]
pub(super) struct CatchUp {
    /// After which of its transactions.
    pub(super) after: Option<u64>,
    /// The restore that this belongs to.
    pub(super) restored: u64,
    under_way: bool,
    /// The peer was heard of while the question was under way: if that comes to nothing, it is worth another one.
    heard: bool,
    tries: u32,
}

impl CatchUp {
    pub(super) const fn new(record: &InboundRecord) -> Self {
        Self { after: record.catch_up, restored: record.restored, under_way: false, heard: false, tries: 0 }
    }
}

/// What is named by a transaction and never came. It is asked for once, and an answer it is that it is done with: one that does not
/// come leaves the question to the next contact, or to the next process.
#[derive(Debug, Clone, Copy)]
pub(super) struct Missed {
    /// After which of its transactions.
    pub(super) after: Option<u64>,
    under_way: bool,
}

impl Missed {
    pub(super) const fn new(record: &InboundRecord) -> Self {
        Self { after: record.missed, under_way: false }
    }
}

impl Inbound {
    /// A transaction that is being taken names some that never came. What waits to be asked for again is asked for with it.
    pub(super) fn miss(&mut self, after: u64, out: &mut Out) {
        let least = self.missed.after.map_or(after, |before| before.min(after));
        let after = if self.missed.under_way { after } else { least };
        self.missed = Missed { after: Some(least), under_way: true };
        // In the commit of that transaction: it will not be taken again.
        out.moved(Urgency::Now);
        out.effect(Effect::Pull(Pull { after, page: 1, catch_up: false }));
    }

    /// The peer can be asked now, as it seems.
    pub fn catch_up(&mut self, out: &mut Out) {
        if let Some(after) = self.missed.after.filter(|_| !self.missed.under_way) {
            self.missed.under_way = true;
            out.effect(Effect::Pull(Pull { after, page: 1, catch_up: false }));
        }
        let Some(after) = self.catch_up.after else { return };
        self.catch_up.heard = self.catch_up.under_way;
        if !std::mem::replace(&mut self.catch_up.under_way, true) {
            out.effect(Effect::Pull(Pull { after, page: 1, catch_up: true }));
        }
    }

    /// What came of asking for transactions that we missed. What it gave goes the way of a batch.
    pub fn pulled(&mut self, asked: Pull, answer: Result<Pulled, PushFailure>, strange: Strange, out: &mut Out) {
        let pulled = match answer {
            Err(failure) if asked.catch_up => return self.not_told(&failure, out),
            Err(failure) if is_distance(&failure) => return self.put_off(asked),
            answer => answer.unwrap_or_default(),
        };
        let further = pulled.upto.filter(|upto| pulled.more && *upto > asked.after);
        // Our own question is no reason to let it begin more than it may; what it brings is mostly of conversations we know.
        self.take(None, Frame::Pulled(pulled.pdus, asked, further), strange, out);
    }

    /// A page has been taken in, or could not be.
    pub(super) fn paged(&mut self, asked: Pull, further: Option<u64>, out: &mut Out) {
        let most = if asked.catch_up { PAGES_MAX } else { super::PULL_PAGES_MAX };
        if asked.catch_up {
            self.catch_up = CatchUp { after: further, under_way: false, heard: false, tries: 0, ..self.catch_up };
            // Where nothing else comes, nothing comes that it could ride on.
            out.moved(Urgency::Now);
        } else if self.missed.after == Some(asked.after) {
            // Without a commit of its own: in the worst case it is asked for once more.
            self.missed = Missed { after: further.filter(|_| asked.page < most), under_way: false };
            out.moved(Urgency::Rides);
        }
        if let Some(after) = further
            && asked.page < most
        {
            self.catch_up.under_way |= asked.catch_up;
            self.missed.under_way |= !asked.catch_up && self.missed.after == Some(after);
            out.effect(Effect::Pull(Pull { after, page: asked.page + 1, catch_up: asked.catch_up }));
        }
    }

    /// It was not asked after all, or what it gave could not be taken: the next contact asks again.
    pub const fn put_off(&mut self, asked: Pull) {
        match asked.catch_up {
            true => self.catch_up.under_way = false,
            false => self.missed.under_way = false,
        }
    }

    fn not_told(&mut self, failure: &PushFailure, out: &mut Out) {
        self.catch_up.under_way = false;
        let heard = std::mem::take(&mut self.catch_up.heard);
        if is_distance(failure) {
            if heard {
                self.catch_up(out);
            }
            return;
        }
        self.catch_up.tries += 1;
        if self.catch_up.tries < TRIES_MAX {
            return;
        }
        self.catch_up.after = None;
        let server = &self.server;
        let text = format!(
            "{server} does not say what it sent after our backup ({failure}): of that, what nothing names that it sends from now on is \
             lost here; have it said again where that matters"
        );
        out.change(Change::Fed(FeedItem::Notice { text, server: Some(server.clone()) }));
        out.moved(Urgency::Now);
    }
}

/// It did not say no.
const fn is_distance(failure: &PushFailure) -> bool {
    matches!(failure, PushFailure::Unreachable(_) | PushFailure::Broken(_) | PushFailure::TimedOut)
}
