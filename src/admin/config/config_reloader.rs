//! The reload of a configuration, as the operator's API asks for it.

use std::pin::Pin;

use actors::model::ServerName;

use crate::api::configuration::ReloadReport;

/// A reload that runs.
pub type RunningReload = Pin<Box<dyn Future<Output = ReloadReport>>>;

/// A read of the places of a peer's values in the files: key and place.
pub type PlacesRead = Pin<Box<dyn Future<Output = Vec<(String, String)>>>>;

/// Reads the configuration again and takes it over.
pub trait ConfigReloader: Send + Sync + 'static {
    /// Reloads all or nothing, and writes `cause` to the log. It goes on if its caller leaves.
    fn reload(&self, cause: String) -> RunningReload;

    /// Returns the place of each value of a peer in the files as they are now; none if they cannot be read.
    fn places_of(&self, server: ServerName) -> PlacesRead;
}
