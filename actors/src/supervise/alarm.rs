//! One timer slot of an actor, kept in the actor's own context: it costs no task and no address, and there is one for each peer.
//!
//! actix now and then runs such a closure after it was cancelled. This does not matter here: a firing names its epoch, and only
//! the current one counts.

use std::time::Duration;

use actix::{Actor, AsyncContext, Context, SpawnHandle};

/// A slot that holds at most one pending timer.
#[derive(Debug, Default)]
pub struct Alarm {
    epoch: u64,
    pending: Option<SpawnHandle>,
}

impl Alarm {
    /// Replace whatever is pending: `fire` is called with the new epoch after `delay`.
    #[expect(clippy::disallowed_methods, reason = "this is where the ban is lifted: an epoch tells what was cancelled")]
    pub fn arm<A>(&mut self, ctx: &mut Context<A>, delay: Duration, fire: fn(&mut A, &mut Context<A>, u64))
    where
        A: Actor<Context = Context<A>>,
    {
        self.disarm(ctx);
        let epoch = self.epoch;
        self.pending = Some(ctx.run_later(delay, move |actor, ctx| fire(actor, ctx, epoch)));
    }

    /// Nothing is pending any more, and a firing already on its way no longer counts.
    pub fn disarm<A>(&mut self, ctx: &mut Context<A>)
    where
        A: Actor<Context = Context<A>>,
    {
        if let Some(pending) = self.pending.take() {
            ctx.cancel_future(pending);
        }
        self.epoch += 1;
    }

    /// The actor starts anew, and its context has dropped all that was pending; another may have its handle next.
    pub fn forget(&mut self) {
        self.pending = None;
        self.epoch += 1;
    }

    /// Whether this firing is the one waited for; takes it.
    pub fn fired(&mut self, epoch: u64) -> bool {
        self.epoch == epoch && self.pending.take().is_some()
    }
}
