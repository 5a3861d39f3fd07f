//! A gap is told only where the missing PDU could not be had: there was no server that had it, could be asked, and was left in
//! peace for as long as a missing PDU is looked for.

use std::collections::BTreeSet;

use crate::history::disturbance::{Disturbance, Done};
use crate::history::exchange::{Exchange, Kind, Outcome};
use crate::history::stamps::before;
use crate::history::{Event, History, Name, Settings, Stamp, What};

/// Beyond the time in which a PDU is looked for, its children may have waited for others before.
const SLACK: u64 = 2_000;

impl History {
    pub(super) fn gaps(&self, server: Name, faults: &mut Vec<String>) {
        for event in self.events(server) {
            let What::Gap { room, missing } = &event.what else { continue };
            for pdu in missing {
                // Nothing proves yet that it is its own, where its own disk is lost: it takes it back from nobody.
                if self.is_own_and_lost(server, pdu) {
                    continue;
                }
                if let Some(holder) = self.undisturbed_holder(server, room, pdu, event) {
                    faults.push(format!("{server} is told that {pdu} is missing, and {holder} could have given it"));
                }
            }
        }
    }

    /// True if the PDU came before the gap was told and went to quarantine, of which the messenger was told then.
    fn lies_in_quarantine(&self, server: Name, missing: &str, gap: &Event) -> bool {
        let is_told = |event: &Event| {
            event.position < gap.position
                && matches!(&event.what, What::Parked { pdu: Some(pdu), code, .. } if pdu == missing && code == "NOT_A_PARTICIPANT")
        };
        self.events(server).any(is_told)
    }

    /// The server that could have given a PDU that another server gave up; `None` if no server could.
    fn undisturbed_holder(&self, server: Name, room: &str, pdu: &str, event: &Event) -> Option<Name> {
        let settings = self.settings_at(server, event.at)?;
        if settings.forgets
            || self.is_too_far(server, pdu, event, settings)
            || self.is_crowded(server, room, event, settings)
        {
            return None;
        }
        // It is looked for at least so long; where questions go unanswered, longer.
        let asks = |exchange: &&Exchange| {
            exchange.from == server
                && matches!(&exchange.kind, Kind::Fetch { named } if named.iter().any(|named| named == pdu))
        };
        let first = self.exchanges.iter().find(asks).map_or(event.at, |exchange| exchange.begun);
        let from = before(event.at, settings.give_up + SLACK).min(first);
        // Who it asks are those that take part, as it was told.
        let known =
            self.named.iter().rfind(|named| named.server == server && named.room == room && named.at <= from)?;
        // Where its origin takes no part, as far as this server knows, another copy would go to quarantine too.
        let takes_part = pdu.split('/').next().is_some_and(|origin| known.others.contains(&origin));
        if !takes_part && self.lies_in_quarantine(server, pdu, event) {
            return None;
        }
        let can_give = |holder: &&Name| {
            !settings.mute.contains(*holder)
                && settings.keep.contains_key(*holder)
                && self.has(holder, room, pdu, from)
                && self.counts_in(holder, server, room, from)
                && self.was_in_peace(server, holder, (from, event.at), settings.give_up)
        };
        known.others.iter().find(can_give).copied()
    }

    /// True if a server had a PDU at that time, on a disk that was not lost after the PDU arrived.
    fn has(&self, holder: Name, room: &str, pdu: &str, at: Stamp) -> bool {
        let is_kept = |came: Stamp| came <= at && !self.went_with_the_disk(holder, came);
        let is_own = pdu.split('/').next() == Some(holder);
        let own = || self.messages.iter().any(|said| said.pdu == pdu && said.taken.is_some_and(is_kept));
        let heard = || {
            self.events(holder).any(|event| {
                is_kept(event.at)
                    && matches!(&event.what, What::Pdu { pdu: heard, room: of, .. } if heard == pdu && of == room)
            })
        };
        if is_own { own() } else { heard() }
    }

    /// True if `holder` has `server` as a peer and as a participant of the room at that time.
    fn counts_in(&self, holder: Name, server: Name, room: &str, at: Stamp) -> bool {
        let named = self.named.iter().rfind(|named| named.server == holder && named.room == room && named.at <= at);
        let is_peer = self.settings_at(holder, at).is_some_and(|settings| settings.keep.contains_key(server));
        is_peer && named.is_some_and(|named| named.others.contains(&server))
    }

    /// True if nothing kept a server from asking another during that time: both ran, the link was open, every answer on it
    /// was good and came before the server's patience ended, and no operator or configuration change interfered.
    fn was_in_peace(&self, server: Name, holder: Name, (from, until): (Stamp, Stamp), patience: u64) -> bool {
        let meets = |disturbance: &&Disturbance| match disturbance.what {
            Done::Way(a, b) | Done::Suspended(a, b) => (a, b) == (server, holder),
            Done::Down(name) | Done::Panic(name) | Done::Poisoned(name) => name == server || name == holder,
        };
        if self.disturbances.iter().filter(meets).any(|disturbance| disturbance.meets(from, until)) {
            return false;
        }
        let jumps = |(name, at): &(Name, Stamp)| (*name == server || *name == holder) && from <= *at && *at <= until;
        if self.jumps.iter().any(jumps) || self.settings_change(server, holder, from, until) {
            return false;
        }
        // The last word before that time counts too: after trouble it is left alone for a while.
        let ended = |exchange: &&Exchange| exchange.ended.as_ref().filter(|(at, _)| *at <= until).map(|(at, _)| *at);
        let last_before = self.way(server, holder).filter(|exchange| ended(exchange).is_some_and(|at| at < from));
        let last_before = last_before.filter(|exchange| exchange.is_delivery()).max_by_key(ended);
        let is_well = |exchange: &Exchange| {
            let is_answer = matches!(
                &exchange.ended,
                Some((_, Outcome::Fine | Outcome::Hole { .. })) | Some((_, Outcome::Refused(404)))
            );
            let is_late = exchange.ended.as_ref().is_none_or(|(at, _)| before(*at, patience) > exchange.begun);
            is_answer && !is_late && exchange.lie.is_none() && !exchange.meddled
        };
        let within = self.way(server, holder).filter(|exchange| {
            let is_before = exchange.ended.as_ref().is_some_and(|(at, _)| *at < from);
            !is_before && exchange.begun <= until
        });
        last_before.is_none_or(is_well) && within.into_iter().all(is_well)
    }

    fn settings_change(&self, server: Name, holder: Name, from: Stamp, until: Stamp) -> bool {
        let is_theirs = |settings: &&Settings| settings.server == server || settings.server == holder;
        self.settings.iter().filter(is_theirs).any(|settings| from <= settings.from && settings.from <= until)
    }

    /// A walk that has gone back as far as it may: what names the PDU was asked for itself.
    fn is_too_far(&self, server: Name, pdu: &str, event: &Event, settings: &Settings) -> bool {
        let pushed = |exchange: &&Exchange| exchange.to == server && exchange.arrived.iter().any(|at| *at <= event.at);
        let pushed: BTreeSet<&str> =
            self.exchanges.iter().filter(pushed).flat_map(|exchange| &exchange.items).map(String::as_str).collect();
        let names =
            |child: &str| self.parents.get(child).is_some_and(|parents| parents.iter().any(|parent| parent == pdu));
        settings.depth_max < 10 && !pushed.iter().any(|child| names(child))
    }

    /// Too many PDUs of the room wait: of what has come to the server, so much was not delivered before.
    fn is_crowded(&self, server: Name, room: &str, event: &Event, settings: &Settings) -> bool {
        let is_here = |pdu: &&String| self.seen_in.get(*pdu).is_some_and(|seen| seen == room);
        let come = self.exchanges.iter().flat_map(|exchange| {
            let is_in = exchange.to == server && exchange.arrived.iter().any(|at| *at <= event.at);
            let is_given = exchange.from == server && exchange.ended.as_ref().is_some_and(|(at, _)| *at <= event.at);
            let items = exchange.items.iter().filter(move |_| is_in);
            items.chain(exchange.given.iter().filter(move |_| is_given))
        });
        let come: BTreeSet<&String> = come.filter(is_here).collect();
        let heard = self.events(server).take_while(|other| other.position < event.position);
        let heard: BTreeSet<&String> = heard
            .filter_map(|event| match &event.what {
                What::Pdu { pdu, .. } => Some(pdu),
                _ => None,
            })
            .collect();
        come.difference(&heard).count() as u64 > u64::from(settings.held_max)
    }
}
