//! The one place that sends to a mailbox without waiting for room.

use actix::dev::ToEnvelope;
use actix::{Actor, Addr, Handler, Message, Recipient};

/// Put a message into an actor's mailbox and forget it.
///
/// Only for what is bounded elsewhere: a request that carries a permit, the completion of a task the actor itself started, a
/// hint about work that is found in the store. A dead actor loses it, as it loses its mailbox.
#[expect(clippy::disallowed_methods, reason = "this is where the ban is lifted, for messages bounded elsewhere")]
pub fn post<A, M>(to: &Addr<A>, message: M)
where
    A: Actor + Handler<M>,
    A::Context: ToEnvelope<A, M>,
    M: Message + Send + 'static,
    M::Result: Send,
{
    to.do_send(message);
}

/// The same, where the actor is known only by what it can be told.
pub fn post_to<M>(to: &Recipient<M>, message: M)
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    to.do_send(message);
}
