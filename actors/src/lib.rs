//! The core of Fernpost: message exchange with peers, causal order of PDUs in contexts, and the durable state of both.
//!
//! An actor here is a *machine* (pure: an event in, effects out) inside a thin actix actor. Everything durable is a
//! [`change::Change`]; many actors submit changes to one journal, which commits them in groups. A request of a remote
//! server is answered after the commit, and a local effect happens after the commit. A bug has one cure: stop, restart in
//! place, reload from the journal ([`supervise`]).
//!
//! # Map
//! - [`model`]: names, numbers, batches, records. [`limits`]: the limits of an actor. [`change`]: durable facts.
//! - [`errors`]: the errors of requests, one type for each boundary.
//! - [`ports`]: interfaces that adapters implement: journal, store reader, transport, peer configuration, ownership,
//!   clock.
//! - [`peer`]: one actor per remote server; it sends the outbox and receives the inbound sequence.
//! - [`context`]: one actor per context; it orders PDUs, holds those with missing parents and resolves state.
//! - `overload`: detects that the gateway is too full to accept more. `context::metrics`: sums over all contexts.
//! - [`router`]: starts actors, restarts those that exited, publishes the running ones.
//! - [`gateway`]: typed calls for the adapters.
//!
//! # Arrows
//! `model <- change, errors, limits <- machines <- ports <- supervise <- shells <- router <- gateway`. Machines import no
//! actix, no tokio, no tracing: time and chance are arguments. There are no sockets, no files and no JSON in this
//! crate.

pub mod backoff;
pub mod change;
pub mod context;
pub mod errors;
pub mod gateway;
pub mod limits;
pub mod model;
pub mod overload;
pub mod peer;
pub mod ports;
pub mod reply_token;
pub mod router;
pub mod supervise;
#[cfg(feature = "testkit")]
pub mod testkit;
mod word_enum;
