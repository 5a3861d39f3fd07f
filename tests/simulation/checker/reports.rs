//! Every report to a messenger about a single item has a cause in the run: an item expires when its time is over, is refused
//! because a peer refused it, and is in quarantine because of a fault that the run injected.

use actors::model::NO_PLAIN_FORM;

use crate::checker::COMMIT_MAX;
use crate::history::disturbance::{Disturbance, Done};
use crate::history::exchange::{Exchange, Outcome};
use crate::history::stamps::before;
use crate::history::{Event, History, Message, Name, Settings, Stamp, What};

/// The words for what a peer has put into its own quarantine, where it may still be taken from.
pub(super) const IN_QUARANTINE: &str = "it lies in the quarantine of";

/// The states of items that the peer has.
pub(super) const HANDED_OVER: [&str; 3] = ["acknowledged", "delivered", "rejected"];

/// The reasons of reports about items that were not queued.
const NEVER_QUEUED: [&str; 3] = ["outbox_full", "not_a_peer", "faulty"];

/// Answers of trouble that are taken for a refusal, by who takes them so.
const TROUBLES: usize = 3;

impl History {
    pub(super) fn reports(&self, server: Name, faults: &mut Vec<String>) {
        for event in self.events(server) {
            match &event.what {
                What::Delivery { message, server: to, state, reason } => {
                    let has_cause = match &**state {
                        "acknowledged" => true,
                        "delivered" => self.may_be_delivered(server, to, message, event.at),
                        "rejected" => self.may_be_rejected(server, to, message, event.at),
                        "expired" => self.may_expire(server, to, message, event),
                        "parked" => self.may_be_parked(server, to, message, reason, event.at),
                        "refused" if reason == NO_PLAIN_FORM => self.may_have_no_form(server, to, message),
                        "refused" => self.may_be_refused(server, to, message, event.at),
                        _ => false,
                    };
                    if !has_cause {
                        let place = event.position;
                        faults.push(format!(
                            "{server} is told at {place} that {message} is {state} at {to} ({reason}): why?"
                        ));
                    }
                }
                What::Parked { from, pdu, code, text }
                    if !self.may_lie_in_quarantine(server, from, pdu.as_deref(), code, event.at)
                        && !self.may_be_bad_forward(server, code, text, event.at) =>
                {
                    faults.push(format!("{server} is told that {pdu:?} of {from} lies in quarantine ({code}): why?"));
                }
                What::Peer { reason, .. } => {
                    let has_cause = match &**reason {
                        "faulty" => self.has_panicked(server, event.at),
                        "ahead_of_us" => {
                            self.exchanges.iter().any(|exchange| exchange.from == server && exchange.lie.is_some())
                        }
                        _ => true,
                    };
                    if !has_cause {
                        faults.push(format!("{server} is told that a peer is {reason}: why?"));
                    }
                }
                _ => {}
            }
        }
    }

    /// Its time was over: so long ago it was queued, by the wall clock of its gateway.
    fn may_expire(&self, server: Name, to: &Name, message: &str, event: &Event) -> bool {
        let kept = self.settings.iter().filter(|set| set.server == server && set.from <= event.at);
        let Some(keep) = kept.filter_map(|settings| settings.keep.get(to)).min() else { return false };
        self.queued(message).is_some_and(|queued| queued + keep <= event.wall)
    }

    /// The wall clock at the moment when a submission was first queued.
    fn queued(&self, submission: &str) -> Option<u64> {
        let messages = self.messages.iter().filter(|said| said.submission == submission).map(|said| said.wall);
        let updates = self.updates.iter().filter(|said| said.submission == submission).map(|said| said.wall);
        messages.chain(updates).min()
    }

    /// An item left the queue of a peer, or was not queued, because of an operator, a limit, the configuration or an actor
    /// that panicked, or because an answer refused this item alone.
    fn may_be_parked(&self, server: Name, to: &Name, message: &str, reason: &str, at: Stamp) -> bool {
        match reason {
            "taken out by an operator" => self.was_dropped(message, at),
            "outbox_full" => self.was_full(server, to, message, at),
            "not_a_peer" => self.settings_at(server, at).is_none_or(|settings| !settings.keep.contains_key(to)),
            "faulty" => self.has_panicked(server, at),
            _ if reason.contains(IN_QUARANTINE) => {
                let is_parked = |exchange: &Exchange| exchange.parked.iter().any(|(item, _)| self.is_of(item, message));
                self.way(server, to).any(|exchange| exchange.begun <= at && is_parked(exchange))
            }
            _ if reason.contains("an update without a context cannot go to a peer of the transactions dialect") => {
                let cannot = |settings: &&Settings| settings.server == server && settings.transactions.contains(to);
                self.settings.iter().filter(cannot).any(|settings| settings.from <= at)
                    && self.updates.iter().any(|said| said.submission == message)
            }
            _ => self.was_refused_alone(server, to, message, at),
        }
    }

    fn was_dropped(&self, message: &str, at: Stamp) -> bool {
        self.dropped.get(message).is_some_and(|dropped| dropped.iter().any(|dropped| *dropped <= at))
    }

    /// No more might wait for the peer at some moment since the messenger gave the message to its gateway. There the gateway
    /// looks for room; it reports with the commit of the message, for which the message waits where the actor of its room
    /// begins again.
    fn was_full(&self, server: Name, to: &Name, message: &str, at: Stamp) -> bool {
        let taken = self.messages.iter().find(|said| said.submission == message && said.taken.is_some());
        let given = taken.map_or(at, |said| said.begun.min(at));
        // More waits only where more is given.
        let messages = self.messages.iter().filter(|said| said.origin == server).map(|said| said.begun);
        let updates = self.updates.iter().filter(|said| said.origin == server).map(|said| said.begun);
        let meanwhile = messages.chain(updates).filter(|begun| (given..at).contains(begun));
        meanwhile.chain([at]).any(|moment| self.is_full(server, to, moment))
    }

    /// So much waits for the peer that no more may. What a restored gateway takes for waiting cannot be told from outside.
    fn is_full(&self, server: Name, to: &Name, at: Stamp) -> bool {
        let Some(most) = self.settings_at(server, at).and_then(|settings| settings.outbox.get(to)) else {
            return false;
        };
        let is_for = |said: &&Message| said.hearers.contains(to) || self.was_queued_unasked(said, to);
        let messages = self.messages.iter().filter(|said| said.origin == server).filter(is_for);
        let messages = messages.filter(|said| said.begun <= at && said.taken.is_some()).map(|said| &*said.pdu);
        let updates = self.updates.iter().filter(|said| said.origin == server && said.hearers.contains(to));
        let updates = updates.filter(|said| said.begun <= at).map(|said| &*said.token);
        let waiting = messages.chain(updates).filter(|item| self.waits(item, server, to, at)).count() as u64;
        waiting + self.waiting_to_be_relayed(server, to, at) >= *most || self.was_restored(server)
    }

    /// True if a gateway queued a message for a server that its messenger had not named with success: one that comes late may
    /// have been named already, without its messenger having been told that this is done; and the gateway of one that comes
    /// late itself lets in who brings it the first PDU of the room. That the message was queued shows in a request, or in a
    /// report about it.
    fn was_queued_unasked(&self, said: &Message, to: Name) -> bool {
        let is_carried = |exchange: &Exchange| exchange.items.contains(&said.pdu);
        let has_left = |what: &What| match what {
            What::Delivery { message, server, reason, .. } => {
                *message == said.submission && *server == to && !NEVER_QUEUED.contains(&&**reason)
            }
            _ => false,
        };
        !said.narrowed
            && (self.came_late(to, &said.room) || self.came_late(said.origin, &said.room))
            && (self.way(said.origin, to).any(is_carried) || self.feed(said.origin).any(has_left))
    }

    /// True if an item is pending for a peer.
    fn waits(&self, item: &str, server: Name, to: Name, at: Stamp) -> bool {
        let carried = self.way(server, to).filter(|exchange| exchange.items.iter().any(|other| other == item));
        let told = carried.filter_map(|exchange| match exchange.ended {
            Some((ended, Outcome::Fine)) if ended < at => Some(ended),
            _ => None,
        });
        told.min().is_none_or(|told| self.may_have_forgotten(server, told, at))
    }

    /// True if a server may have forgotten at this moment what it was told before. A gateway writes an acknowledgement with its
    /// next commit, or soon after if there is none, so a crash before that loses the acknowledgement.
    pub(super) fn may_have_forgotten(&self, server: Name, told: Stamp, at: Stamp) -> bool {
        let is_down = |disturbance: &&Disturbance| disturbance.what == Done::Down(server);
        let mut downs = self.disturbances.iter().filter(is_down).map(|disturbance| disturbance.from);
        let is_soon = |down: Stamp| told < down && before(down, COMMIT_MAX) <= told;
        downs.any(|down| is_soon(down) && down <= at && !self.commits_between(server, told, down))
    }

    /// True if a server certainly committed something to its disk between these moments: something of its own, or an item that
    /// came to it for the first time.
    fn commits_between(&self, server: Name, from: Stamp, until: Stamp) -> bool {
        let is_between = |begun: Stamp, taken: Option<Stamp>| from < begun && taken.is_some_and(|taken| taken < until);
        self.messages.iter().any(|said| said.origin == server && is_between(said.begun, said.taken))
            || self.updates.iter().any(|said| said.origin == server && is_between(said.begun, said.taken))
            || self.exchanges.iter().filter(|exchange| exchange.to == server).any(|exchange| {
                let answered = exchange.ended.as_ref().filter(|(_, told)| *told == Outcome::Fine).map(|(at, _)| *at);
                exchange.arrived.first().is_some_and(|arrived| is_between(*arrived, answered))
                    && exchange.items.iter().any(|item| exchange.was_taken(item) && self.is_new_in(exchange, item))
            })
    }

    /// True if this request was the first that brought an item to its receiver.
    fn is_new_in(&self, exchange: &Exchange, item: &str) -> bool {
        let Some(first) = exchange.arrived.first() else { return false };
        !self.exchanges.iter().any(|other| {
            let came = other.to == exchange.to && other.arrived.iter().any(|arrived| arrived < first);
            let was_given = other.from == exchange.to && other.begun < *first;
            came && other.items.iter().any(|carried| carried == item)
                || was_given && other.given.iter().any(|given| given == item)
        })
    }

    /// An item of the submission, alone in a request, was refused by an answer that the peer itself did not give.
    fn was_refused_alone(&self, server: Name, to: &Name, message: &str, at: Stamp) -> bool {
        let is_alone = |exchange: &&Exchange| {
            exchange.weak.is_empty() && exchange.items.len() == 1 && self.is_of(&exchange.items[0], message)
        };
        let is_refused = |exchange: &Exchange| match exchange.ended {
            Some((ended, Outcome::Refused(400 | 413 | 422))) => ended <= at && exchange.meddled,
            _ => false,
        };
        let is_trouble = |exchange: &Exchange| matches!(exchange.ended, Some((ended, Outcome::Failed)) if ended <= at);
        let alone = || self.way(server, to).filter(is_alone);
        let blames = self.settings_at(server, at).is_some_and(|settings| settings.blaming.contains(to));
        alone().any(is_refused) || blames && alone().filter(|exchange| is_trouble(exchange)).count() >= TROUBLES
    }

    /// True if an item belongs to a submission.
    fn is_of(&self, item: &str, submission: &str) -> bool {
        self.messages.iter().any(|said| said.pdu == item && said.submission == submission)
            || self.updates.iter().any(|said| said.token == item && said.submission == submission)
    }

    /// The peer refused the PDU, for a cause that the run gave, or a lie says so; or it was refused alone after it may have
    /// been taken.
    fn may_be_refused(&self, server: Name, to: &Name, message: &str, at: Stamp) -> bool {
        let is_before = |exchange: &&Exchange| exchange.begun <= at;
        let is_lie = |exchange: &Exchange| {
            exchange.lie == Some(crate::world::liar::Lie::RefusedPdu)
                && exchange.items.iter().any(|item| self.is_of(item, message))
        };
        let is_refused = |exchange: &Exchange| {
            let mut refused = exchange.refused.iter().filter(|(pdu, _)| self.is_of(pdu, message));
            refused.any(|(pdu, code)| self.may_refuse(to, server, pdu, code, at))
        };
        self.way(server, to).filter(is_before).any(|exchange| is_lie(exchange) || is_refused(exchange))
            || self.was_refused_alone(server, to, message, at)
    }

    /// True if a server may refuse a PDU with this code.
    fn may_refuse(&self, server: Name, sender: Name, pdu: &str, code: &str, at: Stamp) -> bool {
        match code {
            "SENDER_NOT_A_PARTICIPANT" | "NOT_A_PARTICIPANT" => self.is_stranger(server, sender, pdu, at),
            _ => false,
        }
    }

    /// True if the run gave cause to put a PDU into quarantine.
    fn may_lie_in_quarantine(&self, server: Name, from: Name, pdu: Option<&str>, code: &str, at: Stamp) -> bool {
        match (code, pdu) {
            ("NOT_A_PARTICIPANT", Some(pdu)) => self.is_stranger(server, from, pdu, at),
            ("POISON" | "CONTEXT_FAULTY", Some(_)) => self.has_panicked(server, at),
            _ => false,
        }
    }

    /// True if the server's messenger had not named the origin of a PDU, or the server that sent it, as participants of the
    /// room when the PDU arrived; a restored disk may have forgotten the participants.
    fn is_stranger(&self, server: Name, from: Name, pdu: &str, at: Stamp) -> bool {
        let room = self.messages.iter().find(|said| said.pdu == pdu).map(|said| &*said.room);
        let Some(room) = room else { return true };
        let origin = pdu.split('/').next().unwrap_or_default();
        let came = self.way(from, server).filter(|exchange| exchange.items.iter().any(|item| item == pdu));
        let first = came.filter_map(|exchange| exchange.arrived.first()).min().copied().unwrap_or(0);
        let named = self.named.iter().filter(|named| named.server == server && named.room == room && named.at <= at);
        let before = named.clone().rfind(|named| named.at <= first);
        let meanwhile = named.filter(|named| first < named.at);
        let lacks = |named: &crate::history::Named| !named.others.contains(&origin) || !named.others.contains(&from);
        before.is_none_or(lacks) || meanwhile.into_iter().any(lacks)
    }

    /// True if an actor of this server was made to panic before this moment, in the same process.
    fn has_panicked(&self, server: Name, at: Stamp) -> bool {
        let ended = |disturbance: &Disturbance| disturbance.until.filter(|until| *until <= at);
        let is_down = |disturbance: &&Disturbance| disturbance.what == Done::Down(server);
        let began = self.disturbances.iter().filter(is_down).filter_map(ended).max().unwrap_or(0);
        let panics = |what: &Done| matches!(what, Done::Panic(name) | Done::Poisoned(name) if *name == server);
        self.disturbances.iter().any(|disturbance| panics(&disturbance.what) && disturbance.meets(began, at))
    }
}
