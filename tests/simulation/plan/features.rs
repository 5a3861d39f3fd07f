//! Features that some seeds have beside what all have. Each is drawn aside, so that a seed without it is as it was before there
//! was such a feature.

use std::collections::BTreeSet;
use std::sync::Arc;

use fastrand::Rng;
use fixtures::peers::server;

use crate::plan::Plan;

impl Plan {
    /// The same plan with receipts between most pairs of servers; between some, only one of the two has them.
    pub(crate) fn with_receipts(mut self, mut chance: Rng) -> Self {
        let mut one_sided = BTreeSet::new();
        for (place, name) in self.names.iter().enumerate() {
            for other in &self.names[..place] {
                if chance.u8(0..6) == 0 {
                    one_sided.insert((server(name), server(other)));
                }
            }
        }
        for (name, book) in &mut self.books {
            for (other, peer) in &mut book.peers {
                Arc::make_mut(peer).receipts = !one_sided.contains(&(server(name), other.clone()));
            }
        }
        self.receipts = true;
        self
    }
}
