//! The question for the keys of a server, by which its requests and its PDUs are verified.

use std::pin::Pin;
use std::sync::Arc;

use actors::model::{DialectSpec, ServerName, ShortDuration};
use tokio::time::Instant;

use crate::identity::key_id::KeyId;
use crate::identity::public_key::PeerKeys;

/// A question for the keys of a server.
#[derive(Debug, Clone, Copy)]
pub struct KeyQuery<'a> {
    /// Server whose keys are wanted.
    pub server: &'a ServerName,
    /// Ids of which one is wanted. Keys that were fetched earlier are fetched again if all of these are missing.
    pub wanted: &'a [KeyId],
    /// Dialect whose service finds the server if it is not listed.
    pub dialect: DialectSpec,
    /// Begin of the request that needs the keys. All its questions together wait for no longer than one would.
    pub since: Instant,
}

/// Error: no keys of a server can be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoKeysError {
    /// Keys of this server are not fetched.
    #[error("it is no peer with keys here")]
    NotFetched,
    /// The key directory could not be read. The reason is not for callers, because it tells what this server can connect to.
    #[error("its key directory could not be read")]
    Unreadable(Arc<str>),
    /// A limit of all fetches is reached, and the time after which to ask again.
    #[error("{limit} is reached ({value}), so its key directory is not read now")]
    TooMany {
        /// Configuration key of the limit.
        limit: &'static str,
        /// Value of the limit.
        value: u64,
        /// Time after which to ask again.
        wait: std::time::Duration,
    },
    /// The key directory is still being read.
    #[error("its key directory was not read within {} (peers.request_timeout)", ShortDuration(*.0))]
    TimedOut(std::time::Duration),
}

/// A future that finds the keys of a server.
pub type KeyLookup<'a> = Pin<Box<dyn Future<Output = Result<PeerKeys, NoKeysError>> + Send + 'a>>;

/// The keys of servers. Keys that are known answer at once; an implementation may also fetch them.
pub trait OriginKeys: Send + Sync + 'static {
    /// Returns the keys of a server, also those that no longer sign.
    fn keys_of<'a>(&'a self, query: KeyQuery<'a>) -> KeyLookup<'a>;
}
