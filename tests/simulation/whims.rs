//! What people do to a gateway besides talking: operators who suspend peers, resume them, drop messages and send them again, and
//! messengers that read and say so late.

use std::rc::Rc;

use actors::model::{FeedItem, PeerCommand, Refusal};
use fastrand::Rng;
use tokio::task::spawn_local;

use crate::history::Name;
use crate::node::seconds;
use crate::plan::pick;
use crate::read;
use crate::surroundings::{TestConfig, server};
use crate::world::{Member, World};

/// How often somebody ordered to drop a message, and how often it was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Drops {
    ordered: u32,
    done: u32,
}

/// What is drawn of it for a seed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Whims {
    /// Some messages go to some of the room only.
    pub(crate) narrows: bool,
    /// Messengers read, and do not always say so.
    lags: bool,
    /// Unacknowledged events at which peers wait, and below which they do no longer.
    water: Option<(u64, u64)>,
    /// Operators give orders.
    orders: bool,
}

impl Whims {
    /// Each in some seeds; in many none. `restores`: disks go back. What was said to some only is named by nobody, so a disk that
    /// forgot it may be told of it by its author alone, and that cannot always be.
    pub(crate) fn draw(more: &mut Rng, restores: bool) -> Self {
        let mut some = || more.u8(0..4) == 0;
        let (narrows, lags, orders) = (some(), some(), some());
        let water = lags.then(|| pick(more, &[None, Some((8, 4)), Some((30, 10))])).flatten();
        Self { narrows: narrows && !restores, lags, water, orders }
    }

    /// The configuration that goes with it.
    pub(crate) fn apply(&self, book: TestConfig) -> TestConfig {
        match self.water {
            Some((high, low)) => book.with_water(high, low),
            None => book,
        }
    }

    /// How often a messenger reads at least, once all is well, for one time it would: what it is given ends at the high water.
    pub(crate) fn haste(&self) -> u64 {
        if self.water.is_some() { 8 } else { 1 }
    }
}

impl World {
    /// Perhaps somebody does something of that.
    pub(crate) fn whim(self: &Rc<Self>) {
        let Whims { lags, orders, .. } = self.plan.whims;
        if lags && self.more.borrow_mut().u8(0..8) == 0 {
            let member = self.someone();
            member.lags.set(!member.lags.get());
            self.trace.note(&format!("{} acknowledges what it reads: {}", member.name, !member.lags.get()));
        }
        if orders && self.more.borrow_mut().u8(0..10) == 0 {
            let (member, whim) = (self.someone(), self.more.borrow_mut().u8(0..9));
            match whim {
                0 | 1 => self.order(&member, PeerCommand::Suspend),
                2 | 3 => self.order(&member, PeerCommand::Resume),
                4 => self.order(&member, PeerCommand::Retry),
                5 | 6 => self.drop_one(&member),
                _ => self.retry_one(&member),
            }
        }
    }

    fn someone(&self) -> Rc<Member> {
        let place = self.more.borrow_mut().usize(..self.members.len());
        self.members[place].clone()
    }

    /// An operator orders this about some peer. Whether it is done before a crash matters to nobody.
    fn order(self: &Rc<Self>, member: &Rc<Member>, order: PeerCommand) {
        let others: Vec<Name> = self.plan.names.iter().copied().filter(|name| *name != member.name).collect();
        let to = pick(&mut self.more.borrow_mut(), &others);
        self.trace.note(&format!("{}: {order:?} {to}", member.name));
        let Some(gateway) = member.node.alive() else { return };
        spawn_local(async move {
            let _ = gateway.order(&server(to), order).await;
        });
    }

    /// An operator takes a message that was taken out of the queues. What it was and for whom is known from then on to whoever
    /// ordered it.
    fn drop_one(self: &Rc<Self>, member: &Rc<Member>) {
        let Some(gateway) = member.node.alive() else { return };
        let dropped = {
            let history = self.history.borrow();
            let messages = history.messages.iter().filter(|said| said.origin == member.name && said.taken.is_some());
            let updates = history.updates.iter().filter(|said| said.origin == member.name && said.taken.is_some());
            let taken: Vec<&String> =
                messages.map(|said| &said.submission).chain(updates.map(|said| &said.submission)).collect();
            // One of the last: the others have arrived.
            let last = &taken[taken.len().saturating_sub(4)..];
            if last.is_empty() {
                return;
            }
            last[self.more.borrow_mut().usize(..last.len())].clone()
        };
        self.trace.note(&format!("{}: {dropped} is dropped", member.name));
        {
            let mut history = self.history.borrow_mut();
            history.dropped.insert(dropped.clone());
            for (_, retried) in history.retried.iter_mut().filter(|((submission, _), _)| *submission == dropped) {
                retried.done = None;
            }
            self.drops.borrow_mut().entry(dropped.clone()).or_default().ordered += 1;
        }
        let world = self.clone();
        spawn_local(async move {
            let done = gateway.drop_message(&dropped.parse().expect("an id"), None).await;
            // Or nothing of it was ever in a queue.
            if matches!(done, Ok(()) | Err(Refusal::UnknownSubmission(_))) {
                world.drops.borrow_mut().entry(dropped).or_default().done += 1;
            }
        });
    }

    /// An operator has queued again what had left the queue of one server of a message. Where an order to drop it may still be
    /// under way, nothing is promised.
    fn retry_one(self: &Rc<Self>, member: &Rc<Member>) {
        let Some(gateway) = member.node.alive() else { return };
        // One of the last that the messenger was told of.
        let parked: Vec<(String, Name)> = {
            let heard = member.node.heard.borrow();
            let told = heard.iter().rev().filter_map(|entry| match &entry.item {
                FeedItem::Delivery { message, server, state: "parked", .. } => {
                    Some((message.to_string(), read::name(server, &self.plan.names)))
                }
                _ => None,
            });
            told.take(3).collect()
        };
        if parked.is_empty() {
            return;
        }
        let (id, to) = parked[self.more.borrow_mut().usize(..parked.len())].clone();
        self.trace.note(&format!("{}: {id} is sent to {to} again", member.name));
        let drops = self.drops.borrow().get(&id).copied().unwrap_or_default();
        let (world, upto) = (self.clone(), member.node.store_tail());
        self.history.borrow_mut().retried.entry((id.clone(), to)).or_default().orders += 1;
        spawn_local(async move {
            let queued = gateway.retry_message(&id.parse().expect("an id"), Some(&server(to))).await;
            world.trace.note(&format!("{id} for {to} again: {queued:?}"));
            let is_undisturbed =
                drops.ordered == drops.done && world.drops.borrow().get(&id).copied().unwrap_or_default() == drops;
            let mut history = world.history.borrow_mut();
            let retried = history.retried.entry((id, to)).or_default();
            match queued {
                Ok(1..) if is_undisturbed => retried.done = Some((upto, world.stamp())),
                Ok(0) | Err(Refusal::UnknownSubmission(_)) => retried.orders -= 1,
                // Some of it may be in the queue again, where the rest found no room.
                Ok(1..) | Err(_) => {}
            }
        });
    }

    /// All is well: every messenger acknowledges again, and no peer is left suspended.
    pub(crate) async fn relent(&self) {
        for member in &self.members {
            member.lags.set(false);
            if self.plan.whims.orders {
                for to in self.plan.names.iter().filter(|name| **name != member.name) {
                    self.resume(member, to).await;
                }
            }
        }
    }

    /// An operator insists until it is done: a last crash may come late.
    async fn resume(&self, member: &Member, to: Name) {
        loop {
            if let Some(gateway) = member.node.alive()
                && gateway.order(&server(to), PeerCommand::Resume).await.is_ok()
            {
                return;
            }
            seconds(1).await;
        }
    }
}
