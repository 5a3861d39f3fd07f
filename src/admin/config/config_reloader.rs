//! The reload of a configuration, as the operator's API asks for it.

use std::pin::Pin;

use crate::api::configuration::ReloadReport;

/// A reload that runs.
pub type RunningReload = Pin<Box<dyn Future<Output = ReloadReport>>>;

/// Reads the configuration again and takes it over.
pub trait ConfigReloader: Send + Sync + 'static {
    /// Reloads all or nothing, and writes `cause` to the log. It goes on if its caller leaves.
    fn reload(&self, cause: String) -> RunningReload;
}
