//! What happened, in plain words: who said what to whom, what each messenger read in the end, and whose disk went back in
//! time. Knows nothing of how it came about; [`faults`](History::faults) in `checker` holds it against the promises.

use std::collections::{BTreeMap, BTreeSet};

/// The short name of a server.
pub(crate) type Name = &'static str;

/// Counts what happens in the driver: of two moments the larger is the later.
pub(crate) type Stamp = u64;

/// A message a messenger gave to its gateway, as one PDU.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    /// `red/id`
    pub(crate) pdu: String,
    pub(crate) submission: String,
    pub(crate) origin: Name,
    pub(crate) room: String,
    /// Who is to hear it.
    pub(crate) hearers: BTreeSet<Name>,
    /// Nobody else is, unless somebody names it.
    pub(crate) narrowed: bool,
    /// When the messenger was told that it is taken.
    pub(crate) taken: Option<Stamp>,
}

/// A plain update.
#[derive(Debug, Clone)]
pub(crate) struct Update {
    pub(crate) token: String,
    pub(crate) submission: String,
    pub(crate) origin: Name,
    pub(crate) hearers: BTreeSet<Name>,
    pub(crate) begun: Stamp,
    pub(crate) taken: Option<Stamp>,
}

/// One event of a feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) position: u64,
    pub(crate) what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    Pdu {
        pdu: String,
        room: String,
        prev: Vec<String>,
        gap: Vec<String>,
        history: bool,
        /// It was given up, and came after all.
        late: bool,
    },
    /// It was heard before, and has come to hold its key.
    Again {
        pdu: String,
    },
    Update {
        from: Name,
        n: u64,
        token: String,
    },
    Gap {
        missing: Vec<String>,
    },
    Delivery {
        message: String,
        server: Name,
        state: String,
    },
    Parked {
        pdu: Option<String>,
    },
    Notice {
        about: Option<Name>,
    },
    Other,
}

/// A disk was replaced by a copy of how it was before.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Restore {
    pub(crate) server: Name,
    /// When the copy was made.
    pub(crate) copied: Stamp,
    /// When its server began again.
    pub(crate) restored: Stamp,
}

/// What had left a queue of a submission is to be queued again.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Retried {
    /// Orders that may have had it done.
    pub(crate) orders: u32,
    /// All of it was, and this lay before: the newest position of the feed, and the moment when it was known to be done. What
    /// the messenger was told before is void then.
    pub(crate) done: Option<(u64, Stamp)>,
}

/// What a server shows of a room in the end.
#[derive(Debug, Default, Clone)]
pub(crate) struct View {
    pub(crate) server: Name,
    pub(crate) room: String,
    /// Its history.
    pub(crate) pdus: BTreeSet<String>,
    /// What any of it names: its parents, and the state it replaces.
    pub(crate) named: BTreeSet<String>,
    /// Those that its history shows more than once.
    pub(crate) twice: Vec<String>,
    /// The state PDUs among them, by their keys.
    pub(crate) said: BTreeMap<String, BTreeSet<String>>,
    /// Which PDU holds a key.
    pub(crate) holds: BTreeMap<String, String>,
    /// What it knows to lie before all that it has.
    pub(crate) edge: BTreeSet<String>,
    pub(crate) parents: BTreeMap<String, Vec<String>>,
}

/// All of it.
#[derive(Debug, Default, Clone)]
pub(crate) struct History {
    pub(crate) messages: Vec<Message>,
    pub(crate) updates: Vec<Update>,
    pub(crate) feeds: BTreeMap<Name, Vec<Event>>,
    pub(crate) restores: Vec<Restore>,
    /// Submissions that an operator took out of the queues: what did not arrive of them is known.
    pub(crate) dropped: BTreeSet<String>,
    /// Submissions of which an operator queued again what had left the queue of a server.
    pub(crate) retried: BTreeMap<(String, Name), Retried>,
    /// Who writes to whom without stating ranges, ever: of a copy that comes late the receiver cannot tell what it is.
    pub(crate) plain: Vec<(Name, Name)>,
    /// Who came to which room after its beginning.
    pub(crate) late: BTreeSet<(Name, String)>,
    /// Each room as each of its servers shows it in the end.
    pub(crate) views: Vec<View>,
    /// The parents of every PDU that was ever stored, also of those whose disk is lost.
    pub(crate) parents: BTreeMap<String, Vec<String>>,
}

impl History {
    /// Whether something that was taken then went with the server's disk.
    pub(crate) fn went_with_the_disk(&self, server: Name, taken: Stamp) -> bool {
        self.restores.iter().any(|r| r.server == server && r.copied < taken && taken <= r.restored)
    }

    /// Whether `server` came back from a copy made before `other` came back: what it was told of that is not on it.
    pub(crate) fn goes_back_behind(&self, server: Name, other: Name) -> bool {
        let of = |name| self.restores.iter().filter(move |restore| restore.server == name);
        of(server).any(|own| of(other).any(|its| own.copied < its.restored && its.restored <= own.restored))
    }

    pub(crate) fn was_restored(&self, server: Name) -> bool {
        self.restores.iter().any(|restore| restore.server == server)
    }

    /// Up to which position of its feed what a messenger was told of a message on its way to a server is void.
    pub(crate) fn void_upto(&self, submission: &str, origin: Name, to: Name) -> Option<u64> {
        let (upto, done) = self.retried.get(&(submission.to_owned(), to))?.done?;
        (!self.went_with_the_disk(origin, done)).then_some(upto)
    }

    /// Whether a server came to a room after its beginning.
    pub(crate) fn came_late(&self, server: Name, room: &str) -> bool {
        self.late.iter().any(|(late, of)| *late == server && of == room)
    }

    /// The events of a feed.
    pub(crate) fn feed(&self, server: Name) -> impl Iterator<Item = &What> {
        self.feeds.get(server).into_iter().flatten().map(|event| &event.what)
    }

    /// Whether a server's messenger was told something about another server in words.
    pub(crate) fn has_notice(&self, server: Name, about: Name) -> bool {
        self.feed(server).any(|what| *what == What::Notice { about: Some(about) })
    }
}
