//! The record of the wire in a run: each exchange, its outcome, and the lies told about it.

use std::sync::{Arc, Mutex, MutexGuard};

use actors::model::{PushFailure, ServerName};
use bytes::Bytes;
use fastrand::Rng;
use fernpost::egress::EgressRequest;
use fixtures::network::{ExchangeTap, GatewayAnswer, short};

use crate::history::Name;
use crate::history::exchange::{Exchange, RoomsSeen};
use crate::history::stamps::Stamps;
use crate::world::liar::{Liar, Lies};

/// All exchanges of a run. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Ledger(Arc<Mutex<Inner>>);

struct Inner {
    names: Vec<Name>,
    stamps: Stamps,
    /// In the order in which they began: the network numbers them from 1 on.
    exchanges: Vec<Exchange>,
    rooms: RoomsSeen,
    liar: Liar,
}

impl Ledger {
    /// A ledger without exchanges.
    pub(crate) fn new(names: Vec<Name>, stamps: Stamps, lies: Lies, chance: Rng) -> Self {
        let (exchanges, rooms, liar) = (vec![], RoomsSeen::new(), Liar::new(lies, chance));
        Self(Arc::new(Mutex::new(Inner { names, stamps, exchanges, rooms, liar })))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("no holder panics")
    }

    /// No peer lies from now on.
    pub(crate) fn be_honest(&self) {
        self.inner().liar.rest();
    }

    /// All exchanges so far, in the order in which they began, and the rooms of the PDUs in them.
    pub(crate) fn close(&self) -> (Vec<Exchange>, RoomsSeen) {
        let inner = self.inner();
        (inner.exchanges.clone(), inner.rooms.clone())
    }
}

impl Inner {
    fn name(&self, server: &ServerName) -> Name {
        let name = self.names.iter().find(|name| **name == short(server));
        name.copied().expect("one of us")
    }

    fn exchange(&mut self, number: u64) -> &mut Exchange {
        let place = usize::try_from(number - 1).expect("64 bits");
        &mut self.exchanges[place]
    }
}

impl ExchangeTap for Ledger {
    fn begun(&self, _: u64, from: &ServerName, to: &ServerName, request: &EgressRequest) {
        let mut inner = self.inner();
        let (from, to, begun) = (inner.name(from), inner.name(to), inner.stamps.next());
        let exchange = Exchange::begin(begun, from, to, request, &mut inner.rooms);
        inner.exchanges.push(exchange);
    }

    fn arrived(&self, exchange: u64) {
        let mut inner = self.inner();
        let at = inner.stamps.next();
        inner.exchange(exchange).arrived.push(at);
    }

    fn meddled(&self, exchange: u64) {
        self.inner().exchange(exchange).meddled = true;
    }

    fn answered(&self, exchange: u64, answer: GatewayAnswer) -> Result<GatewayAnswer, PushFailure> {
        let mut inner = self.inner();
        inner.exchange(exchange).answered(answer.status, &answer.body);
        let carried = inner.exchange(exchange).clone();
        let (answer, lie) = inner.liar.answer(&carried, answer);
        inner.exchange(exchange).lie = lie;
        answer
    }

    fn ended(&self, exchange: u64, outcome: &Result<Bytes, PushFailure>) {
        let mut inner = self.inner();
        let Inner { exchanges, rooms, stamps, .. } = &mut *inner;
        let place = usize::try_from(exchange - 1).expect("64 bits");
        exchanges[place].end(stamps.next(), outcome, rooms);
    }
}
