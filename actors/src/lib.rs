//! The core of Fernpost: who talks to whom, in which order, and what is remembered of it.
//!
//! An actor here is a *machine* (pure: an event in, effects out) inside a thin *shell* (actix). Everything durable is a
//! [`change::Change`]; many actors hand changes to one journal, which commits them in groups. A remote's request is answered
//! after the commit, and a local effect happens after the commit. A bug has one cure: stop, restart in place, reload from
//! the journal ([`supervise`]).
//!
//! # Map
//! - [`model`]: names, numbers, frames, records. [`limits`]: what bounds an actor. [`change`]: durable facts.
//! - [`ports`]: all that the surroundings must supply: journal, archive, transport, roster, ownership, clock.
//! - [`peer`]: one actor per remote server: its outbound queue, its inbound sequence.
//! - [`context`]: one actor per conversation: its place in the graph, what is held, its state.
//! - [`congestion`]: whether the gateway is too full to take more. `tally`: what is counted of all conversations together.
//! - [`router`]: starts peers, restarts dead ones, publishes who runs.
//! - [`gateway`]: the calls adapters make.
//!
//! # Arrows
//! `model <- change, limits <- machines <- ports <- supervise <- shells <- router <- gateway`. Machines import no actix, no
//! tokio, no tracing: time and chance are arguments. There are no sockets, no files and no JSON in this crate.

pub mod backoff;
pub mod change;
pub mod congestion;
pub mod context;
pub mod gateway;
pub mod limits;
pub mod model;
pub mod peer;
pub mod ports;
pub mod router;
mod routes;
pub mod supervise;
mod tally;
#[cfg(feature = "testkit")]
pub mod testkit;
