//! The greatest id among the PDUs of each origin, which lets a PDU with a greater one be stored without a look into the file.

use std::collections::HashMap;

use actors::model::{PduId, PduRef, ServerName};

/// Maximum number of origins that are remembered. All values can be read again with one lookup each, so the map is simply
/// cleared.
const REMEMBERED_MAX: usize = 4_096;

/// The greatest id among the PDUs of each origin, filled in at the first use. Ids of this program rise, and so do those of most
/// others.
#[derive(Debug, Default)]
pub(crate) struct LatestPduIds(HashMap<ServerName, Option<PduId>>);

impl LatestPduIds {
    /// Returns whether the greatest id of an origin is known.
    pub(crate) fn knows(&self, origin: &ServerName) -> bool {
        self.0.contains_key(origin)
    }

    /// Records the greatest id of an origin, as it was read.
    pub(crate) fn fill(&mut self, origin: &ServerName, newest: Option<PduId>) {
        if self.0.len() >= REMEMBERED_MAX {
            self.0.clear();
        }
        self.0.insert(origin.clone(), newest);
    }

    /// Returns whether the PDU has a greater id than all others of its origin, which must be known, and records its id.
    pub(crate) fn rises(&mut self, reference: &PduRef) -> bool {
        let Some(newest) = self.0.get_mut(&reference.origin) else { return false };
        let rises = newest.as_ref().is_none_or(|newest| newest.as_str() < reference.id.as_str());
        if rises {
            *newest = Some(reference.id.clone());
        }
        rises
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_greater_ids_rise() {
        let pdu =
            |origin: &str, id: &str| PduRef { origin: origin.parse().expect("a name"), id: id.parse().expect("an id") };
        let mut latest = LatestPduIds::default();
        assert!(!latest.rises(&pdu("red", "9")), "nothing is known of red");
        latest.fill(&pdu("red", "5").origin, Some(pdu("red", "5").id));
        latest.fill(&pdu("blue", "5").origin, None);
        for (origin, id, rises) in [
            ("red", "4", false),
            ("red", "5", false),
            ("red", "6", true),
            ("red", "6", false),
            ("red", "55", false),
            ("blue", "1", true),
            ("blue", "1", false),
        ] {
            assert_eq!(latest.rises(&pdu(origin, id)), rises, "{origin} {id}");
        }
    }
}
