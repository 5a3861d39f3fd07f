//! What every listener shares: serving, limits, refusals as JSON, and who is calling. Knows no route.
//!
//! A listener is [`serve`](serve::serve)d with a `configure` function that brings its routes; [`guard`] stands around all of
//! them, so that neither a panic nor an unknown path leaves without a JSON answer. What the HTTP library refuses before that is given its reason by
//! [`refused_head`].

pub mod answer;
pub mod bearer;
pub mod bind;
pub mod body;
pub mod closing;
pub mod guard;
pub mod identity;
pub mod json_error;
pub mod nesting;
pub mod query;
pub mod raw_target;
pub mod refusal;
pub mod refused_head;
pub mod serve;
