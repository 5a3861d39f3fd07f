//! The ends of the tables of each server, which let rows be appended without reading.

use std::collections::HashMap;

use actors::model::ServerName;

/// Maximum number of servers that are remembered. All values can be read again with one lookup each, so the map is simply
/// cleared.
const REMEMBERED_MAX: usize = 16_384;

/// The ends of the tables of each server, filled in at the first use.
#[derive(Debug, Default)]
pub(crate) struct PeerTails(HashMap<ServerName, TableTails>);

impl PeerTails {
    /// Returns what is remembered about a server.
    pub(crate) fn get(&self, server: &ServerName) -> Option<&TableTails> {
        self.0.get(server)
    }

    /// Returns the ends of a server to change them, if any is remembered.
    pub(crate) fn get_mut(&mut self, server: &ServerName) -> Option<&mut TableTails> {
        self.0.get_mut(server)
    }

    /// Returns the ends of a server to fill them in.
    pub(crate) fn entry(&mut self, server: &ServerName) -> &mut TableTails {
        self.0.entry(server.clone()).or_default()
    }

    /// Clears the map if it holds too many servers.
    pub(crate) fn limit(&mut self) {
        if self.0.len() > REMEMBERED_MAX {
            self.0.clear();
        }
    }
}

/// The ends of the tables of one server. Each is read and set by the owner of its table only.
#[derive(Debug, Default)]
pub(crate) struct TableTails {
    /// Newest index of the outbox, and the bytes ever queued up to there.
    pub(crate) outbox: Option<(u64, u64)>,
    /// Range of the numbers with digests.
    pub(crate) taken: Option<TakenEnds>,
    /// Newest number in quarantine.
    pub(crate) quarantine: Option<u64>,
    /// Number of dead letters.
    pub(crate) dead_letters: Option<u64>,
    /// The newest number among its failed attempts.
    pub(crate) attempts: Option<u64>,
    /// Newest number among the transactions.
    pub(crate) seen: Option<u64>,
}

/// The ends of the `taken` rows of a server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TakenEnds {
    /// Number after the oldest row; that row is removed once everything below this number may be forgotten.
    pub(crate) oldest: u64,
    /// Number after the newest row.
    pub(crate) newest: u64,
}
