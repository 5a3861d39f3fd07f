//! What a dialect asks of the core: where it puts what a peer sent, and where it finds what a peer asks for.

use std::future::Future;
use std::pin::Pin;

use actors::gateway::Gateway;
use actors::limits::HistoryLimits;
use actors::model::{
    ContextId, InboundPush, InboundTransaction, Millis, PduRef, Receipt, Refusal, SentPage, ServerName, Verdict,
};
use actors::ports::{ArchiveError, ServedPdu};

use super::pdu::Acquaintance;

/// State PDUs read at a time.
const STATE_PAGE: u32 = 500;

/// An answer that is not there yet; it stays on the thread that serves the request.
pub type Soon<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// The part of the core that a dialect calls.
pub trait Intake: Acquaintance {
    /// Take a peer's push; the answer may be told to the peer.
    fn accept<'a>(&'a self, from: &'a ServerName, push: InboundPush) -> Soon<'a, Result<Receipt, Refusal>>;

    /// Take a peer's transaction; the verdicts, one a PDU, may be told to the peer.
    fn accept_transaction<'a>(
        &'a self,
        from: &'a ServerName,
        transaction: InboundTransaction,
    ) -> Soon<'a, Result<Vec<Verdict>, Refusal>>;

    /// How many strong updates, or PDUs, this peer may put into one request.
    fn window(&self, from: &ServerName) -> u32;

    /// A stored PDU, whoever may see it.
    fn pdu(&self, reference: &PduRef) -> Result<Option<ServedPdu>, ArchiveError>;

    /// Delivered PDUs of a conversation that may be given to this server, those of `from` first and then what lies before them: at
    /// most `limit`, and not more once they exceed `bytes`.
    fn backfill<'a>(
        &'a self,
        context: &'a ContextId,
        asker: &'a ServerName,
        from: Vec<PduRef>,
        limit: u32,
        bytes: u64,
    ) -> Soon<'a, Result<Vec<ServedPdu>, ArchiveError>>;

    /// The state PDUs of a conversation that hold, until they exceed `bytes`.
    fn state<'a>(&'a self, context: &'a ContextId, bytes: u64) -> Soon<'a, Result<Vec<ServedPdu>, ArchiveError>>;

    /// What a peer was sent in transactions after this one: whole ones, at most `items` PDUs of `bytes` in all, and one
    /// transaction at least.
    fn sent_after<'a>(
        &'a self,
        server: &'a ServerName,
        after: u64,
        items: u32,
        bytes: u64,
    ) -> Soon<'a, Result<SentPage, Refusal>>;

    /// How much of the past is served at once.
    fn history(&self) -> HistoryLimits;

    /// Our own name.
    fn us(&self) -> &ServerName;

    /// Wall time.
    fn now(&self) -> Millis;
}

impl Intake for Gateway {
    fn accept<'a>(&'a self, from: &'a ServerName, push: InboundPush) -> Soon<'a, Result<Receipt, Refusal>> {
        Box::pin(Self::accept(self, from, push))
    }

    fn accept_transaction<'a>(
        &'a self,
        from: &'a ServerName,
        transaction: InboundTransaction,
    ) -> Soon<'a, Result<Vec<Verdict>, Refusal>> {
        Box::pin(Self::accept_transaction(self, from, transaction))
    }

    /// One where the peer vanished from the configuration since it was let in: the core refuses it next.
    fn window(&self, from: &ServerName) -> u32 {
        self.ports().roster.limits(from).map_or(1, |limits| limits.intake_items)
    }

    fn pdu(&self, reference: &PduRef) -> Result<Option<ServedPdu>, ArchiveError> {
        self.ports().archive.pdu(reference)
    }

    fn backfill<'a>(
        &'a self,
        context: &'a ContextId,
        asker: &'a ServerName,
        from: Vec<PduRef>,
        limit: u32,
        bytes: u64,
    ) -> Soon<'a, Result<Vec<ServedPdu>, ArchiveError>> {
        self.ports().archive.backfill(context, asker, from, limit, bytes)
    }

    fn state<'a>(&'a self, context: &'a ContextId, bytes: u64) -> Soon<'a, Result<Vec<ServedPdu>, ArchiveError>> {
        Box::pin(async move {
            let (mut state, mut size, mut after) = (Vec::new(), 0, None);
            loop {
                let archive = &self.ports().archive;
                let page = archive.current_state(context, after, STATE_PAGE, bytes.saturating_sub(size)).await?;
                after = page.state.last().map(|last| last.key.clone());
                for current in page.state {
                    size += current.bytes.len() as u64;
                    let (context, depth, bytes) = (context.clone(), current.depth, current.bytes);
                    // State is for everybody.
                    state.push(ServedPdu { context, depth, delivered: true, to: None, bytes });
                }
                if !page.more || size >= bytes {
                    return Ok(state);
                }
            }
        })
    }

    fn sent_after<'a>(
        &'a self,
        server: &'a ServerName,
        after: u64,
        items: u32,
        bytes: u64,
    ) -> Soon<'a, Result<SentPage, Refusal>> {
        Box::pin(Self::sent_after(self, server, after, items, bytes))
    }

    fn history(&self) -> HistoryLimits {
        self.ports().roster.contexts().history
    }

    fn us(&self) -> &ServerName {
        &self.ports().us
    }

    fn now(&self) -> Millis {
        self.ports().clock.now()
    }
}
