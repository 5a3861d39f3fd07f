//! Updates that may be repeated or arrive out of order: two servers had reason to be in doubt about their numbers, and the
//! receiver has raised a notice.

use std::collections::BTreeSet;

use crate::checker::reports::HANDED_OVER;
use crate::history::exchange::{Exchange, Kind, Outcome};
use crate::history::{Event, History, Name, Restore, Stamp, Update, What};
use crate::world::liar::Lie;

impl History {
    /// True if this update may be repeated or arrive late at this moment; `noticed` has the senders about which the receiver
    /// has raised notices.
    pub(super) fn may_repeat(&self, said: &Update, server: Name, at: Stamp, noticed: &BTreeSet<Name>) -> bool {
        let from = said.origin;
        let is_retried = self.retried.get(&(said.submission.clone(), server)).is_some_and(|retried| retried.orders > 0);
        let is_told = noticed.contains(from) || self.goes_back_behind(server, from) && self.was_restored(from);
        is_retried
            || (is_told && self.is_in_doubt(said, server, at))
            || self.was_lied_about(said, server, at)
            || self.came_late_under_old_number(said, server, at)
    }

    /// True if a copy of a push with this update reached the server after the update itself, which the sender had numbered anew
    /// at the server's word, or at a lie, and sent under its new number. The old number lies above the new one and was the
    /// server's next one by then, so the server could not tell the copy from a new update. Such a copy explains the first event
    /// after it, and no other. The sender had raised a notice about the numbers, if it still had one; one that was restored after
    /// it sent the update anew may have lost that notice, and raise another one later.
    fn came_late_under_old_number(&self, said: &Update, server: Name, at: Stamp) -> bool {
        let from = said.origin;
        let hole = |exchange: &Exchange| match exchange.ended {
            Some((ended, Outcome::Hole { .. })) => Some(ended),
            _ => None,
        };
        let is_asked = |old: &Exchange, new: &Exchange| {
            let mut holes = self.way(from, server).filter_map(hole);
            holes.any(|ended| old.begun < ended && ended < new.begun)
        };
        let is_heard = |event: &Event| matches!(&event.what, What::Update { token, .. } if *token == said.token);
        let is_first_since = |arrived: Stamp| {
            let mut since = self.events(server).filter(|event| arrived <= event.at && event.at < at);
            !since.any(is_heard)
        };
        let is_told = |new: &Exchange| {
            let mut notices = self.events(from).filter(|event| event.what == What::Notice { about: Some(server) });
            let is_lost = self.restores_of(from).any(|restore| new.begun < restore.restored);
            notices.any(|notice| is_lost || notice.at <= at)
        };
        let is_later = |new: &Exchange, old: &Exchange| {
            let is_late = |arrived: Stamp| new.arrived.iter().any(|new| *new < arrived) && arrived <= at;
            old.begun < new.begun
                && matches!((new.number(&said.token), old.number(&said.token)), (Some(new), Some(old)) if new < old)
                && is_asked(old, new)
                && old.arrived.iter().any(|arrived| is_late(*arrived) && is_first_since(*arrived))
                && is_told(new)
        };
        self.way(from, server).any(|new| self.way(from, server).any(|old| is_later(new, old)))
    }

    /// True if a lie about numbers reached the sender before this moment, while the sender did not know that the receiver
    /// has the update, or asked for its number again, and the sender renumbered it and raised a notice, perhaps on a disk that
    /// was lost afterwards.
    fn was_lied_about(&self, said: &Update, server: Name, at: Stamp) -> bool {
        let is_lie = |exchange: &&Exchange| {
            matches!(exchange.lie, Some(Lie::Hole | Lie::Conflict))
                && exchange.begun <= at
                && exchange.ended.as_ref().is_none_or(|(ended, _)| said.begun < *ended)
                && (!self.was_acknowledged(&said.token, said.origin, server, exchange.begun)
                    || self.is_asked_again(exchange, said))
        };
        let is_notice = |event: &Event| event.at <= at && event.what == What::Notice { about: Some(server) };
        let is_told = |lie: Stamp| {
            self.events(said.origin).any(is_notice)
                || self.restores_of(said.origin).any(|restore| lie <= restore.restored)
        };
        self.way(said.origin, server).filter(is_lie).any(|lie| is_told(lie.begun))
    }

    /// True if the answer to this request asks for a number at or below all those under which the update was acknowledged by
    /// then, so that the sender gives the update again although it knew of the acknowledgement. `conflict` asks for what is not
    /// acknowledged alone.
    fn is_asked_again(&self, answered: &Exchange, said: &Update) -> bool {
        let Some((_, Outcome::Hole { expected, conflict: false })) = answered.ended else { return false };
        let acknowledged = self
            .way(said.origin, answered.to)
            .filter(|exchange| matches!(exchange.ended, Some((at, Outcome::Fine)) if at < answered.begun));
        acknowledged.filter_map(|exchange| exchange.number(&said.token)).all(|number| expected <= number)
    }

    /// True if the sender could not know, at some moment before this one, under which number the receiver has the update:
    /// the sender was restored to a copy from before the acknowledgement, it reused numbers of items that had left its queue
    /// before it knew of the acknowledgement, or a late copy from its lost disk moved the receiver's numbers back.
    fn is_in_doubt(&self, said: &Update, server: Name, at: Stamp) -> bool {
        let from = said.origin;
        let knew = |before: Stamp| self.was_acknowledged(&said.token, from, server, before);
        let restored = self.restores_of(from).any(|r| r.restored <= at && said.begun < r.restored && !knew(r.copied));
        let left = |event: &Event| match &event.what {
            What::Delivery { server: other, state, .. } => *other == server && !HANDED_OVER.contains(&&**state),
            _ => false,
        };
        let renumbered = self.events(from).any(|event| event.at <= at && left(event) && !knew(event.at))
            || self.drops_of(from).any(|dropped| dropped <= at && !knew(dropped));
        restored || renumbered || self.was_moved_back(said, server, at)
    }

    /// True if a push without ranges that the sender's lost disk had sent reached the server after the restore, under a number
    /// at or below that of this update, and the server held another item of the restored sender under that number, or did not
    /// know any more what it held, because it was restored too and had not got the same again. The receiver cannot tell this copy from a push of the restored
    /// sender: it accepts the copy and expects the numbers behind it again. A copy of what it holds under that number moves
    /// nothing.
    fn was_moved_back(&self, said: &Update, server: Name, at: Stamp) -> bool {
        let from = said.origin;
        let numbers: Vec<u64> = self.way(from, server).filter_map(|exchange| exchange.number(&said.token)).collect();
        let is_below = |late: &Exchange| match late.kind {
            Kind::Push { seq, ranges: false } => !late.items.is_empty() && numbers.iter().any(|number| seq <= *number),
            _ => false,
        };
        let is_other =
            |late: &Exchange, new: &Exchange| late.items.iter().any(|item| new.carries_other(item, late.number(item)));
        let is_same =
            |late: &Exchange, new: &Exchange| late.items.iter().all(|item| new.number(item) == late.number(item));
        let moves = |late: &Exchange, restored: Stamp, arrived: Stamp| {
            let came_since =
                |new: &Exchange, since: Stamp| new.arrived.iter().any(|came| since <= *came && *came < arrived);
            let holds_other = |new: &Exchange| restored <= new.begun && came_since(new, 0) && is_other(late, new);
            let forgot = |own: &Restore| {
                own.restored <= arrived
                    && !self.way(from, server).any(|new| came_since(new, own.restored) && is_same(late, new))
            };
            self.way(from, server).any(holds_other) || self.restores_of(server).any(forgot)
        };
        let is_late = |late: &Exchange, restored: Stamp| {
            let mut arrived = late.arrived.iter().filter(|arrived| restored <= **arrived && **arrived <= at);
            late.begun < restored && arrived.any(|arrived| moves(late, restored, *arrived))
        };
        self.restores_of(from)
            .any(|restore| self.way(from, server).any(|late| is_below(late) && is_late(late, restore.restored)))
    }

    /// The moments at which an operator dropped items from the queues of this server.
    fn drops_of(&self, from: Name) -> impl Iterator<Item = Stamp> {
        let is_from = move |submission: &str| {
            self.updates.iter().any(|said| said.origin == from && said.submission == *submission)
                || self.messages.iter().any(|said| said.origin == from && said.submission == *submission)
        };
        let dropped = self.dropped.iter().filter(move |(submission, _)| is_from(submission));
        dropped.flat_map(|(_, at)| at).copied()
    }

    /// True if the sender was told, before this moment, that a server has this item, and was not told otherwise since.
    pub(super) fn was_acknowledged(&self, item: &str, from: Name, to: Name, before: Stamp) -> bool {
        let is_told = |exchange: &Exchange| {
            matches!(exchange.ended, Some((at, Outcome::Fine)) if at < before)
                && !self.was_taken_back(exchange, item, before)
        };
        let mut carried = self.way(from, to).filter(|exchange| exchange.items.iter().any(|other| other == item));
        carried.any(is_told)
    }

    /// True if an acknowledgement may not count any more at this moment: the receiver was restored to an older copy, it lied that
    /// it lacks the number of this item, or the sender crashed before it had written the acknowledgement.
    fn was_taken_back(&self, acknowledged: &Exchange, item: &str, before: Stamp) -> bool {
        let Some((at, _)) = acknowledged.ended else { return false };
        let number = acknowledged.number(item);
        let is_asked_again = |lie: &Exchange| {
            matches!(lie.ended, Some((ended, Outcome::Hole { expected, .. }))
                if lie.lie.is_some() && at < ended && ended <= before && number.is_some_and(|number| expected <= number))
        };
        self.restores_of(acknowledged.to).any(|restore| restore.copied < at && restore.restored <= before)
            || self.way(acknowledged.from, acknowledged.to).any(is_asked_again)
            || self.may_have_forgotten(acknowledged.from, at, before)
    }

    /// The exchanges that one server began with another, in order.
    pub(super) fn way(&self, from: Name, to: Name) -> impl Iterator<Item = &Exchange> {
        let is_meant = move |exchange: &&Exchange| exchange.from == from && exchange.to == to;
        self.exchanges.iter().filter(is_meant)
    }
}
