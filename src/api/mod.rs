//! The JSON of the messenger's and the operator's API: each shape is declared once. Handlers build these types, and the
//! command line and the demo read the same types.
//!
//! One file per noun of the API. A type whose name ends in `Page` is one page of a list, and its `next` is the `after` of
//! the next call; `Row` is an entry of a list, `Details` is one object alone, `Request` is a body that the command line
//! writes and a handler reads. Parameters of a query string are no JSON; they are declared beside their handlers.
//!
//! # Conventions
//! - The order of the fields is the order of the keys. A value that does not exist has no key, except where its field says
//!   that it is null.
//! - Readers ignore keys that they do not know, because a newer gateway may write more.
//! - A time is a text of RFC 3339, in UTC and with milliseconds. A size is a number of bytes.
//! - `S` is the type of the texts: `&str` in a handler that answers from what it holds, `String` in a reader.
//! - A text of a fixed set is a [`FixedText`] and no enum, because a reader must show a text that a newer gateway added.
//!
//! - A type that the description of the API ([`crate::openapi`]) names derives `JsonSchema`; its comments are the texts there.
//!
//! # Types that handlers do not use
//! - [`feed`]: the feed, the history and the state of a context contain the `content` of PDUs, byte for byte as it was received.
//!   `messenger::events::render` and its neighbours copy these bytes into the answer; a type would parse and copy them again.
//! - [`requests`]: `messenger::messages::body` and its neighbours read submissions key by key, because a repeated key is an error
//!   and the content must stay as it is.
//!
//! These are for the description and for clients. Tests compare them with what the handlers write and read.

pub mod checks;
pub mod configuration;
pub mod contexts;
pub mod errors;
pub mod explain;
pub mod feed;
#[cfg(test)]
mod golden;
pub mod health;
pub mod keys;
pub mod messages;
pub mod pdus;
pub mod peers;
pub mod quarantine;
pub mod queue;
pub mod requests;
pub mod status;
pub mod store;
pub mod submissions;

use std::borrow::Cow;

/// A text of a fixed set: a handler writes a constant, a reader gets the text.
pub type FixedText = Cow<'static, str>;
