//! The end of a run: what everybody heard and shows, put together for the checker.

use std::collections::BTreeMap;
use std::rc::Rc;

use fernpost::store::verify_backend;
use fixtures::disk::{FaultyDisk, SurvivingBytes};

use crate::history::{History, View, What};
use crate::world::read;
use crate::world::{Member, World};

impl World {
    /// A receipt that is still to come.
    pub(crate) fn awaits_receipt(&self) -> Option<String> {
        if !self.plan.receipts {
            return None;
        }
        let mut missing = vec![];
        self.close(vec![]).receipts_told(&mut missing);
        missing.into_iter().next()
    }

    /// Counts the peers that have left memory since each gateway was started last.
    pub(crate) fn count_evicted(&self) {
        let gateways = self.members.iter().filter_map(|member| member.node.alive());
        let evicted = gateways.map(|gateway| gateway.metrics().evicted).sum();
        self.counts.borrow_mut().add("idle peers leave memory", evicted);
    }

    /// The findings of the store's verification on each disk: broken promises between rows.
    pub(crate) fn unsound(&self) -> Vec<String> {
        let looked_at = |member: &Rc<Member>| {
            let disk = FaultyDisk::with(member.node.disk().survivors(SurvivingBytes::Synced));
            let findings = verify_backend(disk).expect("a store that can be examined").findings;
            findings.into_iter().map(|finding| format!("on the disk of {}: {finding}", member.name)).collect::<Vec<_>>()
        };
        self.members.iter().flat_map(looked_at).collect()
    }

    /// The complete history for the checker, with the feeds, views and exchanges added.
    pub(crate) fn close(&self, views: Vec<View>) -> History {
        let mut history = self.history.borrow().clone();
        let feed = |member: &Rc<Member>| {
            let (heard, at) = (member.node.heard.borrow(), member.heard_at.borrow());
            assert_eq!(heard.len(), at.len(), "each event has its moment");
            let events = heard.iter().zip(at.iter());
            (member.name, events.map(|(entry, at)| read::event(entry, *at, &self.plan.names)).collect())
        };
        history.feeds = self.members.iter().map(feed).collect::<BTreeMap<_, _>>();
        for what in history.feeds.values().flatten().map(|event| &event.what) {
            if let What::Pdu { pdu, prev, .. } = what {
                history.parents.insert(pdu.clone(), prev.clone());
            }
        }
        history.late = self.plan.late.iter().map(|late| (late.name, late.room.to_owned())).collect();
        history.views = views;
        for view in &history.views {
            history.parents.extend(view.parents.clone());
        }
        (history.exchanges, history.seen_in) = self.ledger.close();
        self.add_copies(&mut history);
        history
    }
}
