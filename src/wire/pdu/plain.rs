//! The form of a message of a context for a peer that knows no PDUs: a `message` update for its group.

use actors::model::{BridgedMessage, GroupId, PduRef, PlainForm, ServerName, SubmissionId};
use bytes::Bytes;

use crate::json::reader::{self, digest, get, members, put};
use crate::json::scanner::ScannedValue;

/// Returns the update for a peer for which the context of this stored PDU is a group.
pub(super) fn plain(reference: &PduRef, pdu: &[u8], to: &ServerName, group: GroupId) -> PlainForm {
    let Some(parts) = std::str::from_utf8(pdu).ok().and_then(|text| members(text).ok()) else {
        return PlainForm::Missing;
    };
    let is_state = get(&parts, "is_state").is_some_and(|value| value.get() == "true");
    let came_from = get(&parts, "bridged").and_then(origin_server);
    if is_state || came_from.as_ref() == Some(to) {
        return PlainForm::Withheld;
    }
    let Some(content) = get(&parts, "content").and_then(plain_content) else { return PlainForm::Missing };
    let mut out = Vec::with_capacity(content.len() + 160);
    out.extend_from_slice(b"{\"update\":\"message\",\"peer\":{\"type\":\"group\",\"id\":");
    put(&mut out, &group.0);
    out.extend_from_slice(b"},\"content\":");
    out.extend_from_slice(content.as_bytes());
    out.extend_from_slice(b",\"id\":");
    put(&mut out, &*reference.to_string());
    out.push(b'}');
    PlainForm::Update(out.into())
}

/// Returns the content as such a peer understands it: byte for byte if it has a `text` and a `type`, else the text of its
/// `body`.
fn plain_content(content: ScannedValue<'_>) -> Option<String> {
    let parts = members(content.get()).ok()?;
    let string = |key| get(&parts, key).filter(|value| value.get().starts_with('"'));
    match (string("text"), string("type"), string("body")) {
        (Some(_), Some(_), _) => Some(content.get().to_owned()),
        (_, _, Some(body)) => Some(format!("{{\"type\":\"text\",\"text\":{}}}", body.get())),
        _ => None,
    }
}

/// Returns the peer that a bridged message came from.
fn origin_server(bridged: ScannedValue<'_>) -> Option<ServerName> {
    let parts = members(bridged.get()).ok()?;
    reader::text(get(&parts, "server")?.text)?.parse().ok()
}

/// Returns the value of the key `bridged` of a message that we compose for a peer's group.
pub(super) fn bridged(from: &ServerName, message: &BridgedMessage) -> Bytes {
    let mut out = Vec::with_capacity(64);
    out.extend_from_slice(b"{\"server\":");
    put(&mut out, from.as_str());
    out.extend_from_slice(b",\"seq\":");
    put(&mut out, &message.seq.0);
    if let Some(user_id) = &message.user_id {
        out.extend_from_slice(b",\"user_id\":");
        out.extend_from_slice(user_id);
    }
    out.push(b'}');
    out.into()
}

/// Returns the id under which the copies of a PDU are traced: its identity as one word, or a digest where that is no id.
pub(super) fn copies_id(reference: &PduRef) -> SubmissionId {
    let word = format!("{}~{}", reference.origin, reference.id);
    word.parse().unwrap_or_else(|_| {
        let digest = u128::from_be_bytes(digest(word.as_bytes()).0);
        format!("~{digest:032x}").parse().expect("hex digits are an id")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference() -> PduRef {
        PduRef { origin: "red.example".parse().expect("valid"), id: "p\"1".parse().expect("valid") }
    }

    fn form(more: &str, content: &str) -> PlainForm {
        let pdu = format!(r#"{{"pdu_id":"p1","is_state":false,{more}"content":{content},"prev_pdus":[]}}"#);
        plain(&reference(), pdu.as_bytes(), &"gold".parse().expect("valid"), GroupId(11_223_344))
    }

    #[test]
    fn plain_form_keeps_content_bytes() {
        let content = r#"{ "type":"m.\u0074ext", "n":1e400 ,"text":"h\/i"}"#;
        let expected = format!(
            r#"{{"update":"message","peer":{{"type":"group","id":11223344}},"content":{content},"id":"red.example/p\"1"}}"#
        );
        assert_eq!(form("", content), PlainForm::Update(expected.into()));
    }

    #[test]
    fn body_becomes_plain_text() {
        let PlainForm::Update(update) = form("", r#"{"body":"h\u0069","type":7,"text":"x"}"#) else {
            panic!("it has one")
        };
        let update = String::from_utf8(update.to_vec()).expect("text");
        assert!(update.contains(r#""content":{"type":"text","text":"h\u0069"},"id""#), "{update}");
    }

    #[test]
    fn message_without_text_has_none() {
        for content in
            ["{}", r#"{"text":"x"}"#, r#"{"type":"text","text":7}"#, r#"{"body":null}"#, r#""body""#, "[]", "7"]
        {
            assert_eq!(form("", content), PlainForm::Missing, "{content}");
        }
    }

    #[test]
    fn state_and_echo_are_withheld() {
        let said = r#"{"body":"x"}"#;
        assert_eq!(form(r#""bridged":{"server":"GOLD","seq":3},"#, said), PlainForm::Withheld);
        for other in [r#""bridged":{"server":"silver","seq":3},"#, r#""bridged":7,"#] {
            assert!(matches!(form(other, said), PlainForm::Update(_)), "{other}");
        }
        let state = br#"{"is_state":true,"content":{"body":"x"}}"#;
        let gold = "gold".parse().expect("valid");
        assert_eq!(plain(&reference(), state, &gold, GroupId(1)), PlainForm::Withheld);
    }

    #[test]
    fn traced_id_is_readable_or_digest() {
        let id = |id: &str| copies_id(&PduRef { id: id.parse().expect("valid"), ..reference() }).to_string();
        assert_eq!(id("p1"), "red.example~p1");
        let (odd, long) = (id("p/1"), id(&"x".repeat(200)));
        assert!(odd.starts_with('~') && odd.len() == 33 && long.len() == 33 && odd != long);
    }
}
