//! Sends messages to mailboxes without waiting for capacity. No other module may do this.

use actix::dev::ToEnvelope;
use actix::{Actor, Addr, Handler, Message, Recipient};

/// Puts a message into an actor's mailbox without waiting for a result.
///
/// For messages that are bounded elsewhere only: a request that carries a permit, the completion of a task that the
/// actor started, a notification about work that is found in the store. The message is lost if the actor has exited.
#[expect(clippy::disallowed_methods, reason = "this is where the ban is lifted, for messages bounded elsewhere")]
pub fn send_unbounded<A, M>(to: &Addr<A>, message: M)
where
    A: Actor + Handler<M>,
    A::Context: ToEnvelope<A, M>,
    M: Message + Send + 'static,
    M::Result: Send,
{
    to.do_send(message);
}

/// Puts a message into the mailbox behind a `Recipient`, under the same conditions.
pub fn post_to<M>(to: &Recipient<M>, message: M)
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    to.do_send(message);
}
