//! Parts that all listeners share: serving, limits, errors as JSON, authentication. Knows no route.
//!
//! A listener is [`serve`](serve::serve)d with a `configure` function that brings its routes; [`guard`](crate::http::error_middleware) stands around all of
//! them, so that neither a panic nor an unknown path leaves without a JSON answer. What the HTTP library refuses before that is given its reason by
//! [`refused_head`].

pub mod authentication;
pub mod bearer;
pub mod bind;
pub mod body;
mod core_errors;
pub mod drain;
pub mod error;
pub mod error_middleware;
pub mod json_error;
pub mod query;
pub mod refused_head;
pub mod responses;
pub mod serve;
