//! The promises, held against a history. Each complaint is one line that names what is wrong where.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::history::{History, Message, Name, Update, View, What};

impl History {
    /// Every promise that was broken; empty: none.
    pub(crate) fn faults(&self) -> Vec<String> {
        let mut faults = vec![];
        for server in self.feeds.keys() {
            self.positions(server, &mut faults);
            self.once_and_known(server, &mut faults);
            self.causes(server, &mut faults);
            self.numbers(server, &mut faults);
            self.order(server, &mut faults);
        }
        self.everything_arrived(&mut faults);
        self.confusion_was_told(&mut faults);
        faults
    }

    /// Positions are 1, 2, 3 ... A restored store skips 2^32 or more, once, and a notice is its first event.
    fn positions(&self, server: Name, faults: &mut Vec<String>) {
        let (mut before, mut skips) = (0, 0);
        for event in &self.feeds[server] {
            let skipped = event.position.saturating_sub(before + 1);
            skips += usize::from(skipped > 0);
            let begins = event.what == What::Notice { about: None } && skipped >= (1 << 32) - 1;
            if event.position <= before || skipped > 0 && !begins {
                faults.push(format!("the feed of {server} goes from position {before} to {}", event.position));
            }
            before = event.position;
        }
        let restores = self.restores.iter().filter(|restore| restore.server == server).count();
        if skips > restores {
            faults.push(format!("the feed of {server} skips positions {skips} times, for {restores} restores"));
        }
    }

    /// Nothing twice, nothing that was never said, nothing that was said to others.
    fn once_and_known(&self, server: Name, faults: &mut Vec<String>) {
        let messages: HashMap<&str, &Message> = self.messages.iter().map(|said| (&*said.pdu, said)).collect();
        let updates: HashMap<&str, &Update> = self.updates.iter().map(|said| (&*said.token, said)).collect();
        let (mut seen, mut noticed) = (BTreeSet::new(), BTreeSet::new());
        for what in self.feed(server) {
            match what {
                What::Notice { about: Some(about) } => drop(noticed.insert(*about)),
                What::Pdu { pdu, room, history, .. } => {
                    match messages.get(&**pdu) {
                        None => faults.push(format!("{server} heard {pdu}, which nobody said")),
                        Some(said) if said.room != *room => faults.push(format!("{server} heard {pdu} in {room}")),
                        Some(said) if said.origin == server && self.was_restored(server) => {}
                        // `to` says whom it is sent to; whoever takes part may read it back.
                        Some(said)
                            if !history && !said.hearers.contains(server) && !self.may_hear(said, server, room) =>
                        {
                            faults.push(format!("{server} heard {pdu}, which was not for it"));
                        }
                        Some(said) if said.taken.is_none() && !self.was_restored(said.origin) => {
                            faults.push(format!("{server} heard {pdu}, which was never taken"));
                        }
                        Some(_) => {}
                    }
                    if !seen.insert(pdu.clone()) {
                        faults.push(format!("{server} heard {pdu} twice"));
                    }
                }
                What::Update { from, n, token } => {
                    match updates.get(&**token) {
                        Some(said) if said.origin == *from && said.hearers.contains(server) => {}
                        _ => faults.push(format!("{server} got {token} from {from}, which it did not say to it")),
                    }
                    let is_retried =
                        updates.get(&**token).is_some_and(|said| self.was_retried(&said.submission, server));
                    if !seen.insert(token.clone()) && !is_retried && !self.repeats_are_told(server, from, &noticed) {
                        faults.push(format!("{server} got {token} twice"));
                    }
                    if !seen.insert(format!("{from}#{n}")) {
                        faults.push(format!("{server} has the id {from}#{n} twice"));
                    }
                }
                _ => {}
            }
        }
    }

    /// Whether updates of this sender may come again, because somebody was told. A restored sender that has to number anew cannot
    /// tell which of its updates arrived; both sides say so, be it to a disk that went back behind that. Where a number goes to
    /// another update, because the first was refused or taken out, and a copy of the first comes late, a sender that states no
    /// ranges looks as if it was restored, and one that does is asked to number anew: the receiver says so before anything comes
    /// again.
    fn repeats_are_told(&self, server: Name, from: Name, noticed: &BTreeSet<Name>) -> bool {
        let is_said = self.has_notice(server, from) || self.goes_back_behind(server, from);
        (self.was_restored(from) && is_said)
            || (noticed.contains(from) && (self.plain.contains(&(from, server)) || self.has_dropped(from)))
    }

    /// Whether an operator took something out of this server's queues.
    fn has_dropped(&self, server: Name) -> bool {
        let messages = self.messages.iter().filter(|said| said.origin == server).map(|said| &said.submission);
        let updates = self.updates.iter().filter(|said| said.origin == server).map(|said| &said.submission);
        messages.chain(updates).any(|submission| self.dropped.contains(submission))
    }

    /// Who comes to a room late hears what was said before; whoever it has not named yet hears of it by the others. What was
    /// said to some only reaches nobody else.
    fn may_hear(&self, said: &Message, server: Name, room: &str) -> bool {
        !said.narrowed && (self.came_late(said.origin, room) || self.came_late(server, room))
    }

    /// No PDU before its parents, unless `gap` names them, and then an event has announced it.
    fn causes(&self, server: Name, faults: &mut Vec<String>) {
        let (mut heard, mut announced) = (BTreeSet::new(), BTreeSet::new());
        for what in self.feed(server) {
            match what {
                What::Gap { missing } => announced.extend(missing),
                // Asked for, and not news: it comes whether or not its parents are known.
                What::Pdu { pdu, history: true, .. } => drop(heard.insert(pdu)),
                What::Again { pdu } if !heard.contains(pdu) && !pdu.starts_with(server) => {
                    faults.push(format!("{server} is told of {pdu} again, which it has not heard"));
                }
                What::Pdu { pdu, room, prev, gap, .. } => {
                    for parent in prev {
                        if self.lies_before(server, room, parent) {
                            continue;
                        }
                        let is_own = parent.split('/').next() == Some(server);
                        match (heard.contains(parent) || is_own, gap.contains(parent)) {
                            (true, true) if !is_own => {
                                faults.push(format!("{server} is told that {parent} is missing, which it has heard"));
                            }
                            (false, false) => faults.push(format!("{server} heard {pdu} before its parent {parent}")),
                            _ => {}
                        }
                    }
                    for parent in gap.iter().filter(|parent| !announced.contains(parent)) {
                        faults.push(format!("{server} heard {pdu} without {parent}, and no event said so"));
                    }
                    heard.insert(pdu);
                }
                _ => {}
            }
        }
    }

    /// What was said before a server came, and is no gap to it: it has it as history, or too late for news, or not at all and
    /// says so.
    fn lies_before(&self, server: Name, room: &str, parent: &str) -> bool {
        let is_edge = |view: &View| view.server == server && view.room == room && view.edge.contains(parent);
        let comes_late = |what: &What| match what {
            What::Pdu { pdu, history, late, .. } => pdu == parent && (*history || *late),
            _ => false,
        };
        self.came_late(server, room) && (self.feed(server).any(comes_late) || self.views.iter().any(is_edge))
    }

    /// The ids of a peer's updates rise, and none is left out.
    fn numbers(&self, server: Name, faults: &mut Vec<String>) {
        let mut last: BTreeMap<Name, u64> = BTreeMap::new();
        for what in self.feed(server) {
            let What::Update { from, n, .. } = what else { continue };
            let before = last.insert(from, *n).unwrap_or(0);
            // One that was restored counts on from the clock: what the lost disk counted is known to its messenger.
            if before + 1 != *n && !(before < *n && self.was_restored(server)) {
                faults.push(format!("{server} has {from}#{n} out of turn"));
            }
        }
    }

    /// What one server said after it was told that something else is taken is heard after that.
    fn order(&self, server: Name, faults: &mut Vec<String>) {
        let said: HashMap<&str, &Update> = self.updates.iter().map(|said| (&*said.token, said)).collect();
        let (mut newest, mut noticed): (BTreeMap<Name, &Update>, _) = (BTreeMap::new(), BTreeSet::new());
        for what in self.feed(server) {
            if let What::Notice { about: Some(about) } = what {
                noticed.insert(*about);
            }
            let What::Update { from, token, .. } = what else { continue };
            let Some(&update) = said.get(&**token) else { continue };
            let told = self.repeats_are_told(server, from, &noticed) || self.was_retried(&update.submission, server);
            if let Some(before) = newest.get(from)
                && update.taken.is_some_and(|taken| taken < before.begun)
                && !told
            {
                faults.push(format!("{server} got {token} after {}", before.token));
            }
            if newest.get(from).is_none_or(|before| before.begun <= update.begun) {
                newest.insert(from, update);
            }
        }
    }

    /// Whatever a messenger was told is taken is with everybody it was for, or somebody was told that it is not.
    fn everything_arrived(&self, faults: &mut Vec<String>) {
        for server in self.feeds.keys() {
            let beyond_gaps = self.beyond_gaps(server);
            let pdus: BTreeSet<&str> = self
                .feed(server)
                .filter_map(|what| match what {
                    What::Pdu { pdu, .. } | What::Parked { pdu: Some(pdu) } => Some(&**pdu),
                    _ => None,
                })
                .collect();
            for said in self.messages.iter().filter(|said| said.hearers.contains(server)) {
                let Some(taken) = said.taken else { continue };
                let reported = self.was_reported(&said.submission, said.origin, server)
                    || beyond_gaps.contains(&*said.pdu)
                    || self.went_with_the_disk(said.origin, taken);
                if !pdus.contains(&*said.pdu) && !reported {
                    faults.push(format!("{server} never heard {} in {}", said.pdu, said.room));
                }
            }
            let tokens: BTreeSet<&str> = self
                .feed(server)
                .filter_map(|what| match what {
                    What::Update { token, .. } => Some(&**token),
                    _ => None,
                })
                .collect();
            for said in self.updates.iter().filter(|said| said.hearers.contains(server)) {
                let Some(taken) = said.taken else { continue };
                let reported = self.was_reported(&said.submission, said.origin, server)
                    || self.went_with_the_disk(said.origin, taken)
                    || self.numbers_are_lost(said.origin, server);
                if !tokens.contains(&*said.token) && !reported {
                    faults.push(format!("{server} never got {} from {}", said.token, said.origin));
                }
            }
        }
    }

    /// Both came back older, and one of them gave or took the same numbers in two courses: nobody can tell which updates those
    /// were. That somebody came back must have been told, be it to one who went back behind the telling afterwards.
    fn numbers_are_lost(&self, origin: Name, server: Name) -> bool {
        let told = |server, about| self.feed(server).any(|what| *what == What::Notice { about });
        let is_told =
            told(server, Some(origin)) || told(origin, Some(server)) || told(server, None) || told(origin, None);
        let is_untold = self.goes_back_behind(server, origin) || self.goes_back_behind(origin, server);
        self.was_restored(origin) && self.was_restored(server) && (is_told || is_untold)
    }

    /// The sender's messenger was told that it will not arrive there, and nobody had it queued again after that.
    pub(crate) fn was_reported(&self, submission: &str, origin: Name, at: Name) -> bool {
        let told = self.feeds.get(origin).into_iter().flatten().filter_map(|event| match &event.what {
            What::Delivery { message, server, state } if message == submission && *server == at => {
                (state != "acknowledged").then_some((event.position, &**state))
            }
            _ => None,
        });
        let told: Vec<(u64, &str)> = told.collect();
        // What a peer took and refused is no dead letter of the sender's that could be sent again.
        match self.void_upto(submission, origin, at).filter(|_| told.iter().all(|(_, state)| *state != "refused")) {
            Some(upto) => told.iter().any(|(position, _)| *position > upto),
            None => self.dropped.contains(submission) || !told.is_empty(),
        }
    }

    /// Whether an operator had something of this queued again: it comes late, and again to whom took it and could not say so.
    fn was_retried(&self, submission: &str, to: Name) -> bool {
        self.retried.get(&(submission.to_owned(), to)).is_some_and(|retried| retried.orders > 0)
    }

    /// What a messenger was told is missing, and all that lies before it. Where a lost disk held what lies before something that
    /// came as history, nothing names it any more.
    fn beyond_gaps(&self, server: Name) -> BTreeSet<&str> {
        let missing = self.feed(server).filter_map(|what| match what {
            What::Gap { missing } => Some(&missing[..]),
            What::Pdu { prev, history: true, .. } if self.was_restored(server) => Some(&prev[..]),
            _ => None,
        });
        let (mut beyond, mut ahead): (BTreeSet<&str>, Vec<&str>) =
            (BTreeSet::new(), missing.flatten().map(String::as_str).collect());
        while let Some(pdu) = ahead.pop() {
            if beyond.insert(pdu) {
                ahead.extend(self.parents.get(pdu).into_iter().flatten().map(String::as_str));
            }
        }
        beyond
    }

    /// A sender whose disk went back and whose updates are known to others by numbers it gives again: both are told.
    fn confusion_was_told(&self, faults: &mut Vec<String>) {
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
                    later.begun > taken && later.origin == said.origin && self.dropped.contains(&later.submission)
                });
                let said_more = self.updates.iter().any(|later| {
                    later.begun > taken
                        && later.taken.is_some_and(|taken| !self.went_with_the_disk(later.origin, taken))
                        && later.origin == said.origin
                        && later.hearers.contains(server)
                });
                if arrived && said_more && !is_taken_out && !self.has_notice(server, said.origin) {
                    faults.push(format!("{server} was not told that {} went back in time", said.origin));
                }
            }
        }
    }
}

pub(crate) mod rooms;
#[cfg(test)]
mod tests;
