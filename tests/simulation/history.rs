//! The record of a run: the messages and their hearers, the events that each messenger read, and the disks that were
//! restored. The record does not depend on how the run was made; [`faults`](History::faults) in `checker` checks it against
//! the promises.

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
    /// The servers that are to hear it.
    pub(crate) hearers: BTreeSet<Name>,
    /// No server beside the hearers is to hear it.
    pub(crate) narrowed: bool,
    /// Its messenger says it again until it is told that it is taken.
    pub(crate) insists: bool,
    /// The moment at which the messenger gave it to its gateway.
    pub(crate) begun: Stamp,
    /// The wall clock of the gateway at that moment.
    pub(crate) wall: u64,
    /// The moment at which the messenger was told that it is accepted.
    pub(crate) taken: Option<Stamp>,
    /// The parts that the messenger sent: each hearer gets the same.
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
    /// The moment at which the event was on disk.
    pub(crate) at: Stamp,
    /// The wall clock of the gateway at that moment.
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
        /// The PDU was given up, and arrived after all.
        late: bool,
        parts: Parts,
    },
    /// The PDU was heard before, and has now become the holder of its key.
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
        /// The item as it arrived.
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
    /// The moment at which the copy was made.
    pub(crate) copied: Stamp,
    /// The moment at which the restored server started.
    pub(crate) restored: Stamp,
    /// The newest position of the feed on the copy.
    pub(crate) tail: u64,
    /// The messenger is not restored with its gateway: it reads on from where it was.
    pub(crate) reads_on: bool,
}

/// An order to queue the items of a submission again that had left a queue.
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

/// A gateway's configuration from one moment on, as far as the checker's excuses depend on it.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) from: Stamp,
    pub(crate) server: Name,
    /// PDUs of a room that may wait for parents.
    pub(crate) held_max: u32,
    /// Questions in a row that lead back.
    pub(crate) depth_max: u32,
    /// The time for which a parent is looked for, in milliseconds.
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
    /// The gateway forgets old PDUs.
    pub(crate) forgets: bool,
    /// Peers that are told what the messenger has acknowledged, and whose word about that is taken.
    pub(crate) receipts: BTreeSet<Name>,
    /// The servers through which peers may be reached.
    pub(crate) routes: BTreeMap<Name, BTreeSet<Name>>,
    /// The gateway passes on what others have for each other.
    pub(crate) relays: bool,
    /// Peers for which sent items are kept for less time than a messenger may take to acknowledge them.
    pub(crate) trimmed: BTreeSet<Name>,
}

/// A server's final view of a room.
#[derive(Debug, Default, Clone)]
pub(crate) struct View {
    pub(crate) server: Name,
    pub(crate) room: String,
    /// Its history, with what each PDU says.
    pub(crate) pdus: BTreeMap<String, Parts>,
    /// The PDUs that the history names: parents, and the state that a PDU replaces.
    pub(crate) named: BTreeSet<String>,
    /// The PDUs that the history shows more than once.
    pub(crate) twice: Vec<String>,
    /// The state PDUs among them, by their keys.
    pub(crate) said: BTreeMap<String, BTreeSet<String>>,
    /// The PDU that holds each key.
    pub(crate) holds: BTreeMap<String, String>,
    /// The PDUs that the server knows to lie before all that it has.
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
    /// The servers that came to a room after its beginning.
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
    /// All disturbances of gateways and links.
    pub(crate) disturbances: Vec<Disturbance>,
    pub(crate) named: Vec<Named>,
    /// The rooms that servers joined by another server, and the moments at which their gateways accepted that.
    pub(crate) joined: Vec<(Name, String, Stamp)>,
    pub(crate) settings: Vec<Settings>,
    /// Submissions whose messenger asked to be told when the messengers of the hearers have them.
    pub(crate) asked: BTreeSet<String>,
    /// Items, by the names of their PDUs or by their tokens, that a server's messenger has acknowledged, and the first moment of that.
    pub(crate) acknowledged: BTreeMap<(Name, String), Stamp>,
    /// The same items, where the messenger refused them.
    pub(crate) unwanted: BTreeSet<(Name, String)>,
    /// The server that knows a room as the group of another one, and that one.
    pub(crate) bridge: Option<(Name, Name)>,
    /// The contents of what was said in that group, with the tokens of the updates.
    pub(crate) grouped: BTreeMap<String, String>,
    /// Submissions that have no form for the group, and when they were accepted.
    pub(crate) formless: Vec<(String, Option<Stamp>)>,
    /// The servers whose wall clocks jumped, and the moments.
    pub(crate) jumps: Vec<(Name, Stamp)>,
}

impl History {
    /// True if an item that was accepted at that moment was lost with the server's disk.
    pub(crate) fn went_with_the_disk(&self, server: Name, taken: Stamp) -> bool {
        self.restores.iter().any(|r| r.server == server && r.copied < taken && taken <= r.restored)
    }

    /// True if `server` was restored from a copy made before `other` was restored: the copy lacks what `server` was told of
    /// that.
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

    /// True if a server came to a room after its beginning.
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

    /// True if a server's messenger was given a notice about another server.
    pub(crate) fn has_notice(&self, server: Name, about: Name) -> bool {
        self.feed(server).any(|what| *what == What::Notice { about: Some(about) })
    }

    /// A server's configuration at one moment.
    pub(crate) fn settings_at(&self, server: Name, at: Stamp) -> Option<&Settings> {
        self.settings.iter().rfind(|settings| settings.server == server && settings.from <= at)
    }
}
