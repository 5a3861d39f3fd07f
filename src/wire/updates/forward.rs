//! A forward: a strong update that carries one of another server through this one, or to it. It is read here, and its
//! signature is checked; `actors::peer::inbound::forwards` decides what becomes of it.

use actors::model::{
    ForwardProof, ForwardRoute, ForwardedUpdate, Millis, ParkedCode, Seq, ServerName, StrongBody, StrongUpdate,
};
use base64::Engine;
use bytes::Bytes;
use serde_json::value::RawValue;

use super::content;
use crate::identity::key_id::KeyName;
use crate::identity::public_key::LENIENT_BASE64;
use crate::json::canonical_object::CanonicalObject;
use crate::json::reader::{self, ObjectMember};
use crate::json::scanner::ScannedValue;
use crate::wire::pdu::PduReader;
use crate::wire::pdu::forward_text::{KIND, UNSIGNED};
use crate::wire::pdu::relay_judge::SignedForward;

/// Maximum bytes of the id of a forward.
const ID_MAX: usize = 255;

/// Largest number: readers with any integer type agree on numbers up to here.
const NUMBER_MAX: u64 = i64::MAX as u64;

/// Reads a forward. One that has not the form of a forward is refused alone, like an update that is no object.
pub(super) async fn read(body: &Bytes, text: &str, pdus: &PduReader<'_>) -> StrongBody {
    let form = match ForwardForm::read(text) {
        Ok(form) => form,
        Err(reason) => return StrongBody::Unsound(ParkedCode::BadForward, reason),
    };
    let facts = pdus.acquaintance.forward_facts(&form.route);
    let is_proved = form.route.origin == *pdus.sender && !facts.is_for_us;
    let proof = if is_proved { ForwardProof::Sender } else { form.prove(text, pdus).await };
    let is_taken = facts.is_for_us && proof == ForwardProof::Signature;
    let update = if is_taken { Some(Box::new(form.update(body, pdus).await)) } else { None };
    let onward = Bytes::from(form.onward(text));
    let ForwardForm { route, id, hops, sent, number, .. } = form;
    StrongBody::Forward(Box::new(ForwardedUpdate {
        route,
        id,
        hops,
        sent,
        number,
        proof,
        facts,
        update,
        onward,
        is_known: false,
        outcome: None,
    }))
}

/// Reads a forward that was kept, as if this sender had sent it now; `None`: it has not the form of one.
pub(super) async fn read_again(text: &Bytes, pdus: &PduReader<'_>) -> Option<ForwardedUpdate> {
    let raw: &RawValue = serde_json::from_slice(text).ok()?;
    match read(text, raw.get(), pdus).await {
        StrongBody::Forward(forward) => Some(*forward),
        StrongBody::Plain
        | StrongBody::Group(_)
        | StrongBody::Pdu(_)
        | StrongBody::BadPdu(_)
        | StrongBody::Unsound(..) => None,
    }
}

/// The parts of a forward.
struct ForwardForm<'a> {
    route: ForwardRoute,
    id: Box<str>,
    hops: u64,
    /// The number of hops as it is written.
    written_hops: &'a str,
    sent: Millis,
    number: Seq,
    key: String,
    signature: String,
    body: ScannedValue<'a>,
}

impl<'a> ForwardForm<'a> {
    fn read(text: &'a str) -> Result<Self, &'static str> {
        let members = reader::members(text).map_err(|_| "a forward has too many keys, or one that is no text")?;
        if reader::first_duplicate_key(&members).is_some() {
            return Err("a key of the forward is there twice");
        }
        let server = |key, reason| word(&members, key).and_then(|name| name.parse::<ServerName>().ok()).ok_or(reason);
        let number = |key| -> Option<(u64, &'a str)> {
            let written = reader::get(&members, key)?.get();
            Some((written.parse().ok().filter(|number| *number <= NUMBER_MAX)?, written))
        };
        let route = ForwardRoute {
            origin: server("origin", "origin of the forward is no server name")?,
            destination: server("destination", "destination of the forward is no server name")?,
        };
        let is_id = |id: &String| (1..=ID_MAX).contains(&id.len()) && !id.chars().any(char::is_control);
        let id = word(&members, "id").filter(is_id).ok_or("id of the forward is no text of 1 to 255 bytes")?;
        let (hops, written_hops) = number("hops").filter(|(hops, _)| *hops > 0).ok_or("hops is no positive integer")?;
        let (sent, _) = number("sent").ok_or("sent is no time in milliseconds")?;
        let (seq, _) = number("seq").filter(|(seq, _)| *seq > 0).ok_or("seq of the forward is no positive integer")?;
        let signature = reader::get(&members, "signature").and_then(|value| reader::members(value.get()).ok());
        let signature = signature.ok_or("signature of the forward is no object")?;
        let (key, sig) = (word(&signature, "keyid"), word(&signature, "sig"));
        let (Some(key), Some(sig)) = (key, sig) else { return Err("signature of the forward lacks keyid or sig") };
        let body = reader::get(&members, "body").filter(|body| body.get().starts_with('{'));
        let body = body.ok_or("body of the forward is no object")?;
        if reader::has_string_member(body.get(), "update", KIND) {
            return Err("body of the forward is a forward");
        }
        let (id, sent, number) = (id.into(), Millis(sent), Seq(seq));
        Ok(Self { route, id, hops, written_hops, sent, number, key, signature: sig, body })
    }

    /// Verifies the signature.
    async fn prove(&self, text: &str, pdus: &PduReader<'_>) -> ForwardProof {
        let Ok(key) = self.key.parse::<KeyName>() else {
            return ForwardProof::Wrong("its keyid is no name of a key".to_owned());
        };
        let signature = LENIENT_BASE64.decode(&self.signature).ok().and_then(|bytes| bytes.try_into().ok());
        let Some(signature) = signature else {
            return ForwardProof::Wrong("its signature is not 64 bytes in base64".to_owned());
        };
        let text = match CanonicalObject::read(text) {
            Ok(object) => object.text_without(&UNSIGNED),
            Err(error) => return ForwardProof::Wrong(format!("it cannot be signed: {error}")),
        };
        let (origin, dialect) = (self.route.origin.clone(), pdus.acquaintance.dialect(pdus.sender));
        pdus.judge.verify_forward(SignedForward { origin, key, signature, text, dialect, since: pdus.since }).await
    }

    /// Reads the update as one that its origin sends.
    async fn update(&self, body: &Bytes, pdus: &PduReader<'_>) -> StrongUpdate {
        let pdus = PduReader { sender: &self.route.origin, ..*pdus };
        content::read(body.slice_ref(self.body.get().as_bytes()), self.body, &pdus).await
    }

    /// Returns the text with one more hop; every other byte stays.
    fn onward(&self, text: &str) -> String {
        let start = self.written_hops.as_ptr() as usize - text.as_ptr() as usize;
        let (before, after) = (&text[..start], &text[start + self.written_hops.len()..]);
        format!("{before}{}{after}", self.hops + 1)
    }
}

fn word(members: &[ObjectMember<'_>], key: &str) -> Option<String> {
    reader::text(reader::get(members, key)?.text).map(Into::into)
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;
    use zeroize::Zeroizing;

    use super::*;
    use crate::identity::signing_key::OwnKey;
    use crate::wire::pdu::forward_text::WrittenForward;

    fn written() -> String {
        let (origin, destination) = ("a.example".parse().expect("valid"), "c.example".parse().expect("valid"));
        let key = OwnKey::from_seed("1".parse().expect("an id"), &Zeroizing::new([7; 32]));
        let (id, sent, number, body) = ("0190", Millis(1_700_000_000_000), Seq(7), r#"{"update":"x", "n":1.0}"#);
        let forward = WrittenForward { origin: &origin, destination: &destination, id, sent, number, body };
        String::from_utf8(forward.signed_by(&key).expect("canonical").to_vec()).expect("text")
    }

    #[test]
    fn written_forward_is_read_back() {
        let text = written();
        let form = ForwardForm::read(&text).expect("a forward");
        assert_eq!((form.route.origin.as_str(), form.route.destination.as_str()), ("a.example", "c.example"));
        assert_eq!((&*form.id, form.hops, form.sent, form.number), ("0190", 1, Millis(1_700_000_000_000), Seq(7)));
        assert_eq!((form.key.as_str(), form.body.get()), ("a.example/1", r#"{"update":"x", "n":1.0}"#));
    }

    #[test]
    fn relay_changes_hops_alone() {
        let text = written();
        let form = ForwardForm::read(&text).expect("a forward");
        assert_eq!(form.onward(&text), text.replace("\"hops\":1", "\"hops\":2"));
    }

    #[test]
    fn signature_covers_all_but_hops() {
        let key = OwnKey::from_seed("1".parse().expect("an id"), &Zeroizing::new([7; 32]));
        let verifies = |text: &str| {
            let form = ForwardForm::read(text).expect("a forward");
            let signature = STANDARD.decode(&form.signature).expect("base64").try_into().expect("64 bytes");
            let signed = CanonicalObject::read(text).expect("canonical").text_without(&UNSIGNED);
            key.public().verifies(&signed, &signature)
        };
        let text = written();
        assert!(verifies(&text) && verifies(&text.replace("\"hops\":1", "\"hops\":3")));
        for (from, to) in [("c.example", "d.example"), ("\"seq\":7", "\"seq\":8"), ("1.0", "1"), ("0190", "0191")] {
            assert!(!verifies(&text.replacen(from, to, 1)), "{from}");
        }
    }

    #[test]
    fn malformed_forwards_are_refused() {
        for (from, to) in [
            ("\"a.example\"", "\"a..example\""),
            ("\"c.example\"", "7"),
            ("\"hops\":1", "\"hops\":0"),
            ("\"hops\":1", "\"hops\":1.0"),
            ("\"hops\":1", "\"hops\":1,\"hops\":1"),
            ("\"sent\":1700000000000", "\"sent\":\"now\""),
            ("\"seq\":7", "\"seq\":0"),
            ("\"seq\":7,", ""),
            ("\"id\":\"0190\"", "\"id\":\"\""),
            ("\"signature\":{", "\"signed\":{"),
            ("\"keyid\"", "\"key\""),
            (r#"{"update":"x", "n":1.0}"#, "[]"),
            (r#"{"update":"x""#, r#"{"update":"forward""#),
        ] {
            let text = written().replacen(from, to, 1);
            assert!(ForwardForm::read(&text).is_err(), "{text}");
        }
    }
}
