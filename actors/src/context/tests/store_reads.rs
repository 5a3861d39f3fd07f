//! The store reads of the harness, from the rows that it holds in memory.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};

use crate::context::state::set_cache::StateReader;
use crate::context::tests::harness::StoredRow;
use crate::context::tests::shorthand::context;
use crate::model::{Pdu, PduRef, PduStatus, ServerName, StateEntry, StateKey};

/// What a step may read.
pub(crate) struct BelowEdge<'a> {
    pub(crate) held_by: &'a HashMap<StateKey, StateEntry>,
    pub(crate) pieces: &'a HashMap<StateKey, BTreeMap<PduRef, StateEntry>>,
    pub(crate) rows: &'a BTreeMap<PduRef, StoredRow>,
    pub(crate) weighed: &'a Cell<usize>,
    pub(crate) kept: &'a BTreeMap<u64, (ServerName, Pdu)>,
}

impl StateReader for BelowEdge<'_> {
    fn current(&self, key: &StateKey) -> Option<StateEntry> {
        self.held_by.get(key).cloned()
    }

    fn set(&self, key: &StateKey) -> Vec<StateEntry> {
        self.weighed.set(self.weighed.get() + 1);
        self.pieces.get(key).map(|set| set.values().cloned().collect()).unwrap_or_default()
    }

    fn is_kept(&self, reference: &PduRef, from: &ServerName) -> bool {
        self.kept.values().any(|(sender, kept)| sender == from && kept.reference == *reference)
    }

    fn known(&self, reference: &PduRef) -> Option<PduStatus> {
        let context = context("room");
        Some(match self.rows.get(reference)? {
            StoredRow::Delivered(depth, history) => PduStatus::Delivered { context, depth: *depth, history: *history },
            StoredRow::Held(_) => PduStatus::Held { context },
        })
    }
}
