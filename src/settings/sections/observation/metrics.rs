//! `[metrics]`: the metrics of `/metrics`.

use serde::Deserialize;

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct MetricsSection {
    /// Maximum number of peers with labels of their own.
    pub(crate) peers_max: u32,
}

impl Default for MetricsSection {
    fn default() -> Self {
        Self { peers_max: 100 }
    }
}
