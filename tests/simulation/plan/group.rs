//! A server that knows groups and no contexts: what it says in its group becomes a message of a room, and messages of the room reach
//! it as updates.

use actors::model::DialectSpec;
use fastrand::Rng;
use fixtures::peers::limits;

use crate::history::Name;
use crate::plan::{Plan, pick};
use crate::world::liar::Lies;

/// The room that is a group for one server.
pub(crate) const GROUP_ROOM: &str = "club";

/// The group that the room is.
pub(crate) const GROUP: i64 = 7;

/// A server for which a room is a group, and the one that knows it as such.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Group {
    /// The server of which the other is a participant.
    pub(crate) bridge: Name,
    /// The server that knows the group alone.
    pub(crate) peer: Name,
}

impl Group {
    /// True if these are the two.
    pub(crate) fn joins(&self, one: Name, other: Name) -> bool {
        [(one, other), (other, one)].contains(&(self.bridge, self.peer))
    }
}

impl Plan {
    /// The same plan with a room that is a group for one server. A gateway that lost what it composed for a group composes it again, and
    /// nobody can tell: nobody loses a disk, and nobody is in doubt about numbers.
    pub(crate) fn with_group(mut self, mut chance: Rng) -> Self {
        if self.forgets() {
            return self;
        }
        let bridge = pick(&mut chance, &self.names);
        let others: Vec<Name> = self.names.iter().copied().filter(|name| *name != bridge).collect();
        let group = Group { bridge, peer: pick(&mut chance, &others) };
        for (name, other) in [(group.bridge, group.peer), (group.peer, group.bridge)] {
            let peer = self.peer(name, other);
            // In other rooms both are participants as all are, and are asked for PDUs.
            (peer.dialect, peer.keep) = (DialectSpec::UPDATES, limits().keep);
        }
        let book = self.books.remove(bridge).expect("one of us");
        self.books.insert(bridge, book.with_group(&format!("{}.example", group.peer), GROUP, GROUP_ROOM));
        self.rooms.push((GROUP_ROOM, self.names.iter().copied().filter(|name| *name != group.peer).collect()));
        (self.faults.restore, self.faults.panic, self.poisons, self.lies) = (0, 0, None, Lies::default());
        self.group = Some(group);
        self
    }
}
