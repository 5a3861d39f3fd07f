//! Messages of groups: the form in which peers that know no PDUs send and receive what is a message of a context here.

use bytes::Bytes;

use crate::model::ids::PduId;
use crate::model::{Digest, Seq, ServerName, Submission};

/// The id of a group at a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub i64);

/// A `message` update for a group, as far as the core reads it. If the group is mapped to a context, it becomes a message there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMessage {
    /// Group that the message is for.
    pub group: GroupId,
    /// Content of the message, as it was received.
    pub content: Bytes,
    /// JSON text of the author, if the update states one.
    pub user_id: Option<Bytes>,
    /// Digest of the update together with the name of its sender.
    pub key: Digest,
}

impl GroupMessage {
    /// Returns the message on its way into its context.
    ///
    /// `seq` is the number of the update, and `place` tells it from others if the number is that of the push. The id of the
    /// composed PDU follows from these and the update alone. An update that comes again after a crash, because the number was
    /// not on disk yet, therefore has the id of the PDU that was composed for it, and is recognized by it.
    pub fn numbered(&self, seq: Seq, place: Option<MessagePlace>) -> BridgedMessage {
        let key = u128::from_be_bytes(self.key.0);
        let place = match place {
            Some(MessagePlace::InPush(place)) => format!("-{place}"),
            Some(MessagePlace::InQuarantine(number)) => format!("-q{number}"),
            None => String::new(),
        };
        let id: PduId = format!("{:016x}{key:032x}{place}", seq.0).parse().expect("digits are an id");
        BridgedMessage { id, seq, digest: self.key, content: self.content.clone(), user_id: self.user_id.clone() }
    }
}

/// The place of a message among those of one push, which may be equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessagePlace {
    /// Position in the push.
    InPush(usize),
    /// Number of the quarantine row in which it has waited.
    InQuarantine(u64),
}

/// A message of a mapped group on its way into its context, where we compose it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BridgedMessage {
    /// Id of the PDU to be composed.
    pub id: PduId,
    /// Number of the update.
    pub seq: Seq,
    /// Digest of the update together with the name of its sender.
    pub digest: Digest,
    /// Content of the message, as it was received.
    pub content: Bytes,
    /// JSON text of the author, if the update states one.
    pub user_id: Option<Bytes>,
}

/// The form of a PDU for a peer for which its context is a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlainForm {
    /// The update to send.
    Update(Bytes),
    /// The content has no form that such a peer understands.
    Missing,
    /// Nothing is sent: the PDU is state, or came from that peer.
    Withheld,
}

/// A message of a context in the form for one peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlainCopy {
    /// Peer that the copy is for.
    pub server: ServerName,
    /// The update.
    pub update: Bytes,
}

/// A submission of which some recipients get an update in place of the PDU.
#[derive(Debug, Clone)]
pub struct GroupSubmission {
    /// The submission; `servers` are those that get the PDU.
    pub submission: Submission,
    /// Updates for the other recipients.
    pub copies: Vec<PlainCopy>,
    /// Recipients for which the message has no form; nothing is queued for them.
    pub formless: Vec<ServerName>,
}

/// The reason for which a message is refused that has no form for a peer without PDUs.
pub const NO_PLAIN_FORM: &str = "NO_PLAIN_FORM";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_id_follows_from_update() {
        let message = |key: u8| GroupMessage {
            group: GroupId(7),
            content: Bytes::from_static(b"{}"),
            user_id: None,
            key: Digest([key; 16]),
        };
        let id = |key, seq, place| message(key).numbered(Seq(seq), place).id;
        assert_eq!(id(0xab, 17, None).as_str(), format!("{}11{}", "0".repeat(14), "ab".repeat(16)));
        assert_eq!(id(1, 17, None), id(1, 17, None));
        let placed = [MessagePlace::InPush(0), MessagePlace::InPush(1), MessagePlace::InQuarantine(1)];
        let ids: std::collections::BTreeSet<_> = placed.into_iter().map(|place| id(1, 17, Some(place))).collect();
        let others = [id(2, 17, None), id(1, 18, None)];
        assert!(others.iter().chain(&ids).all(|other| *other != id(1, 17, None)) && ids.len() == 3);
        assert!(id(9, 1, None) < id(0, 2, None), "ids rise with the numbers");
    }
}
