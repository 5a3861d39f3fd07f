//! What happened, in plain words: who said what to whom, what each messenger read in the end, and whose disk went back in
//! time. Knows nothing of how it came about; [`faults`](History::faults) in `checker` holds it against the promises.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::disturbance::Disturbance;
use crate::history::exchange::{Exchange, RoomsSeen};
pub(crate) use crate::history::stamps::Stamp;

pub(crate) mod disturbance;
pub(crate) mod exchange;
pub(crate) mod stamps;

/// The short name of a server.
pub(crate) type Name = &'static str;

/// The keys of a JSON object with the bytes of their values.
pub(crate) type Parts = BTreeMap<String, String>;

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
    /// Nobody else is.
    pub(crate) narrowed: bool,
    /// Its messenger says it again until it is told that it is taken.
    pub(crate) insists: bool,
    /// When the messenger gave it to its gateway.
    pub(crate) begun: Stamp,
    /// What the wall clock of its gateway said then.
    pub(crate) wall: u64,
    /// When the messenger was told that it is taken.
    pub(crate) taken: Option<Stamp>,
    /// What the messenger said of it: each hearer is told the same.
    pub(crate) parts: Parts,
}

/// A plain update.
#[derive(Debug, Clone)]
pub(crate) struct Update {
    pub(crate) token: String,
    pub(crate) submission: String,
    pub(crate) origin: Name,
    pub(crate) hearers: BTreeSet<Name>,
    pub(crate) begun: Stamp,
    pub(crate) wall: u64,
    pub(crate) taken: Option<Stamp>,
    /// Its JSON text.
    pub(crate) text: String,
}

/// Something ephemeral that a messenger gave to its gateway.
#[derive(Debug, Clone)]
pub(crate) struct Whisper {
    /// Its JSON text; there is no other of the same.
    pub(crate) text: String,
    pub(crate) from: Name,
    pub(crate) to: Name,
    /// A newer one of the same key takes its place.
    pub(crate) key: Option<String>,
    pub(crate) begun: Stamp,
    /// The virtual time at which its life ends, in milliseconds, unless the wall clock jumps before.
    pub(crate) until: u64,
}

/// One event of a feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) position: u64,
    /// When it was on disk.
    pub(crate) at: Stamp,
    /// What the wall clock of the gateway said then.
    pub(crate) wall: u64,
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
        parts: Parts,
    },
    /// It was heard before, and has come to hold its key.
    Again {
        pdu: String,
    },
    Update {
        from: Name,
        n: u64,
        token: String,
        text: String,
    },
    Gap {
        room: String,
        missing: Vec<String>,
    },
    /// A parent that was given up has come.
    GapFilled {
        missing: Vec<String>,
    },
    /// Updates of this server's own that cannot be had any more, by the numbers under which the other one asked for them.
    UpdateGap {
        server: Name,
        first: u64,
        last: u64,
    },
    Delivery {
        message: String,
        server: Name,
        state: String,
        reason: String,
    },
    Parked {
        from: Name,
        pdu: Option<String>,
        code: String,
        /// What came.
        text: String,
    },
    Notice {
        about: Option<Name>,
    },
    /// A peer is in this state, for this reason.
    Peer {
        state: String,
        reason: String,
    },
}

/// A disk was replaced by a copy of how it was before.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Restore {
    pub(crate) server: Name,
    /// When the copy was made.
    pub(crate) copied: Stamp,
    /// When its server began again.
    pub(crate) restored: Stamp,
    /// The newest position of the feed on the copy.
    pub(crate) tail: u64,
    /// The messenger is not restored with its gateway: it reads on from where it was.
    pub(crate) reads_on: bool,
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

/// A messenger has told its gateway who takes part in a room beside itself.
#[derive(Debug, Clone)]
pub(crate) struct Named {
    pub(crate) at: Stamp,
    pub(crate) server: Name,
    pub(crate) room: String,
    pub(crate) others: Vec<Name>,
}

/// What a gateway's configuration says from a moment on, as far as excuses rest on it.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) from: Stamp,
    pub(crate) server: Name,
    /// PDUs of a room that may wait for parents.
    pub(crate) held_max: u32,
    /// Questions in a row that lead back.
    pub(crate) depth_max: u32,
    /// How long a parent is looked for, in milliseconds.
    pub(crate) give_up: u64,
    /// Of each peer, how long what waits for it is kept, in milliseconds. Who is not among them is no peer.
    pub(crate) keep: BTreeMap<Name, u64>,
    /// Of each peer, how much may wait for it.
    pub(crate) outbox: BTreeMap<Name, u64>,
    /// Peers that are written to in the dialect that knows PDUs alone.
    pub(crate) transactions: BTreeSet<Name>,
    /// Peers whose trouble with a request, three times in a row, is taken for a refusal of what is in it.
    pub(crate) blaming: BTreeSet<Name>,
    /// Peers that are never asked for PDUs.
    pub(crate) mute: BTreeSet<Name>,
    /// What was said long ago is forgotten.
    pub(crate) forgets: bool,
}

/// What a server shows of a room in the end.
#[derive(Debug, Default, Clone)]
pub(crate) struct View {
    pub(crate) server: Name,
    pub(crate) room: String,
    /// Its history, with what each PDU says.
    pub(crate) pdus: BTreeMap<String, Parts>,
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
    pub(crate) whispers: Vec<Whisper>,
    pub(crate) feeds: BTreeMap<Name, Vec<Event>>,
    pub(crate) restores: Vec<Restore>,
    /// Submissions that an operator took out of the queues, and when.
    pub(crate) dropped: BTreeMap<String, Vec<Stamp>>,
    /// Submissions of which an operator queued again what had left the queue of a server.
    pub(crate) retried: BTreeMap<(String, Name), Retried>,
    /// Who came to which room after its beginning.
    pub(crate) late: BTreeSet<(Name, String)>,
    /// Each room as each of its servers shows it in the end.
    pub(crate) views: Vec<View>,
    /// The parents of every PDU that was ever stored, also of those whose disk is lost.
    pub(crate) parents: BTreeMap<String, Vec<String>>,
    /// Everything on the wire, in the order in which it began.
    pub(crate) exchanges: Vec<Exchange>,
    /// PDUs in quarantine that an operator forgot.
    pub(crate) forgotten: BTreeSet<(Name, String)>,
    /// The rooms of PDUs on the wire.
    pub(crate) seen_in: RoomsSeen,
    /// What was done to whom.
    pub(crate) disturbances: Vec<Disturbance>,
    pub(crate) named: Vec<Named>,
    pub(crate) settings: Vec<Settings>,
    /// When whose wall clock jumped.
    pub(crate) jumps: Vec<(Name, Stamp)>,
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
        self.events(server).map(|event| &event.what)
    }

    /// The same with when they came.
    pub(crate) fn events(&self, server: Name) -> impl Iterator<Item = &Event> {
        self.feeds.get(server).into_iter().flatten()
    }

    /// Whether a server's messenger was told something about another server in words.
    pub(crate) fn has_notice(&self, server: Name, about: Name) -> bool {
        self.feed(server).any(|what| *what == What::Notice { about: Some(about) })
    }

    /// What a server's configuration said at a moment.
    pub(crate) fn settings_at(&self, server: Name, at: Stamp) -> Option<&Settings> {
        self.settings.iter().rfind(|settings| settings.server == server && settings.from <= at)
    }
}
