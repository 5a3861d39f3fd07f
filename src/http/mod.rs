//! Parts that all listeners share: serving, limits, errors as JSON, authentication. This folder defines no route.
//!
//! A listener is [`serve`](serve::serve)d with a `configure` function that adds its routes.
//! [`error_middleware`] wraps all of them, so that a panic and an unknown path get a JSON
//! response too; it also finds [`direct_routes`](error_middleware::direct_routes). [`refused_head`] adds the reason to requests that the HTTP library refuses earlier.

pub mod authentication;
pub mod bearer;
pub mod body;
mod core_errors;
pub mod drain;
pub mod error;
pub mod error_middleware;
pub mod head_limit;
pub mod json_error;
pub mod key_directory;
pub mod listener;
pub mod query;
pub mod refused_head;
pub mod responses;
pub mod serve;
