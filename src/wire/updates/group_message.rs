//! Reads a strong update that is a message for a group, as far as the mapping of groups to contexts needs it.

use actors::model::{GroupId, GroupMessage, ServerName};
use bytes::Bytes;

use crate::json::nesting::nests_deeper_than;
use crate::json::reader::{digest, first_duplicate_key, get, has_string_member, members, text};
use crate::json::scanner::ScannedValue;
use crate::wire::pdu::PDU_NESTING_MAX;

/// Returns the message of an update, which is also given as text; `None` if it is another update, for another peer than a group, or without a content
/// that a PDU can have. Such an update is the messenger's business as it stands.
pub(crate) fn group_message(update: &Bytes, read: &str, sender: &ServerName) -> Option<GroupMessage> {
    if !has_string_member(read, "update", "message") || nests_deeper_than(PDU_NESTING_MAX, update) {
        return None;
    }
    let parts = members(read).ok()?;
    if first_duplicate_key(&parts).is_some() {
        return None;
    }
    let given = |key| get(&parts, key).filter(|value| value.get() != "null");
    let peer = members(given("peer")?.get()).ok()?;
    if first_duplicate_key(&peer).is_some() || text(get(&peer, "type")?.text)? != "group" {
        return None;
    }
    let group = GroupId(get(&peer, "id")?.get().parse().ok()?);
    let part = |value: ScannedValue<'_>| update.slice_ref(value.get().as_bytes());
    let key = digest(&[format!("group\n{sender}\n").as_bytes(), update].concat());
    Some(GroupMessage { group, content: part(given("content")?), user_id: given("user_id").map(part), key })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(update: &str) -> Option<GroupMessage> {
        let update = Bytes::copy_from_slice(update.as_bytes());
        let text = std::str::from_utf8(&update).expect("text");
        group_message(&update, text, &"gold".parse().expect("valid"))
    }

    #[test]
    fn group_message_keeps_content_bytes() {
        let update =
            r#"{"peer":{"id":-7,"type":"gr\u006fup"},"update":"message","content":{ "n":1E400 },"user_id":12}"#;
        let message = read(update).expect("a message of a group");
        assert_eq!((message.group, &message.content[..]), (GroupId(-7), &br#"{ "n":1E400 }"#[..]));
        assert_eq!(message.user_id.as_deref(), Some(&b"12"[..]));
        assert_eq!(read(update).map(|again| again.key), Some(message.key));
        assert_ne!(read(&update.replace("12", "13")).map(|other| other.key), Some(message.key));
    }

    #[test]
    fn other_update_is_no_group_message() {
        for other in [
            r#"{"update":"typing","peer":{"type":"group","id":7},"content":{}}"#,
            r#"{"update":"message","peer":{"type":"user","id":7},"content":{}}"#,
            r#"{"update":"message","peer":{"type":"group","id":"7"},"content":{}}"#,
            r#"{"update":"message","peer":{"type":"group","id":7.0},"content":{}}"#,
            r#"{"update":"message","peer":{"type":"group","id":7}}"#,
            r#"{"update":"message","peer":{"type":"group","id":7},"content":null}"#,
            r#"{"update":"message","peer":{"type":"group","id":7},"content":1,"content":2}"#,
            r#"{"update":"message","peer":7,"content":{}}"#,
            r#"{"update":"message","content":{}}"#,
        ] {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
