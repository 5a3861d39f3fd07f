//! No PDU comes before its parents, unless `gap` names them, and then an event has announced it.

use std::collections::BTreeSet;

use crate::history::exchange::{Exchange, Outcome};
use crate::history::{Event, History, Name, Restore, Stamp, View, What};

impl History {
    pub(super) fn parents_first(&self, server: Name, faults: &mut Vec<String>) {
        let (mut heard, mut announced) = (BTreeSet::new(), BTreeSet::new());
        let mut lost = vec![];
        let mut before = 0;
        for event in self.events(server) {
            if event.position != before + 1 {
                // The gateway has lost these with its disk, and does not know that its messenger has heard them.
                for pdu in lost.drain(..) {
                    heard.remove(pdu);
                }
            }
            before = event.position;
            if let What::Pdu { pdu, .. } = &event.what
                && self.was_lost(server, event)
            {
                lost.push(pdu);
            }
            match &event.what {
                What::Gap { missing, .. } => announced.extend(missing),
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
                            (false, false) if !self.was_edge(server, parent, event) => {
                                faults.push(format!("{server} heard {pdu} before its parent {parent}"));
                            }
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

    /// A parent that was sent before a server joined is no gap to that server: the server has it as history, or accepts it
    /// as late, or lacks it and shows it on the edge of the room.
    fn lies_before(&self, server: Name, room: &str, parent: &str) -> bool {
        let is_edge = |view: &View| view.server == server && view.room == room && view.edge.contains(parent);
        let comes_late = |what: &What| match what {
            What::Pdu { pdu, history, late, .. } => pdu == parent && (*history || *late),
            _ => false,
        };
        self.came_late(server, room) && (self.feed(server).any(comes_late) || self.views.iter().any(is_edge))
    }

    /// True if a parent was the edge of a room as a disk showed it that was lost afterwards: it never came to that disk, and its
    /// child came with the first batch of a room that was new to the server, or lies before that batch; or the server had joined
    /// the room, and the parent was sent before that and lies on the edge of the join.
    fn was_edge(&self, server: Name, parent: &str, event: &Event) -> bool {
        let What::Pdu { pdu, room, .. } = &event.what else { return false };
        let is_parent = |what: &What| matches!(what, What::Pdu { pdu, .. } if pdu == parent);
        let came = || self.events(server).any(|other| is_parent(&other.what) && self.was_lost(server, other));
        self.came_late(server, room)
            && self.was_lost(server, event)
            && !came()
            && (self.came_with_first_batch(server, room, pdu, event)
                || self.is_edge_of_join(server, room, parent, event))
    }

    /// True if a PDU was sent before the server joined its room, on the disk of an event, and lies on the edge of that join: what
    /// was given to the server after the join leads to it, or the event is of the first batch after the join. Of all other
    /// parents the server has to say that they are missing.
    fn is_edge_of_join(&self, server: Name, room: &str, parent: &str, event: &Event) -> bool {
        let Some(said) = self.messages.iter().find(|said| said.pdu == parent) else { return false };
        let What::Pdu { pdu, .. } = &event.what else { return false };
        let is_meant = |(by, of, at): &&(Name, String, Stamp)| *by == server && of == room && said.begun < *at;
        let came_first = |joined: Stamp| {
            let first = self.first_batches(server, room, event);
            first.is_some_and(|(first, batches)| joined < first && self.lies_in_or_before(&batches, pdu))
        };
        let mut joins = self.joined.iter().filter(is_meant).map(|(_, _, at)| *at);
        joins.any(|joined| {
            self.was_there(server, joined, event)
                && (self.is_named_since(server, joined, parent, event) || came_first(joined))
        })
    }

    /// True if a PDU that the server was given after a moment names this one as its parent, or names one that does and that came
    /// to the same disk by then.
    fn is_named_since(&self, server: Name, since: Stamp, parent: &str, event: &Event) -> bool {
        let given = self.exchanges.iter().filter(|exchange| {
            let is_since = |at: Stamp| since < at && self.was_there(server, at, event);
            exchange.from == server && exchange.ended.as_ref().is_some_and(|(at, _)| is_since(*at))
        });
        let mut ahead: Vec<&str> = given.flat_map(|exchange| &exchange.given).map(String::as_str).collect();
        let come = self
            .events(server)
            .filter(|other| other.position <= event.position && self.was_there(server, other.at, event));
        let come: BTreeSet<&str> = come
            .filter_map(|other| match &other.what {
                What::Pdu { pdu, .. } => Some(&**pdu),
                _ => None,
            })
            .collect();
        let mut seen = BTreeSet::new();
        while let Some(child) = ahead.pop() {
            for named in self.parents.get(child).into_iter().flatten().map(String::as_str) {
                if named == parent {
                    return true;
                }
                if come.contains(named) && seen.insert(named) {
                    ahead.push(named);
                }
            }
        }
        false
    }

    /// True if a room was new to a server, and this PDU came to it with the first batch of the room, or lies before that batch.
    fn came_with_first_batch(&self, server: Name, room: &str, pdu: &str, event: &Event) -> bool {
        let Some((first, batches)) = self.first_batches(server, room, event) else { return false };
        // A room that the messenger knew first has gaps, and no edge.
        let mut named = self.named.iter().filter(|named| named.server == server && named.room == room);
        !named.any(|named| named.at < first && self.was_there(server, named.at, event))
            && self.lies_in_or_before(&batches, pdu)
    }

    /// The first batch of a room that came to the disk of an event, with its arrival, unless the messenger had said something there
    /// before. It is the first that was taken for certain, or one before it.
    fn first_batches(&self, server: Name, room: &str, event: &Event) -> Option<(Stamp, Vec<&Exchange>)> {
        let mut come: Vec<(Stamp, &Exchange)> = self.brought(server, room, event).collect();
        come.sort_by_key(|(arrived, _)| *arrived);
        let first = come.first()?.0;
        let own =
            self.messages.iter().filter(|said| said.origin == server && said.room == room && said.taken.is_some());
        if own.into_iter().any(|said| said.begun < first && self.was_there(server, said.begun, event)) {
            return None;
        }
        let certain = come.iter().position(|(_, exchange)| exchange.answer == Some(Outcome::Fine));
        come.truncate(certain.map_or(come.len(), |certain| certain + 1));
        Some((first, come.into_iter().map(|(_, exchange)| exchange).collect()))
    }

    fn lies_in_or_before(&self, batches: &[&Exchange], pdu: &str) -> bool {
        let items = batches.iter().flat_map(|exchange| &exchange.items).map(String::as_str);
        self.with_ancestors(items).contains(pdu)
    }

    /// The requests that brought PDUs of a room to the disk of an event, each with its first arrival there.
    fn brought(&self, server: Name, room: &str, event: &Event) -> impl Iterator<Item = (Stamp, &Exchange)> {
        let of_room = move |item: &String| self.seen_in.get(item).is_some_and(|seen| seen == room);
        let to_it = self.exchanges.iter().filter(move |exchange| exchange.to == server);
        let carry = to_it.filter(move |exchange| exchange.items.iter().any(of_room));
        carry.filter_map(move |exchange| {
            let mut arrived = exchange.arrived.iter().copied();
            Some((arrived.find(|at| self.was_there(server, *at, event))?, exchange))
        })
    }

    /// True if what a server did at that moment was done before an event, and no disk lost in between took it away.
    fn was_there(&self, server: Name, at: Stamp, event: &Event) -> bool {
        let is_gone = |restore: &Restore| restore.copied < at && at <= restore.restored && restore.restored <= event.at;
        at <= event.at && !self.restores_of(server).any(is_gone)
    }
}
