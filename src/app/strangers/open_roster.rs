//! The peers of a gateway whose federation may be open: those of the configuration, and every other server under the limits of strangers.

use std::sync::Arc;
use std::time::Duration;

use actors::errors::AdmissionError;
use actors::limits::{ContextLimits, OverloadLimits, PeerLimits};
use actors::model::ServerName;
use actors::ports::PeerConfig;

use crate::app::strangers::strangers_book::StrangersBook;
use crate::settings::PeerTable;

/// Returns the peers of the configuration in use.
pub(in crate::app) type PeerTableSource = Arc<dyn Fn() -> Arc<PeerTable> + Send + Sync>;

/// The configured peers and the strangers.
pub(in crate::app) struct OpenRoster {
    /// Peers of the configuration in use.
    pub(in crate::app) table: PeerTableSource,
    /// Dialects and rows of the strangers.
    pub(in crate::app) strangers: Arc<StrangersBook>,
}

impl PeerConfig for OpenRoster {
    fn limits(&self, server: &ServerName) -> Option<Arc<PeerLimits>> {
        let table = (self.table)();
        table.limits(server).or_else(|| self.strangers.limits(&table, server))
    }

    fn allows_relay(&self, origin: &ServerName, destination: &ServerName) -> bool {
        (self.table)().allows_relay(origin, destination)
    }

    fn listed(&self) -> Vec<ServerName> {
        (self.table)().listed()
    }

    fn unlisted(&self, server: &ServerName) -> Arc<PeerLimits> {
        (self.table)().unlisted(server)
    }

    fn has_receipts(&self) -> bool {
        (self.table)().has_receipts()
    }

    fn contexts(&self) -> Arc<ContextLimits> {
        (self.table)().contexts()
    }

    fn peers_resident_max(&self) -> u32 {
        (self.table)().peers_resident_max()
    }

    fn peers_idle_after(&self) -> Duration {
        (self.table)().peers_idle_after()
    }

    fn strangers_resident_max(&self) -> u32 {
        (self.table)().stranger_bounds().resident_max
    }

    fn admit_stranger(&self, _server: &ServerName, items: usize) -> Result<(), AdmissionError> {
        self.strangers.admit_rows((self.table)().stranger_bounds(), items)
    }

    fn overload(&self) -> OverloadLimits {
        (self.table)().overload()
    }
}
