//! The keys by which PDUs are verified that came from another server than their origin.

use std::pin::Pin;

use actors::model::ServerName;

use crate::identity::public_key::PeerKeys;

/// A future that finds the keys of a server.
pub type KeyLookup<'a> = Pin<Box<dyn Future<Output = Option<PeerKeys>> + Send + 'a>>;

/// The keys of servers, ourselves included. Keys that are known answer at once; an implementation may also fetch them.
pub trait OriginKeys: Send + Sync + 'static {
    /// Returns the keys of a server, also those that no longer sign; `None`: none is known.
    fn keys_of<'a>(&'a self, origin: &'a ServerName) -> KeyLookup<'a>;
}
