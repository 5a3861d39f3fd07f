//! A room that is a group for one server: what is said in the group is heard once and in order in the room, and what has no form for the
//! group is told to its author. Copies of the room's messages are updates, of which all is promised that is promised of updates.

use std::collections::BTreeSet;

use actors::model::NO_PLAIN_FORM;

use crate::history::{History, Name, Parts, Stamp, What};
use crate::plan::group::GROUP_ROOM;

impl History {
    /// The token of the update of the group that became a PDU with these parts.
    pub(super) fn said_in_group(&self, parts: &Parts) -> Option<&str> {
        let (_, peer) = self.bridge?;
        let came_from = parts.get("bridged")?;
        let token = self.grouped.get(parts.get("content")?)?;
        came_from.starts_with(&format!(r#"{{"server":"{peer}.example","seq":"#)).then_some(&**token)
    }

    /// True if a PDU is what was said in the group, as its bridge composes it.
    pub(super) fn is_of_group(&self, pdu: &str, room: &str, parts: &Parts) -> bool {
        let is_own = self.bridge.is_some_and(|(bridge, _)| pdu.split('/').next() == Some(bridge));
        let is_text = parts.get("pdu_type").is_some_and(|kind| kind == "\"m.text\"");
        is_own && is_text && room == GROUP_ROOM && self.said_in_group(parts).is_some()
    }

    /// Messages of the group are heard once, and after those that its server was told are taken before.
    pub(super) fn groups(&self, server: Name, faults: &mut Vec<String>) {
        let Some((bridge, peer)) = self.bridge else { return };
        if server == bridge {
            self.form_was_told(bridge, peer, faults);
        }
        let (said, mut seen, mut noticed) = (self.updates_by_token(), BTreeSet::new(), BTreeSet::new());
        let mut newest: Option<(&str, Stamp)> = None;
        for event in self.events(server) {
            if let What::Notice { about: Some(about) } = &event.what {
                noticed.insert(*about);
            }
            let What::Pdu { parts, .. } = &event.what else { continue };
            let Some(token) = self.said_in_group(parts) else { continue };
            let Some(update) = said.get(token) else { continue };
            // The others hear what the bridge has composed, and were told nothing of its doubts.
            if server != bridge || self.may_repeat(update, bridge, event.at, &noticed) {
                continue;
            }
            if !seen.insert(token) {
                faults.push(format!("{server} heard {token} of the group twice"));
            }
            if let Some((before, begun)) = newest
                && update.taken.is_some_and(|taken| taken < begun)
            {
                faults.push(format!("{server} heard {token} of the group after {before}"));
            }
            if newest.is_none_or(|(_, begun)| begun <= update.begun) {
                newest = Some((token, update.begun));
            }
        }
    }

    /// A message has no form for the group.
    pub(super) fn may_have_no_form(&self, server: Name, to: Name, submission: &str) -> bool {
        self.bridge == Some((server, to)) && self.formless.iter().any(|(formless, _)| formless == submission)
    }

    /// Of what has no form for the group its bridge is told, once; or that the group's queue had no room, which is looked at before.
    fn form_was_told(&self, bridge: Name, peer: Name, faults: &mut Vec<String>) {
        for (submission, _) in self.formless.iter().filter(|(_, taken)| taken.is_some()) {
            let reason_told = |what: &What| match what {
                What::Delivery { message, server, reason, .. } if message == submission && *server == peer => {
                    Some(reason == NO_PLAIN_FORM)
                }
                _ => None,
            };
            let told: Vec<bool> = self.feed(bridge).filter_map(reason_told).collect();
            let count = told.iter().filter(|is_formless| **is_formless).count();
            if told.is_empty() || count > 1 {
                faults.push(format!("{bridge} is told {count} times that {submission} has no form for the group"));
            }
        }
    }
}
