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
    /// the room, and the parent was sent before that.
    fn was_edge(&self, server: Name, parent: &str, event: &Event) -> bool {
        let What::Pdu { pdu, room, .. } = &event.what else { return false };
        let is_parent = |what: &What| matches!(what, What::Pdu { pdu, .. } if pdu == parent);
        let came = || self.events(server).any(|other| is_parent(&other.what) && self.was_lost(server, other));
        self.came_late(server, room)
            && self.was_lost(server, event)
            && !came()
            && (self.came_with_first_batch(server, room, pdu, event)
                || self.was_sent_before_join(server, room, parent, event))
    }

    /// True if a PDU was sent before the server joined its room, on the disk of an event.
    fn was_sent_before_join(&self, server: Name, room: &str, pdu: &str, event: &Event) -> bool {
        let Some(said) = self.messages.iter().find(|said| said.pdu == pdu) else { return false };
        let is_meant = |(by, of, at): &&(Name, String, Stamp)| *by == server && of == room && said.begun < *at;
        self.joined.iter().filter(is_meant).any(|(_, _, at)| self.was_there(server, *at, event))
    }

    /// True if a room was new to a server, and this PDU came to it with the first batch of the room, or lies before that batch.
    fn came_with_first_batch(&self, server: Name, room: &str, pdu: &str, event: &Event) -> bool {
        let mut come: Vec<(Stamp, &Exchange)> = self.brought(server, room, event).collect();
        come.sort_by_key(|(arrived, _)| *arrived);
        let Some((first, _)) = come.first() else { return false };
        // A room that the messenger knew first has gaps, and no edge.
        let said =
            self.messages.iter().filter(|said| said.origin == server && said.room == room && said.taken.is_some());
        let named = self.named.iter().filter(|named| named.server == server && named.room == room);
        let mut known = said.map(|said| said.begun).chain(named.map(|named| named.at));
        if known.any(|at| at < *first && self.was_there(server, at, event)) {
            return false;
        }
        // The first batch is the first that was taken for certain, or one before it.
        let certain = come.iter().position(|(_, exchange)| exchange.answer == Some(Outcome::Fine));
        let batches = &come[..certain.map_or(come.len(), |certain| certain + 1)];
        let items = batches.iter().flat_map(|(_, exchange)| &exchange.items).map(String::as_str);
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
