//! Reading of what a peer sends, up to the core.

use std::future::ready;
use std::sync::Arc;

use actors::limits::InteropQuirks;
use actors::model::{ContextId, InboundPush, InboundTransaction, PduRef, ServerName};
use actors::ports::{ArchiveError, Task};
use bytes::Bytes;
use fernpost::identity::origin_keys::{KeyLookup, KeyQuery, OriginKeys};
use fernpost::identity::public_key::PeerKeys;
use fernpost::wire::pdu::relay_judge::SignatureRelayJudge;
use fernpost::wire::pdu::{PduReader, ReferenceContext};
use fernpost::wire::transactions::envelope::TransactionEnvelope;
use fernpost::wire::updates::envelope;
use fixtures::peers::{red, server};

/// Maximum items of a request.
const ITEMS_MAX: u32 = 1000;

/// The readers of requests of red, for a core that this gives facts about servers and PDUs.
pub struct PeerReads<F> {
    facts: F,
    sender: ServerName,
    judge: SignatureRelayJudge,
}

/// Facts without a core: red is a server, and every PDU is known.
pub struct EverythingKnown;

impl ReferenceContext for EverythingKnown {
    fn is_server(&self, name: &ServerName) -> bool {
        *name == red()
    }

    fn habits(&self, _server: &ServerName) -> InteropQuirks {
        InteropQuirks::default()
    }

    fn known(&self, _context: &ContextId, pdus: Vec<PduRef>) -> Task<Result<Vec<PduRef>, ArchiveError>> {
        Box::pin(ready(Ok(pdus)))
    }

    fn takes_part(&self, _context: &ContextId, _server: &ServerName) -> Task<Result<bool, ArchiveError>> {
        Box::pin(ready(Ok(true)))
    }
}

/// No server has a key, because each writes for itself.
struct NoKeys;

impl OriginKeys for NoKeys {
    fn keys_of<'a>(&'a self, _query: KeyQuery<'a>) -> KeyLookup<'a> {
        Box::pin(ready(Ok(PeerKeys::from([]))))
    }
}

impl Default for PeerReads<EverythingKnown> {
    fn default() -> Self {
        Self::with(EverythingKnown)
    }
}

impl<F: ReferenceContext> PeerReads<F> {
    /// Returns the readers for a core that gives these facts.
    pub fn with(facts: F) -> Self {
        Self { facts, sender: red(), judge: SignatureRelayJudge::inline(server("blue"), Arc::new(NoKeys)) }
    }

    /// Reads a push.
    pub async fn push(&self, body: &Bytes) -> InboundPush {
        let reader = PduReader::new(&self.sender, &self.facts, &self.judge);
        envelope::decode(body, ITEMS_MAX, &reader, "network").await.expect("a push")
    }

    /// Reads a transaction.
    pub async fn transaction(&self, id: u64, body: &Bytes) -> InboundTransaction {
        let reader = PduReader::new(&self.sender, &self.facts, &self.judge);
        let envelope = TransactionEnvelope::read(body).expect("a transaction");
        envelope.transaction(id.to_string(), ITEMS_MAX, &reader, "network").await.expect("a transaction")
    }
}
