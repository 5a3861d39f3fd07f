//! No PDU comes before its parents, unless `gap` names them, and then an event has announced it.

use std::collections::BTreeSet;

use crate::history::{History, Name, View, What};

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
}
