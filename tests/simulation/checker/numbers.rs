//! Updates of one server come in the order in which they were said, and are counted without a gap.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::exchange::Exchange;
use crate::history::{History, Name, Stamp, Update, What};

impl History {
    /// The ids of a peer's updates rise, and none is left out. A gateway that was restored counts on from the clock: what the
    /// lost disk counted is known to its messenger.
    pub(super) fn numbers(&self, server: Name, faults: &mut Vec<String>) {
        let mut last = BTreeMap::new();
        for event in self.events(server) {
            let What::Update { from, n, .. } = &event.what else { continue };
            let (before, at) = last.insert(*from, (*n, event.at)).unwrap_or((0, 0));
            let counts_on = || self.restores_of(server).any(|r| at <= r.restored && r.restored <= event.at);
            if before + 1 != *n && !(before < *n && counts_on()) {
                faults.push(format!("{server} has {from}#{n} out of turn"));
            }
        }
    }

    /// An update that was submitted after another one was accepted is heard after that one. The order starts anew after a
    /// restore, because a restored gateway does not know what its lost disk had given.
    pub(super) fn order(&self, server: Name, faults: &mut Vec<String>) {
        let said = self.updates_by_token();
        let (mut newest, mut noticed): (BTreeMap<Name, &Update>, _) = (BTreeMap::new(), BTreeSet::new());
        let (mut newest_kept, mut position) = (newest.clone(), 0);
        for event in self.events(server) {
            if event.position != position + 1 {
                newest = newest_kept.clone();
            }
            position = event.position;
            if let What::Notice { about: Some(about) } = &event.what {
                noticed.insert(*about);
            }
            let What::Update { from, token, .. } = &event.what else { continue };
            let Some(&update) = said.get(&**token) else { continue };
            if let Some(before) = newest.get(from)
                && update.taken.is_some_and(|taken| taken < before.begun)
                && !self.may_repeat(update, server, event.at, &noticed)
            {
                faults.push(format!("{server} got {token} after {}", before.token));
            }
            let kept = Some(&mut newest_kept).filter(|_| !self.was_lost(server, event));
            for newest in [&mut newest].into_iter().chain(kept) {
                if newest.get(from).is_none_or(|before| before.begun <= update.begun) {
                    newest.insert(from, update);
                }
            }
        }
    }

    /// A sender whose disk went back and whose updates are known to others by numbers it gives again: both are told.
    pub(super) fn confusion_was_told(&self, faults: &mut Vec<String>) {
        for said in &self.updates {
            let Some(taken) = said.taken.filter(|taken| self.went_with_the_disk(said.origin, *taken)) else { continue };
            // What was begun before the copy was made may be on it.
            if !self.went_with_the_disk(said.origin, said.begun) {
                continue;
            }
            for server in said.hearers.iter().filter(|hearer| !self.was_restored(hearer)) {
                let arrived =
                    self.feed(server).any(|what| matches!(what, What::Update { token, .. } if *token == said.token));
                // Of a number that is given again to what is taken out at once nobody learns anything.
                let is_taken_out = self.updates.iter().any(|later| {
                    later.begun > taken && later.origin == said.origin && self.dropped.contains_key(&later.submission)
                });
                let said_more = self.updates.iter().any(|later| {
                    later.begun > taken
                        && later.taken.is_some_and(|taken| !self.went_with_the_disk(later.origin, taken))
                        && later.origin == said.origin
                        && later.hearers.contains(server)
                });
                if arrived
                    && said_more
                    && self.number_came_again(said, server)
                    && !is_taken_out
                    && !self.has_notice(server, said.origin)
                {
                    faults.push(format!("{server} was not told that {} went back in time", said.origin));
                }
            }
        }
    }

    /// True if something else reached the server under a number under which the server had taken this update, after a restore of
    /// the sender that came after this update was begun. Nobody learns of the restore from other numbers: those of the lost disk
    /// may have gone to items of transactions, where the dialect changed. A number under which the server did not take the
    /// update, because the sender numbered it anew, tells nobody anything either.
    fn number_came_again(&self, said: &Update, server: Name) -> bool {
        let taken = self.way(said.origin, server).filter(|exchange| exchange.was_taken(&said.token));
        let numbers: BTreeSet<u64> = taken.filter_map(|exchange| exchange.number(&said.token)).collect();
        let is_after = |begun: Stamp| {
            self.restores_of(said.origin).any(|restore| said.begun < restore.restored && restore.restored <= begun)
        };
        let is_again =
            |exchange: &Exchange| numbers.iter().any(|number| exchange.carries_other(&said.token, Some(*number)));
        self.way(said.origin, server)
            .any(|exchange| !exchange.arrived.is_empty() && is_after(exchange.begun) && is_again(exchange))
    }
}
