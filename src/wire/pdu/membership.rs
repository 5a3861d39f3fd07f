//! Reads membership from state PDUs: a user of a server, named by the state key, joins or is invited, leaves or is
//! banned.

use actors::model::{Membership, MembershipSource};

use crate::json::reader;

/// Returns the membership. `None`: the key names no user of a server, or the content has no known membership. Such a
/// PDU is state like any other and changes no membership.
pub(super) fn read(key: &str, text: MembershipSource<'_>) -> Option<Membership> {
    let server = server(key)?.parse().ok()?;
    let content = match text {
        MembershipSource::Content(content) => str::from_utf8(content).ok()?,
        MembershipSource::Pdu(pdu) => reader::get(&reader::members(str::from_utf8(pdu).ok()?).ok()?, "content")?.get(),
    };
    if !content.starts_with('{') {
        return None;
    }
    let members = reader::members(content).ok()?;
    let joins = match &*reader::text(reader::get(&members, "membership")?.text)? {
        "join" | "invite" => true,
        "leave" | "ban" => false,
        _ => return None,
    };
    Some(Membership { server, joins })
}

/// Returns the server of `@user:server` or `user@server`. A port may follow after another colon.
fn server(key: &str) -> Option<&str> {
    let (user, server) = match key.strip_prefix('@') {
        Some(key) => key.split_once(':')?,
        None => key.rsplit_once('@')?,
    };
    (!user.is_empty()).then_some(server)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_key_names_member_server() {
        for (key, expected) in [
            ("@ann:red.example", Some("red.example")),
            ("@ann:red.example:8448", Some("red.example:8448")),
            ("ann@red.example", Some("red.example")),
            ("ann@work@red.example:80", Some("red.example:80")),
            ("@ann:[::1]:80", Some("[::1]:80")),
            ("ann", None),
            ("@ann", None),
            ("@:red.example", None),
            ("@red.example", None),
            ("ann@", None),
            ("ann@two words", None),
            ("", None),
        ] {
            let said = read(key, MembershipSource::Content(br#"{"membership":"join"}"#));
            assert_eq!(said.map(|member| member.server.to_string()).as_deref(), expected, "{key}");
        }
    }

    #[test]
    fn only_known_membership_moves_servers() {
        let said =
            |content: &str| read("@a:red", MembershipSource::Content(content.as_bytes())).map(|member| member.joins);
        for (content, expected) in [
            (r#"{"membership":"join"}"#, Some(true)),
            (r#"{"name":{"membership":"ban"},"membership":"inv\u0069te"}"#, Some(true)),
            (r#"{"membership":"leave"}"#, Some(false)),
            (r#"{"membership":"ban","n":1e999}"#, Some(false)),
            (r#"{"membership":"knock"}"#, None),
            (r#"{"membership":["join"]}"#, None),
            (r#"["membership"]"#, None),
            (r#"{"other":1}"#, None),
            ("null", None),
        ] {
            assert_eq!(said(content), expected, "{content}");
        }
        let whole = br#"{"pdu_id":"1","content":{"membership":"leave"},"membership":"join"}"#;
        assert_eq!(read("@a:red", MembershipSource::Pdu(whole)).map(|member| member.joins), Some(false));
    }
}
