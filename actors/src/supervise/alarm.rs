//! One timer slot of an actor, kept in the actor's own context: each peer has one, so it must cost neither a task nor
//! an address.
//!
//! actix sometimes runs such a closure after it was cancelled. This is harmless: a firing names its epoch, and only the
//! current epoch counts.

use std::time::Duration;

use actix::{Actor, AsyncContext, Context, SpawnHandle};

/// A slot that holds at most one pending timer.
#[derive(Debug, Default)]
pub struct TimerSlot {
    epoch: u64,
    pending: Option<SpawnHandle>,
}

impl TimerSlot {
    /// Replaces the pending timer: `fire` is called with the new epoch after `delay`.
    #[expect(clippy::disallowed_methods, reason = "this is where the ban is lifted: an epoch tells what was cancelled")]
    pub fn arm<A>(&mut self, ctx: &mut Context<A>, delay: Duration, fire: fn(&mut A, &mut Context<A>, u64))
    where
        A: Actor<Context = Context<A>>,
    {
        self.disarm(ctx);
        let epoch = self.epoch;
        self.pending = Some(ctx.run_later(delay, move |actor, ctx| fire(actor, ctx, epoch)));
    }

    /// Cancels the pending timer; a firing that is already under way is ignored.
    pub fn disarm<A>(&mut self, ctx: &mut Context<A>)
    where
        A: Actor<Context = Context<A>>,
    {
        if let Some(pending) = self.pending.take() {
            ctx.cancel_future(pending);
        }
        self.epoch += 1;
    }

    /// Clears the slot without cancelling: the actor restarts, its context has dropped all timers, and the handle may
    /// be reused.
    pub fn forget(&mut self) {
        self.pending = None;
        self.epoch += 1;
    }

    /// Returns whether this firing belongs to the pending timer, and clears the slot if so.
    pub fn fired(&mut self, epoch: u64) -> bool {
        self.epoch == epoch && self.pending.take().is_some()
    }
}

/// A slot for a timer that few actors ever set. It is boxed when it is first set, because a waiting actor takes little memory.
#[derive(Debug, Default)]
pub struct RareTimerSlot(Option<Box<TimerSlot>>);

impl RareTimerSlot {
    /// Replaces the pending timer, as [`TimerSlot::arm`] does; `None`: only cancels it.
    pub fn set<A>(&mut self, ctx: &mut Context<A>, delay: Option<Duration>, fire: fn(&mut A, &mut Context<A>, u64))
    where
        A: Actor<Context = Context<A>>,
    {
        match (delay, &mut self.0) {
            (Some(delay), slot) => slot.get_or_insert_default().arm(ctx, delay, fire),
            (None, Some(slot)) => slot.disarm(ctx),
            (None, None) => {}
        }
    }

    /// Clears the slot, as [`TimerSlot::forget`] does.
    pub fn forget(&mut self) {
        if let Some(slot) = &mut self.0 {
            slot.forget();
        }
    }

    /// Returns whether this firing belongs to the pending timer, and clears the slot if so.
    pub fn fired(&mut self, epoch: u64) -> bool {
        self.0.as_mut().is_some_and(|slot| slot.fired(epoch))
    }
}
