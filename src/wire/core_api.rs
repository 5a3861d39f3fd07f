//! The interface of the core that dialects call: it accepts what peers send and reads what peers ask for.

use std::future::Future;
use std::pin::Pin;

use actors::errors::{BatchError, PeerError};
use actors::gateway::Gateway;
use actors::limits::HistoryLimits;
use actors::model::{
    ContextId, InboundPush, InboundTransaction, Millis, PduRef, Receipt, SentPage, ServerName, TransactionReceipt,
};
use actors::ports::{ArchiveError, ServedPdu, Task};

use super::pdu::ReferenceContext;
use crate::telemetry::spans::receipt;

/// Number of state PDUs read per page.
const STATE_PAGE: u32 = 500;

/// A future that stays on the thread of the request.
pub type Soon<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// The operations of the core that a dialect calls.
pub trait FederationCore: ReferenceContext {
    /// Accepts a push of a peer. The result may be sent to the peer.
    fn accept<'a>(&'a self, from: &'a ServerName, push: InboundPush) -> Soon<'a, Result<Receipt, BatchError>>;

    /// Accepts a transaction of a peer. The result may be sent to the peer.
    fn accept_transaction<'a>(
        &'a self,
        from: &'a ServerName,
        transaction: InboundTransaction,
    ) -> Soon<'a, Result<TransactionReceipt, BatchError>>;

    /// Returns the maximum number of strong updates or PDUs in one request of this peer.
    fn window(&self, from: &ServerName) -> u32;

    /// Returns a stored PDU, without a check of who may see it.
    fn pdu(&self, reference: &PduRef) -> Task<Result<Option<ServedPdu>, ArchiveError>>;

    /// Returns delivered PDUs of a context that may be sent to this server, `from` first and then their ancestors: at most
    /// `limit`, and no more once they exceed `bytes`.
    fn backfill<'a>(
        &'a self,
        context: &'a ContextId,
        asker: &'a ServerName,
        from: Vec<PduRef>,
        limit: u32,
        bytes: u64,
    ) -> Soon<'a, Result<Vec<ServedPdu>, ArchiveError>>;

    /// Returns the current state PDUs of a context, until they exceed `bytes`.
    fn state<'a>(&'a self, context: &'a ContextId, bytes: u64) -> Soon<'a, Result<Vec<ServedPdu>, ArchiveError>>;

    /// Returns the PDUs that the peer was sent in transactions after this one: whole transactions, at least one, at most
    /// `items` PDUs and `bytes` in total.
    fn sent_after<'a>(
        &'a self,
        server: &'a ServerName,
        after: u64,
        items: u32,
        bytes: u64,
    ) -> Soon<'a, Result<SentPage, PeerError>>;

    /// Returns the limits of history requests.
    fn history(&self) -> HistoryLimits;

    /// Returns the name of this server.
    fn us(&self) -> &ServerName;

    /// Returns the wall time.
    fn now(&self) -> Millis;
}

impl FederationCore for Gateway {
    fn accept<'a>(&'a self, from: &'a ServerName, push: InboundPush) -> Soon<'a, Result<Receipt, BatchError>> {
        Box::pin(receipt(from, Self::accept(self, from, push)))
    }

    fn accept_transaction<'a>(
        &'a self,
        from: &'a ServerName,
        transaction: InboundTransaction,
    ) -> Soon<'a, Result<TransactionReceipt, BatchError>> {
        Box::pin(receipt(from, Self::accept_transaction(self, from, transaction)))
    }

    /// Returns 1 if the peer was removed from the configuration since it was authorized: the core then refuses the request.
    fn window(&self, from: &ServerName) -> u32 {
        self.ports().roster.limits(from).map_or(1, |limits| limits.intake_items)
    }

    fn pdu(&self, reference: &PduRef) -> Task<Result<Option<ServedPdu>, ArchiveError>> {
        self.ports().archive.contexts.pdu(reference)
    }

    fn backfill<'a>(
        &'a self,
        context: &'a ContextId,
        asker: &'a ServerName,
        from: Vec<PduRef>,
        limit: u32,
        bytes: u64,
    ) -> Soon<'a, Result<Vec<ServedPdu>, ArchiveError>> {
        self.ports().archive.contexts.backfill(context, asker, from, limit, bytes)
    }

    fn state<'a>(&'a self, context: &'a ContextId, bytes: u64) -> Soon<'a, Result<Vec<ServedPdu>, ArchiveError>> {
        Box::pin(async move {
            let (mut state, mut size, mut after) = (Vec::new(), 0, None);
            loop {
                let archive = &self.ports().archive;
                let page =
                    archive.contexts.current_state(context, after, STATE_PAGE, bytes.saturating_sub(size)).await?;
                after = page.state.last().map(|last| last.key.clone());
                for current in page.state {
                    size += current.bytes.len() as u64;
                    let (context, depth, bytes) = (context.clone(), current.depth, current.bytes);
                    // `to` is absent because state cannot be narrowed.
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
    ) -> Soon<'a, Result<SentPage, PeerError>> {
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
