//! The messages of mapped groups in a push: which context each of them is for, and under which identity it is composed.

use std::collections::BTreeMap;

use crate::limits::PeerGroups;
use crate::model::{BridgedMessage, ContextId, InboundPush, MessagePlace, PduRef, Seq, ServerName, StrongBody};

/// A message of a group that is a context here.
#[derive(Debug, Clone)]
pub(in crate::peer::inbound) struct MappedMessage {
    /// Identity by which crashes on the message are counted: the peer, and the id of the PDU to be composed.
    pub(in crate::peer::inbound) reference: PduRef,
    /// Context that the group is.
    pub(in crate::peer::inbound) context: ContextId,
    /// The message.
    pub(in crate::peer::inbound) message: BridgedMessage,
}

/// The messages of mapped groups in one batch, by position.
#[derive(Debug, Clone, Default)]
pub(in crate::peer::inbound) struct MappedMessages(BTreeMap<usize, MappedMessage>);

impl MappedMessages {
    /// Returns those among the new updates of a push, which are at the positions `fresh`.
    pub(in crate::peer::inbound) fn of(
        push: &InboundPush,
        fresh: &[usize],
        numbers_pushes: bool,
        from: &ServerName,
        groups: &PeerGroups,
    ) -> Self {
        if groups.is_empty() {
            return Self::default();
        }
        let mapped = |&place: &usize| {
            let StrongBody::Group(message) = &push.strong[place].body else { return None };
            let context = groups.context(message.group)?.clone();
            let number = number_at(push, numbers_pushes, place);
            let message = message.numbered(number, numbers_pushes.then_some(MessagePlace::InPush(place)));
            let reference = PduRef { origin: from.clone(), id: message.id.clone() };
            Some((place, MappedMessage { reference, context, message }))
        };
        Self(fresh.iter().filter_map(mapped).collect())
    }

    /// Returns the message at this position of the batch.
    pub(in crate::peer::inbound) fn get(&self, place: usize) -> Option<&MappedMessage> {
        self.0.get(&place)
    }
}

/// Returns the number of the update at a position of a push. If the sender numbers pushes, all of them share one.
pub(in crate::peer::inbound) fn number_at(push: &InboundPush, numbers_pushes: bool, place: usize) -> Seq {
    match numbers_pushes {
        true => push.seq,
        false => Seq(push.seq.0 + 1 + place as u64 - push.strong.len() as u64),
    }
}
