//! Writes forwards: updates of ours for a server that a third one passes on, signed, because that server has no other proof that
//! they are ours.

use actors::model::{Item, Millis, Seq, ServerName};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use crate::identity::signing_key::OwnKey;
use crate::json::canonical_object::{CanonicalJsonError, CanonicalObject};
use crate::json::reader;

/// Value of `update` in a forward.
pub(crate) const KIND: &str = "forward";

/// Keys that a signature does not cover: itself, and what each server on the way changes.
pub(crate) const UNSIGNED: [&str; 2] = ["signature", "hops"];

/// A forward that this server writes.
#[derive(Debug, Clone)]
pub(crate) struct WrittenForward<'a> {
    /// This server.
    pub(crate) origin: &'a ServerName,
    /// Server that is to get the update.
    pub(crate) destination: &'a ServerName,
    /// Id of the forward, unique for the origin.
    pub(crate) id: &'a str,
    /// Time of writing.
    pub(crate) sent: Millis,
    /// Number of the update in our sequence to the destination.
    pub(crate) number: Seq,
    /// The update.
    pub(crate) body: &'a str,
}

impl WrittenForward<'_> {
    /// Returns the signed text. It fails if the update has no canonical form, so that nobody could verify it.
    pub(crate) fn signed_by(&self, key: &OwnKey) -> Result<Bytes, CanonicalJsonError> {
        let Self { origin, destination, id, sent, number, body } = self;
        let open = format!(
            "{{\"update\":\"{KIND}\",\"origin\":\"{origin}\",\"destination\":\"{destination}\",\"id\":\"{id}\",\"hops\":1,\
             \"sent\":{},\"seq\":{number},\"body\":{body}",
            sent.0
        );
        let object = CanonicalObject::read(&format!("{open}}}"))?;
        let signature = STANDARD.encode(key.sign(&object.text_without(&UNSIGNED)));
        let key = key.id();
        Ok(format!("{open},\"signature\":{{\"keyid\":\"{origin}/{key}\",\"sig\":\"{signature}\"}}}}").into())
    }
}

/// Returns the update that carries an item; `None`: it is a forward, which is passed on by its own sender.
pub(super) fn body(item: &Item) -> Option<String> {
    let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).ok();
    match item {
        Item::Update(bytes) => text(bytes),
        Item::Pdu(_, bytes) => Some(format!("{{\"update\":\"pdu\",\"pdu\":{}}}", text(bytes)?)),
        Item::Forward(..) => None,
    }
}

/// Returns whether the text of a forwarded item is a forward; otherwise it is a PDU, which a transaction brought.
pub(crate) fn is_forward(text: &Bytes) -> bool {
    str::from_utf8(text).is_ok_and(|text| reader::has_string_member(text, "update", KIND))
}

/// Returns the update that carries a forwarded item to a peer of the updates dialect.
pub(crate) fn carrying_update(text: &Bytes) -> Bytes {
    match is_forward(text) {
        true => text.clone(),
        false => [&b"{\"update\":\"pdu\",\"pdu\":"[..], text, b"}"].concat().into(),
    }
}
