//! Other acts of people on a gateway: operators give orders (`operators`), and messengers acknowledge late, or read again
//! what they have acknowledged.

use std::rc::Rc;

use actors::model::PeerCommand;
use actors::testkit::TestPeers;
use fastrand::Rng;
use fixtures::peers::server;
use fixtures::time::seconds;
use tokio::task::spawn_local;

use crate::history::Name;
use crate::history::disturbance::Done;
use crate::plan::pick;
use crate::world::{Member, World};

/// The whims drawn for a seed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Whims {
    /// Some messages go to some of the room only.
    pub(crate) narrows: bool,
    /// Messengers read, and do not always say so.
    lags: bool,
    /// Unacknowledged events at which peers wait, and below which they do no longer.
    water: Option<(u64, u64)>,
    /// Operators give orders.
    pub(crate) orders: bool,
    /// Messengers read again what they have acknowledged.
    rereads: bool,
}

impl Whims {
    /// Each in some seeds; in many none. `restores`: disks go back. What was said to some only is named by nobody, so a disk that
    /// forgot it may be told of it by its author alone, and that cannot always be.
    pub(crate) fn draw(more: &mut Rng, restores: bool) -> Self {
        let mut some = || more.u8(0..4) == 0;
        let (narrows, lags, orders) = (some(), some(), some());
        let water = lags.then(|| pick(more, &[None, Some((8, 4)), Some((30, 10))])).flatten();
        let rereads = more.u8(0..3) == 0;
        Self { narrows: narrows && !restores, lags, water, orders, rereads }
    }

    /// The configuration that goes with it.
    pub(crate) fn apply(&self, book: TestPeers) -> TestPeers {
        match self.water {
            Some((high, low)) => book.with_water(high, low),
            None => book,
        }
    }

    /// Factor by which a messenger reads more often once all is well, because each read ends at the high water mark.
    pub(crate) fn haste(&self) -> u64 {
        if self.water.is_some() { 8 } else { 1 }
    }
}

impl World {
    /// Perhaps somebody does something of that.
    pub(crate) fn whim(self: &Rc<Self>) {
        let Whims { lags, orders, rereads, .. } = self.plan.whims;
        if lags && self.more.borrow_mut().u8(0..8) == 0 {
            let member = self.someone();
            member.lags.set(!member.lags.get());
            self.trace.note(&format!("{} acknowledges what it reads: {}", member.name, !member.lags.get()));
            self.count("a messenger is slow to acknowledge, or no longer");
        }
        if rereads && self.further.borrow_mut().u8(0..10) == 0 {
            let place = self.further.borrow_mut().usize(..self.members.len());
            let (world, member) = (self.clone(), self.members[place].clone());
            spawn_local(async move { world.read_again(&member).await });
        }
        if orders && self.further.borrow_mut().u8(0..10) == 0 {
            let place = self.further.borrow_mut().usize(..self.members.len());
            let member = self.members[place].clone();
            let whim = self.further.borrow_mut().u8(0..4);
            match whim {
                0 | 1 => self.merge_one(&member),
                2 => self.release_some(&member),
                _ => self.forget_one(&member),
            }
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

    /// The two servers that have a relay between them cannot reach each other, until a way is mended.
    pub(crate) fn part(&self) {
        let Some(relay) = self.plan.relay else { return };
        let (one, other) = relay.ends;
        self.trace.note(&format!("cut: {one} <-> {other}"));
        self.count("two servers with a relay are parted");
        for (from, to) in [(one, other), (other, one)] {
            self.disturb(Done::Way(from, to));
            self.network.cut(&server(from), &server(to));
        }
    }

    fn someone(&self) -> Rc<Member> {
        let place = self.more.borrow_mut().usize(..self.members.len());
        self.members[place].clone()
    }

    /// All is well: every messenger acknowledges again, no peer is left suspended, and what lies in quarantine is given back.
    pub(crate) async fn relent(self: &Rc<Self>) {
        for member in &self.members {
            member.lags.set(false);
            if self.plan.whims.orders || !self.plan.lies.ways.is_empty() {
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
                let suspended = Done::Suspended(member.name, to);
                return self.relieve(|done| done == suspended);
            }
            seconds(1).await;
        }
    }
}
