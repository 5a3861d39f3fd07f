//! The gateway: adapters around the core, and their composition.
//!
//! # Map
//! - [`settings`]: what was configured, checked and resolved.
//! - [`store`]: the journal and the archive on one redb file.
//! - [`forgetting`]: what was said long ago leaves the store. [`rounds`]: how such work comes round.
//! - [`http`]: serving, and what every listener shares: refusals as JSON, limits, who is calling. Knows no route.
//! - [`egress`]: the one gate outward.
//! - [`wire`]: the dialects peers speak.
//! - [`messenger`]: the API of the existing messenger. [`admin`]: the operator's.
//! - `complaint`: what serde says of a value that does not fit, in plain words.
//! - [`app`]: builds a gateway and takes it apart. [`cli`]: the command line. [`telemetry`]: the log. [`panics`]: those of others.
//!
//! # Arrows
//! `actors <- settings <- http, egress <- wire, messenger, admin <- app <- cli`, and `actors <- store <- app`. The
//! store, the dialects and the messenger's API never import one another: the app connects them through the core's
//! interfaces.

pub mod admin;
pub mod app;
pub mod cli;
mod complaint;
pub mod disk;
pub mod egress;
pub mod forgetting;
pub mod http;
pub mod messenger;
pub mod panics;
pub mod rounds;
pub mod settings;
pub mod store;
pub mod telemetry;
mod threads;
pub mod wire;
