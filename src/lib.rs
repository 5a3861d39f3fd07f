//! The gateway: adapters around the core, and their composition.
//!
//! # Map
//! - [`settings`]: the configuration, checked and resolved.
//! - [`store`]: journal and store reader on one redb file.
//! - [`maintenance`]: periodic jobs that prune the feed, submissions and history.
//! - [`comparison`]: finds out, with a peer, which PDUs of a context one side lacks.
//! - [`http`]: parts that all listeners share: serving, limits, errors as JSON, authentication. It defines no route.
//! - [`identity`]: keys and signatures of servers. [`tls`]: certificates, and what they prove.
//! - [`egress`]: every outbound request goes through it.
//! - [`wire`]: the dialects that peers speak. `raw_targets`: what servers of 2014 need below the HTTP libraries.
//! - [`rpc`]: what calls between messengers share in both directions.
//! - [`api`]: the JSON of the messenger's and the operator's API, for handlers and for readers.
//! - [`openapi`]: tables of operations, and from them routes and descriptions of the APIs.
//! - [`messenger`]: the API of the existing messenger. [`admin`]: the API of the operator.
//! - [`json`]: strict JSON reading and writing, and serde errors in plain words.
//! - [`app`]: builds a gateway and stops it. [`cli`]: the command line. [`telemetry`]: the log.
//! - `runtime`: threads for blocking work, free space, expected panics of the storage engine.
//! - `terminal`: output of the command line. `tools`: the demo and the simulated peers.
//!
//! # Arrows
//! `actors <- api, settings <- http, openapi, egress, rpc <- wire, messenger, admin <- app <- cli`, and `actors <- store <- app`. The
//! store, the dialects and the messenger's API never import one another: the app connects them through the core's
//! interfaces.

pub mod admin;
pub mod api;
pub mod app;
pub mod cli;
pub mod comparison;
pub mod egress;
#[doc(hidden)]
pub mod fuzz_targets;
pub mod http;
pub mod identity;
pub mod json;
pub mod maintenance;
pub mod messenger;
pub mod openapi;
mod raw_targets;
pub mod rpc;
mod runtime;
pub mod settings;
pub mod store;
pub mod telemetry;
mod terminal;
pub mod tls;
mod tools;
pub mod wire;
