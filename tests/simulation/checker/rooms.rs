//! That all who are in a room end with the same set and the same state, whenever and however they came.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::{History, Name, View, What};

/// Counts of the comparisons, and of the differences that are excused because a messenger was told.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Compared {
    /// PDUs, once for each server that is to have them.
    pub(crate) pdus: usize,
    /// Keys of state, once for each server.
    pub(crate) keys: usize,
    /// Not there, and told as a gap, or only to be reached through what was.
    pub(crate) told: usize,
    /// Not there: a server's own, which went with its disk.
    pub(crate) own: usize,
    /// Not there: its author's disk forgot it before anybody heard it as news. Whoever has it got it as history, names it to
    /// nobody by that, and cannot know that nobody else does.
    pub(crate) unsaid: usize,
}

impl std::ops::AddAssign for Compared {
    fn add_assign(&mut self, other: Self) {
        self.pdus += other.pdus;
        self.keys += other.keys;
        self.told += other.told;
        self.own += other.own;
        self.unsaid += other.unsaid;
    }
}

impl History {
    /// Each room at each server against all the others.
    pub(crate) fn rooms(&self, faults: &mut Vec<String>) -> Compared {
        let mut compared = Compared::default();
        let rooms: BTreeSet<&str> = self.views.iter().map(|view| &*view.room).collect();
        for room in rooms {
            let views: Vec<&View> = self.views.iter().filter(|view| view.room == room).collect();
            self.one_set(room, &views, &mut compared, faults);
            one_state(room, &views, &mut compared, faults);
        }
        for view in &self.views {
            self.is_what_was_told(view, faults);
        }
        compared
    }

    /// The state alone: of what was said, each keeps as much as it will.
    pub(crate) fn states(&self, faults: &mut Vec<String>) -> Compared {
        let mut compared = Compared::default();
        let rooms: BTreeSet<&str> = self.views.iter().map(|view| &*view.room).collect();
        for room in rooms {
            let views: Vec<&View> = self.views.iter().filter(|view| view.room == room).collect();
            one_state(room, &views, &mut compared, faults);
        }
        compared
    }

    /// Every participant has each PDU that any of them has, and at least one has each accepted PDU.
    fn one_set(&self, room: &str, views: &[&View], compared: &mut Compared, faults: &mut Vec<String>) {
        let all: BTreeSet<&str> = views.iter().flat_map(|view| view.pdus.keys()).map(String::as_str).collect();
        let messages = self.messages_by_name();
        for said in self.messages.iter().filter(|said| said.room == room) {
            let Some(taken) = said.taken else { continue };
            if !all.contains(&*said.pdu) && !self.went_with_the_disk(said.origin, taken) {
                faults.push(format!("nobody has {} in {room} any more", said.pdu));
            }
        }
        for view in views {
            let is_for = |pdu: &&str| !self.is_for_others(pdu, view.server);
            let missing: BTreeSet<&str> =
                all.iter().copied().filter(|pdu| !view.pdus.contains_key(*pdu)).filter(is_for).collect();
            let told = self.feed(view.server).filter_map(|what| match what {
                What::Gap { missing, .. } => Some(&missing[..]),
                _ => None,
            });
            let told = self.before(told.flatten().map(String::as_str), &missing);
            let beyond_gaps = self.beyond_gaps(view.server);
            let unsaid: BTreeSet<&str> = missing.iter().copied().filter(|pdu| self.is_unsaid(pdu, views)).collect();
            let unsaid = self.before(unsaid.into_iter(), &missing);
            compared.pdus += all.len();
            for pdu in missing {
                let said = messages.get(pdu).copied();
                let is_own = said.is_some_and(|said| {
                    let gone = |taken| self.went_with_the_disk(view.server, taken);
                    said.origin == view.server && said.taken.is_none_or(gone)
                });
                let is_hearer = said.is_some_and(|said| said.hearers.contains(view.server));
                let is_told_of = said.is_some_and(|said| self.is_told_of(said, view.server, &beyond_gaps));
                match () {
                    () if is_hearer && is_told_of => compared.told += 1,
                    () if !is_hearer && told.contains(pdu) => compared.told += 1,
                    () if is_own => compared.own += 1,
                    // What answers it would name it, and is named by nobody.
                    () if unsaid.contains(pdu) && self.author_lost(pdu, views) && !view.named.contains(pdu) => {
                        compared.unsaid += 1;
                    }
                    () => faults.push(format!("{} ends without {pdu} in {room}, which others have", view.server)),
                }
            }
        }
    }

    /// True if no participant names the PDU to this server, because the PDU is narrowed: the server is no hearer of it, or
    /// the sender was told that the PDU did not arrive there.
    fn is_for_others(&self, pdu: &str, server: Name) -> bool {
        let said = self.messages.iter().find(|said| said.pdu == pdu).filter(|said| said.narrowed);
        said.is_some_and(|said| {
            !said.hearers.contains(server) && said.origin != server
                || self.was_reported(&said.submission, said.origin, server)
        })
    }

    /// True if no server heard the PDU as news, and its author has lost it.
    fn is_unsaid(&self, pdu: &str, views: &[&View]) -> bool {
        let is_news = |what: &What| matches!(what, What::Pdu { pdu: heard, history: false, .. } if heard == pdu);
        self.author_lost(pdu, views) && !self.feeds.keys().any(|server| self.feed(server).any(is_news))
    }

    /// True if the author of the PDU was restored, and has it no longer.
    fn author_lost(&self, pdu: &str, views: &[&View]) -> bool {
        let author = pdu.split('/').next();
        let has_it = |view: &&View| view.pdus.contains_key(pdu) && Some(view.server) == author;
        self.restores.iter().any(|restore| Some(restore.server) == author) && !views.iter().any(has_it)
    }

    /// These, and what lies before them and can be reached only through what is missing.
    fn before<'a>(&'a self, from: impl Iterator<Item = &'a str>, missing: &BTreeSet<&'a str>) -> BTreeSet<&'a str> {
        let mut ahead: Vec<&str> = from.collect();
        let (mut beyond, mut seen) = (BTreeSet::new(), BTreeSet::new());
        while let Some(pdu) = ahead.pop() {
            // One that nobody has any more may stand between those that others have.
            let is_away = missing.contains(pdu) || self.views.iter().all(|view| !view.pdus.contains_key(pdu));
            if is_away && seen.insert(pdu) {
                ahead.extend(self.parents.get(pdu).into_iter().flatten().map(String::as_str));
                beyond.extend(missing.get(pdu));
            }
        }
        beyond
    }

    /// The history is what was told in the feed, and one's own. What a lost disk had told its messenger may have been lost
    /// with it; where it is there again, it was told again.
    fn is_what_was_told(&self, view: &View, faults: &mut Vec<String>) {
        let kept = self.events(view.server).filter(|event| !self.was_lost(view.server, event));
        let heard = kept.filter_map(|event| match &event.what {
            What::Pdu { pdu, room, .. } if *room == view.room => Some(&**pdu),
            _ => None,
        });
        let own = |pdu: &&String| pdu.split('/').next() == Some(view.server);
        let heard: BTreeSet<&str> = heard.chain(view.pdus.keys().filter(own).map(|own| &**own)).collect();
        let shown: BTreeSet<&str> = view.pdus.keys().map(String::as_str).collect();
        if heard != shown {
            let differ: Vec<_> = heard.symmetric_difference(&shown).collect();
            faults.push(format!("the feed and the history of {} differ in {}: {differ:?}", view.server, view.room));
        }
        for pdu in &view.twice {
            faults.push(format!("the history of {} shows {pdu} twice", view.server));
        }
    }
}

/// Servers that have the same PDUs of a key agree on the holder of that key, in whatever order the PDUs arrived.
fn one_state(room: &str, views: &[&View], compared: &mut Compared, faults: &mut Vec<String>) {
    let mut known = BTreeMap::new();
    for view in views {
        for (key, said) in &view.said {
            let holder = view.holds.get(key);
            compared.keys += 1;
            if holder.is_none_or(|holder| !said.contains(holder)) {
                faults.push(format!("{room}: {} says {holder:?} holds {key}, and has {said:?}", view.server));
            }
            let (other, theirs) = *known.entry((key, said)).or_insert((view.server, holder));
            if theirs != holder {
                let server = view.server;
                faults.push(format!("{room}: {server} says {holder:?} holds {key}, {other} {theirs:?}, of the same"));
            }
        }
        if let Some(key) = view.holds.keys().find(|key| !view.said.contains_key(*key)) {
            faults.push(format!("{room}: {} knows who holds {key}, of which it has nothing", view.server));
        }
    }
}

#[cfg(test)]
mod tests;
