//! Receipts: a messenger is told that another one has its message once that one has acknowledged it, or that it refuses it once it
//! has; each once, and in the end for each that it asked for, unless it is told something else.

use std::collections::{BTreeMap, BTreeSet};

use crate::checker::reports::HANDED_OVER;
use crate::history::exchange::Exchange;
use crate::history::{Event, History, Name, Stamp, What};
use crate::world::liar::Lie;

impl History {
    /// The items of a submission, in order. A message that was composed in vain before is one of several attempts at it.
    fn items_of(&self, submission: &str) -> (Vec<&str>, bool) {
        let updates = self.updates.iter().filter(|said| said.submission == submission);
        let tokens: Vec<&str> = updates.map(|said| &*said.token).collect();
        let is_message = tokens.is_empty();
        let messages = self.messages.iter().filter(|said| said.submission == submission);
        (if is_message { messages.map(|said| &*said.pdu).collect() } else { tokens }, is_message)
    }

    /// The items with which a submission is delivered: the last of its updates, or its PDU.
    fn last_items(&self, submission: &str) -> Vec<&str> {
        let (items, is_message) = self.items_of(submission);
        if is_message { items } else { items.into_iter().next_back().into_iter().collect() }
    }

    fn was_acknowledged_by(&self, messenger: Name, item: &str, at: Stamp) -> bool {
        self.acknowledged.get(&(messenger, item.to_owned())).is_some_and(|acknowledged| *acknowledged <= at)
    }

    fn is_unwanted(&self, messenger: Name, item: &str) -> bool {
        self.unwanted.contains(&(messenger, item.to_owned()))
    }

    /// True if both servers had receipts for each other at some moment up to this one.
    fn had_receipts(&self, server: Name, other: Name, at: Stamp) -> bool {
        let has = |server: Name, other: Name| {
            let mut settings = self.settings.iter().filter(|settings| settings.server == server && settings.from <= at);
            settings.any(|settings| settings.receipts.contains(other))
        };
        has(server, other) && has(other, server)
    }

    /// The submission's messenger asked for it, and the other messenger had acknowledged the submission's last item by then.
    pub(super) fn may_be_delivered(&self, server: Name, to: Name, submission: &str, at: Stamp) -> bool {
        let is_had = |item: &&str| self.was_acknowledged_by(to, item, at) && !self.is_unwanted(to, item);
        self.asked.contains(submission)
            && self.had_receipts(server, to, at)
            && self.last_items(submission).iter().any(is_had)
    }

    /// The other messenger had refused an item of the submission by then.
    pub(super) fn may_be_rejected(&self, server: Name, to: Name, submission: &str, at: Stamp) -> bool {
        let is_refused = |item: &&str| self.was_acknowledged_by(to, item, at) && self.is_unwanted(to, item);
        self.had_receipts(server, to, at) && self.items_of(submission).0.iter().any(is_refused)
    }

    /// A messenger is told once that a submission is delivered, and once of each item that is refused. What a lost disk told is told
    /// again to a messenger that reads on.
    pub(super) fn receipts_once(&self, server: Name, faults: &mut Vec<String>) {
        let mut told: BTreeMap<(&str, Name, &str), usize> = BTreeMap::new();
        for event in self.events(server) {
            let What::Delivery { message, server: to, state, .. } = &event.what else { continue };
            let most = match &**state {
                "delivered" => 1,
                "rejected" => self.items_of(message).0.iter().filter(|item| self.is_unwanted(to, item)).count(),
                _ => continue,
            };
            let count = told.entry((message, to, state)).or_default();
            *count += 1;
            if *count > most {
                faults.push(format!("{server} is told {count} times that {message} is {state} at {to}"));
            }
            if self.was_lost(server, event) {
                *count -= 1;
            }
        }
    }

    /// Every messenger is told in the end of each item that another one refuses, and of each delivery that it asked for.
    pub(crate) fn receipts_told(&self, faults: &mut Vec<String>) {
        let messages = self.messages.iter().map(|said| (&said.submission, said.origin, &said.hearers, said.taken));
        let updates = self.updates.iter().map(|said| (&said.submission, said.origin, &said.hearers, said.taken));
        let mut seen = BTreeSet::new();
        for (submission, origin, hearers, taken) in messages.chain(updates) {
            let Some(taken) = taken else { continue };
            if !seen.insert(submission) || self.was_restored_since(origin, taken) {
                continue;
            }
            for to in hearers {
                self.receipts_told_of(submission, (origin, to), faults);
            }
        }
    }

    /// True if the server was restored after this moment. It may have been told by then, on the lost disk, and nobody tells it twice; and
    /// it believes no receipt for a number that it gave before a restore.
    fn was_restored_since(&self, server: Name, taken: Stamp) -> bool {
        self.restores.iter().any(|restore| restore.server == server && taken <= restore.restored)
    }

    /// True if the peer asked for numbers that it had acknowledged, because it was restored or lied, so that the server numbered its
    /// items otherwise: it believes no receipt for a number that it gave before then.
    fn asked_for_lost_numbers(&self, server: Name, peer: Name) -> bool {
        let is_notice = |event: &Event| event.what == What::Notice { about: Some(peer) };
        let is_lie = |exchange: &Exchange| matches!(exchange.lie, Some(Lie::Hole | Lie::Conflict));
        self.events(server).any(is_notice) && (self.was_restored(peer) || self.way(server, peer).any(is_lie))
    }

    fn receipts_told_of(&self, submission: &str, (origin, to): (Name, Name), faults: &mut Vec<String>) {
        let last = |server| self.settings.iter().rfind(|settings| settings.server == server);
        let (Some(own), Some(theirs)) = (last(origin), last(to)) else { return };
        if !own.receipts.contains(to) || !theirs.receipts.contains(origin) || own.trimmed.contains(to) {
            return;
        }
        if self.asked_for_lost_numbers(origin, to) {
            return;
        }
        let (items, is_message) = self.items_of(submission);
        // A number means nothing to a sender that writes transactions.
        if !is_message && own.transactions.contains(to) {
            return;
        }
        // It was queued again, or never, or left the queue.
        if self.was_reported(submission, origin, to) || self.retried.contains_key(&(submission.to_owned(), to)) {
            return;
        }
        let told = |is_meant: &dyn Fn(&str) -> bool| {
            let is_it = |what: &&What| match what {
                What::Delivery { message, server, state, .. } => {
                    message == submission && *server == to && is_meant(state)
                }
                _ => false,
            };
            self.feed(origin).filter(is_it).count()
        };
        // Of what lies in quarantine there the author was told, whatever becomes of it afterwards.
        if told(&|state| !HANDED_OVER.contains(&state)) > 0 {
            return;
        }
        let is_had = |item: &&str| self.has_as_news(to, item) && self.was_acknowledged_by(to, item, Stamp::MAX);
        let refused = items.iter().filter(|item| is_had(item) && self.is_unwanted(to, item)).count();
        if told(&|state| state == "rejected") < refused {
            faults.push(format!("{origin} is never told that {to} refuses {submission}"));
        }
        let last = self.last_items(submission);
        let is_delivered = last.iter().any(|item| is_had(item) && !self.is_unwanted(to, item));
        if self.asked.contains(submission) && is_delivered && told(&|state| state == "delivered") == 0 {
            faults.push(format!("{origin} is never told that {to} has {submission}"));
        }
    }

    /// True if the feed of a server, as its disk has it, hands over this item, and not as history.
    fn has_as_news(&self, server: Name, item: &str) -> bool {
        self.events(server).filter(|event| !self.was_lost(server, event)).any(|event| match &event.what {
            What::Pdu { pdu, history, .. } => pdu == item && !history,
            What::Update { token, .. } => token == item,
            _ => false,
        })
    }
}
