//! Where a dialect puts what a peer sent.

use std::future::Future;
use std::pin::Pin;

use actors::gateway::Gateway;
use actors::model::{Ack, InboundPush, Refusal, ServerName};

/// An answer that is not there yet; it stays on the thread that serves the request.
pub type Soon<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// The part of the core that a dialect calls.
pub trait Intake: Send + Sync + 'static {
    /// Take a peer's push; the answer may be told to the peer.
    fn accept<'a>(&'a self, from: &'a ServerName, push: InboundPush) -> Soon<'a, Result<Ack, Refusal>>;

    /// How many strong updates this peer may put into one push.
    fn window(&self, from: &ServerName) -> u32;
}

impl Intake for Gateway {
    fn accept<'a>(&'a self, from: &'a ServerName, push: InboundPush) -> Soon<'a, Result<Ack, Refusal>> {
        Box::pin(Self::accept(self, from, push))
    }

    /// One where the peer vanished from the configuration since it was let in: the core refuses it next.
    fn window(&self, from: &ServerName) -> u32 {
        self.ports().roster.limits(from).map_or(1, |limits| limits.batch_items)
    }
}
