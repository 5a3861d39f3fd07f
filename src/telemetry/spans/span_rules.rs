//! The rules of the export, and the numbers that tell how it goes.

use std::sync::Arc;
use std::time::Duration;

use actors::model::ServerName;

/// Returns whether a peer is believed what it says about traces.
pub type TraceTrust = Arc<dyn Fn(&ServerName) -> bool + Send + Sync>;

/// The rules of the export.
#[derive(Debug, Clone, PartialEq)]
pub struct SpanRules {
    /// URL of the collector, to which spans are posted.
    pub endpoint: String,
    /// Share of the submissions here that are traced.
    pub ratio: f64,
    /// Maximum number of spans that wait to be sent.
    pub queue_max: usize,
    /// Time after which spans are sent that are fewer than a batch.
    pub interval: Duration,
    /// Maximum time of one request to the collector.
    pub timeout: Duration,
}

/// The numbers of spans since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SpanTotals {
    /// Spans that the collector has taken.
    pub exported: u64,
    /// Spans that found the queue full.
    pub dropped: u64,
    /// Spans that could not be sent.
    pub failed: u64,
}
