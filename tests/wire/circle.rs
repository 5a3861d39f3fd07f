//! A small reference context: which names are servers, which PDUs are known, which servers participate.

use std::future::ready;
use std::sync::Mutex;

use actors::limits::InteropQuirks;
use actors::model::{BadPdu, ContextId, Pdu, PduRef, ServerName};
use actors::ports::{ArchiveError, Task};
use actors::testkit::at_once;
use bytes::Bytes;
use fernpost::wire::pdu::{PairOrder, PduReader, ReferenceContext};
use fixtures::keys::TrustingRelayJudge;
use serde_json::value::RawValue;

pub(crate) fn name(text: &str) -> ServerName {
    text.parse().expect("a name")
}

pub(crate) fn reference(origin: &str, id: &str) -> PduRef {
    PduRef { origin: name(origin), id: id.parse().expect("an id") }
}

/// We are red, and blue is a peer; `held` are the known PDUs, `participants` participate in every context.
#[derive(Default)]
pub(crate) struct Circle {
    pub(crate) held: Vec<PduRef>,
    pub(crate) participants: Vec<ServerName>,
    /// The lookups that the store received; a `broken` store fails them.
    pub(crate) asked: Mutex<Vec<&'static str>>,
    pub(crate) broken: bool,
    /// Interop quirks of every peer.
    pub(crate) habits: InteropQuirks,
}

impl Circle {
    fn ask(&self, what: &'static str) -> Result<(), ArchiveError> {
        self.asked.lock().expect("not poisoned").push(what);
        if self.broken { Err(ArchiveError("gone".to_owned())) } else { Ok(()) }
    }

    /// Returns the result of reading a PDU that blue sent.
    pub(crate) fn read(&self, text: &str, usual: PairOrder) -> Result<Pdu, BadPdu> {
        let raw: &RawValue = serde_json::from_str(text).expect("JSON");
        at_once(PduReader { usual, ..PduReader::new(&name("blue"), self, &TrustingRelayJudge) }.read(raw))
    }
}

impl ReferenceContext for Circle {
    fn is_server(&self, name: &ServerName) -> bool {
        ["red", "blue"].contains(&name.as_str())
    }

    fn habits(&self, _: &ServerName) -> InteropQuirks {
        self.habits
    }

    fn known(&self, _: &ContextId, pdus: Vec<PduRef>) -> Task<Result<Vec<PduRef>, ArchiveError>> {
        let known = self.held.iter().filter(|held| pdus.contains(held)).cloned().collect();
        Box::pin(ready(self.ask("known").map(|()| known)))
    }

    fn takes_part(&self, _: &ContextId, server: &ServerName) -> Task<Result<bool, ArchiveError>> {
        Box::pin(ready(self.ask("takes_part").map(|()| self.participants.contains(server))))
    }
}

pub(crate) fn text(bytes: &Bytes) -> &str {
    std::str::from_utf8(bytes).expect("text")
}
