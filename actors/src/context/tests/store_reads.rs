//! The store reads of the harness, from the rows that it holds in memory.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::future::ready;

use crate::context::state::set_cache::{StateRead, StateReader};
use crate::context::tests::harness::StoredRow;
use crate::context::tests::shorthand::context;
use crate::model::{Pdu, PduRef, PduStatus, ServedPdu, ServerName, StateEntry, StateKey};

/// The rows that a step may read.
pub(crate) struct BelowEdge<'a> {
    pub(crate) held_by: &'a HashMap<StateKey, StateEntry>,
    pub(crate) pieces: &'a HashMap<StateKey, BTreeMap<PduRef, StateEntry>>,
    pub(crate) rows: &'a BTreeMap<PduRef, StoredRow>,
    pub(crate) weighed: &'a Cell<usize>,
    pub(crate) kept: &'a BTreeMap<u64, (ServerName, Pdu)>,
    pub(crate) arrived: &'a HashMap<(ServerName, PduRef), Pdu>,
    /// Servers for which nothing can be queued.
    pub(crate) shut: &'a [ServerName],
}

impl StateReader for BelowEdge<'_> {
    fn current<'a>(&'a self, key: &'a StateKey) -> StateRead<'a, Option<StateEntry>> {
        Box::pin(ready(self.held_by.get(key).cloned()))
    }

    fn set<'a>(&'a self, key: &'a StateKey) -> StateRead<'a, Vec<StateEntry>> {
        self.weighed.set(self.weighed.get() + 1);
        Box::pin(ready(self.pieces.get(key).map(|set| set.values().cloned().collect()).unwrap_or_default()))
    }

    fn is_kept<'a>(&'a self, reference: &'a PduRef, from: &'a ServerName) -> StateRead<'a, bool> {
        let is_this = |(sender, kept): &(ServerName, Pdu)| sender == from && kept.reference == *reference;
        Box::pin(ready(self.kept.values().any(is_this)))
    }

    fn known<'a>(&'a self, reference: &'a PduRef) -> StateRead<'a, Option<PduStatus>> {
        let context = context("room");
        Box::pin(ready(self.rows.get(reference).map(|row| match row {
            StoredRow::Delivered(depth, history) => PduStatus::Delivered { context, depth: *depth, history: *history },
            StoredRow::Held(_) => PduStatus::Held { context },
        })))
    }

    fn stored<'a>(&'a self, reference: &'a PduRef) -> StateRead<'a, Option<ServedPdu>> {
        let stored = self.arrived.values().find(|pdu| pdu.reference == *reference).map(|pdu| ServedPdu {
            context: pdu.context.clone(),
            depth: 0,
            delivered: true,
            to: pdu.to.clone(),
            bytes: pdu.bytes.clone(),
        });
        Box::pin(ready(stored))
    }

    fn shut(&self, server: &ServerName, _: usize) -> Option<&'static str> {
        self.shut.contains(server).then_some("outbox_full")
    }
}
