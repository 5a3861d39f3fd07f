//! The promises, held against a history. Each complaint is one line that names what is wrong where.
//!
//! Every excuse is one item's: it counts where the history shows what was done to that item, or to those who had it, and when.

use std::collections::HashMap;

use crate::history::{Event, History, Message, Name, Restore, Update, What};

pub(crate) mod arrival;
mod gaps;
mod groups;
mod known;
mod numbers;
mod parents;
mod past;
mod receipts;
mod relays;
mod repeats;
mod reports;
pub(crate) mod rooms;
mod whispers;

#[cfg(test)]
mod tests;

/// A restored store goes on at least so far above its highest position.
pub(crate) const RESTORED_ABOVE: u64 = 1 << 32;

/// The time within which what a gateway decides is on its disk, in milliseconds: what nobody waits for is written a tenth of a
/// second later, and then the disk takes its time.
const COMMIT_MAX: u64 = 500;

impl History {
    /// Every promise that was broken; empty: none.
    pub(crate) fn faults(&self) -> Vec<String> {
        let mut faults = vec![];
        for server in self.feeds.keys() {
            self.positions(server, &mut faults);
            self.known(server, &mut faults);
            self.parents_first(server, &mut faults);
            self.numbers(server, &mut faults);
            self.order(server, &mut faults);
            self.gaps(server, &mut faults);
            self.past(server, &mut faults);
            self.reports(server, &mut faults);
            self.receipts_once(server, &mut faults);
            self.groups(server, &mut faults);
            self.arrived(server, &mut faults);
        }
        self.receipts_told(&mut faults);
        self.same_everywhere(&mut faults);
        self.whispers(&mut faults);
        self.relays(&mut faults);
        self.confusion_was_told(&mut faults);
        faults
    }

    /// Positions are 1, 2, 3 ... A restored store skips a span, once, and a notice is its first event.
    fn positions(&self, server: Name, faults: &mut Vec<String>) {
        let (mut before, mut skips) = (0, 0);
        for event in self.events(server) {
            let position = event.position;
            let is_skip = position != before + 1;
            let begins = event.what == What::Notice { about: None }
                && self.restores_of(server).any(|restore| restore.tail + RESTORED_ABOVE <= position);
            skips += usize::from(is_skip);
            if position <= before || is_skip && !begins {
                faults.push(format!("the feed of {server} has position {position} after {before}"));
            }
            before = position;
        }
        let restores = self.restores_of(server).count();
        if skips > restores {
            faults.push(format!("the feed of {server} skips positions {skips} times, for {restores} restores"));
        }
    }

    /// The restores of a server.
    fn restores_of(&self, server: Name) -> impl Iterator<Item = &Restore> {
        self.restores.iter().filter(move |restore| restore.server == server)
    }

    /// True if a messenger that reads on heard this event from a disk that was lost afterwards.
    fn was_lost(&self, server: Name, event: &Event) -> bool {
        let mut restores = self.restores_of(server).filter(|restore| restore.reads_on);
        restores.any(|restore| restore.tail < event.position && event.at <= restore.restored)
    }

    /// The messages, by the names of their PDUs.
    fn messages_by_name(&self) -> HashMap<&str, &Message> {
        self.messages.iter().map(|said| (&*said.pdu, said)).collect()
    }

    /// The updates that were submitted, by their tokens.
    fn updates_by_token(&self) -> HashMap<&str, &Update> {
        self.updates.iter().map(|said| (&*said.token, said)).collect()
    }
}
