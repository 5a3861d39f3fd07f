//! Whatever a messenger was told is taken is with everybody it was for, or somebody was told that it is not.

use std::collections::BTreeSet;

use crate::checker::reports::{HANDED_OVER, IN_QUARANTINE};
use crate::history::exchange::{Exchange, Outcome};
use crate::history::{History, Message, Name, Stamp, Update, What};

impl History {
    pub(super) fn arrived(&self, server: Name, faults: &mut Vec<String>) {
        let untold = self.beyond_gaps(server);
        let pdu = |what: &What| match what {
            What::Pdu { pdu, .. } => Some(pdu.clone()),
            _ => None,
        };
        let pdus: BTreeSet<String> = self.feed(server).filter_map(pdu).collect();
        for said in self.messages.iter().filter(|said| said.hearers.contains(server) && said.taken.is_some()) {
            if !pdus.contains(&said.pdu) && !self.is_told_of(said, server, &untold) {
                faults.push(format!("{server} never heard {} in {}", said.pdu, said.room));
            }
        }
        let token = |what: &What| match what {
            What::Update { token, .. } => Some(token.clone()),
            What::Pdu { parts, .. } => self.said_in_group(parts).map(ToOwned::to_owned),
            _ => None,
        };
        let tokens: BTreeSet<String> = self.feed(server).filter_map(token).collect();
        for said in self.updates.iter().filter(|said| said.hearers.contains(server)) {
            let Some(taken) = said.taken else { continue };
            let is_told = self.was_reported(&said.submission, said.origin, server)
                || self.went_with_the_disk(said.origin, taken)
                || self.is_beyond_reach(said, server);
            if !tokens.contains(&said.token) && !is_told {
                faults.push(format!("{server} never got {} from {}", said.token, said.origin));
            }
        }
    }

    /// True if a messenger was told that this message is missing, or the author's disk was lost, or an operator forgot the
    /// message.
    pub(super) fn is_told_of(&self, said: &Message, server: Name, beyond_gaps: &BTreeSet<&str>) -> bool {
        self.was_reported(&said.submission, said.origin, server)
            || said.taken.is_none_or(|taken| self.went_with_the_disk(said.origin, taken))
            || self.forgotten.contains(&(server, said.pdu.clone()))
            || (beyond_gaps.contains(&*said.pdu) && self.had_come(&said.pdu, server))
    }

    /// True if the item had arrived at this server before a disk of the server was lost.
    fn had_come(&self, item: &str, server: Name) -> bool {
        let last = self.restores_of(server).map(|restore| restore.restored).max();
        let carried = |exchange: &Exchange| {
            let is_in = exchange.to == server && exchange.items.iter().any(|other| other == item);
            let is_given = exchange.from == server && exchange.given.iter().any(|other| other == item);
            let arrived = exchange.arrived.iter().copied().filter(|_| is_in);
            let given = exchange.ended.iter().map(|(at, _)| *at).filter(|_| is_given);
            arrived.chain(given).min()
        };
        let first = self.exchanges.iter().filter_map(carried).min();
        first.zip(last).is_some_and(|(first, last)| first < last)
    }

    /// The sender's messenger was told that it will not arrive there, and nobody had it queued again after that.
    pub(crate) fn was_reported(&self, submission: &str, origin: Name, at: Name) -> bool {
        let told = self.events(origin).filter_map(|event| match &event.what {
            What::Delivery { message, server, state, reason } if message == submission && *server == at => {
                // What lies there in quarantine is taken from it in the end. What a messenger has refused has arrived; its sender
                // does not give it again, where the disk that had it is lost.
                let is_there = HANDED_OVER.contains(&&**state) && (state != "rejected" || !self.was_restored(at));
                let is_lost = !is_there && !reason.contains(IN_QUARANTINE);
                is_lost.then_some((event.position, &**state))
            }
            _ => None,
        });
        let told: Vec<(u64, &str)> = told.collect();
        // What a peer took and refused is no dead letter of the sender's that could be sent again.
        match self.void_upto(submission, origin, at).filter(|_| told.iter().all(|(_, state)| *state != "refused")) {
            Some(upto) => told.iter().any(|(position, _)| *position > upto),
            None => self.dropped.contains_key(submission) || !told.is_empty(),
        }
    }

    /// An update that had come to a disk which was lost, and which its sender cannot give again: it keeps it no longer, and says
    /// so, or was restored too, and cannot tell which of its updates that were, or writes to the receiver in the dialect that
    /// has no plain updates, so that nobody asks for it by its number.
    fn is_beyond_reach(&self, said: &Update, server: Name) -> bool {
        if !self.had_come(&said.token, server) {
            return false;
        }
        let numbers = self.way(said.origin, server).filter_map(|exchange| exchange.number(&said.token));
        let numbers: BTreeSet<u64> = numbers.collect();
        let is_gap = |what: &What| match what {
            What::UpdateGap { server: asker, first, last } => {
                *asker == server && numbers.iter().any(|number| first <= number && number <= last)
            }
            _ => false,
        };
        let is_without_numbers = || {
            let last = self.settings.iter().rfind(|settings| settings.server == said.origin);
            last.is_some_and(|settings| settings.transactions.contains(server))
        };
        self.feed(said.origin).any(is_gap)
            || self.numbers_are_lost(said.origin, server)
            || self.number_is_held_otherwise(said, server)
            || is_without_numbers()
    }

    /// Both came back older: the sender gave a number of its lost disk to this update, and the server took it under that number,
    /// which was its last one, and came back to a copy that holds what the lost disk had sent under that number. Nobody can tell,
    /// and what the lost disk of the server was told is lost with it. An update that the server did not take is sent again, and
    /// so is one that the sender numbers anew. What the copy holds it may have taken without a word that came back: then nobody
    /// but the server knows.
    fn number_is_held_otherwise(&self, said: &Update, server: Name) -> bool {
        let last = self.way(said.origin, server).filter_map(|exchange| exchange.number(&said.token)).last();
        let is_held = |copied: Stamp, begun: Stamp| {
            self.way(said.origin, server).any(|other| {
                other.answer.as_ref().is_none_or(|answer| *answer == Outcome::Fine)
                    && other.carries_other(&said.token, last)
                    && other.arrived.iter().any(|arrived| *arrived < copied)
                    && self.restores_of(said.origin).any(|its| other.begun < its.restored && its.restored <= begun)
            })
        };
        let is_lost_after = |carried: &Exchange| {
            self.restores_of(server).any(|own| {
                carried.arrived.iter().any(|arrived| own.copied < *arrived && *arrived < own.restored)
                    && is_held(own.copied, carried.begun)
            })
        };
        self.way(said.origin, server).any(|carried| {
            carried.was_taken(&said.token) && carried.number(&said.token) == last && is_lost_after(carried)
        })
    }

    /// Both came back older, and one of them gave or took the same numbers in two courses. That somebody came back must have been
    /// told, be it to one who went back behind the telling afterwards.
    fn numbers_are_lost(&self, origin: Name, server: Name) -> bool {
        let told = |server, about| self.feed(server).any(|what| *what == What::Notice { about });
        let is_told =
            told(server, Some(origin)) || told(origin, Some(server)) || told(server, None) || told(origin, None);
        let is_untold = self.goes_back_behind(server, origin) || self.goes_back_behind(origin, server);
        self.was_restored(origin) && self.was_restored(server) && (is_told || is_untold)
    }

    /// The PDUs that a messenger was told are missing, and all their ancestors. For a restored server the parents of PDUs
    /// that arrived as history count as missing too, because no PDU names what its lost disk held before them.
    pub(super) fn beyond_gaps(&self, server: Name) -> BTreeSet<&str> {
        let missing = self.feed(server).filter_map(|what| match what {
            What::Gap { missing, .. } => Some(&missing[..]),
            What::Pdu { prev, history: true, .. } if self.was_restored(server) => Some(&prev[..]),
            _ => None,
        });
        self.with_ancestors(missing.flatten().map(String::as_str))
    }
}
