//! `[server]`: who we are.

use std::path::PathBuf;
use std::time::Duration;

use actors::model::ServerName;
use serde::Deserialize;

use super::check::Check;
use super::units::Span;

/// Who we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Our own name.
    pub name: ServerName,
    /// The folder of everything we keep.
    pub data_dir: PathBuf,
    /// HTTP workers of each listener.
    pub workers: usize,
    /// How long a stop waits for what is in flight.
    pub drain: Duration,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ServerSection {
    /// Our server name, as peers know it; it has to be set.
    pub(super) name: String,
    /// The folder of everything this gateway keeps.
    data_dir: PathBuf,
    /// HTTP workers (threads) of each listener.
    workers: u32,
    /// How long a stop waits for what is in flight.
    drain: Span,
}

impl Default for ServerSection {
    fn default() -> Self {
        Self { name: String::new(), data_dir: "data".into(), workers: 1, drain: Span::secs(10) }
    }
}

impl ServerSection {
    pub(super) fn check(self, check: &mut Check<'_>) -> Option<Server> {
        check.at_least_one(&["server"], &[("workers", self.workers.into())]);
        let name = match self.name.parse::<ServerName>() {
            Ok(name) => name,
            Err(_) if self.name.is_empty() => {
                check.invalid(&["server", "name"], "it has to be set: the name by which peers know this server");
                return None;
            }
            Err(why) => {
                check.invalid(&["server", "name"], format!("\"{}\": {why}", self.name));
                return None;
            }
        };
        let data_dir = check.path(&self.data_dir);
        Some(Server { name, data_dir, workers: self.workers as usize, drain: self.drain.0 })
    }
}
