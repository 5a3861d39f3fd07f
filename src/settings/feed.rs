//! `[feed]`: the messenger's feed of events.

use std::time::Duration;

use serde::Deserialize;

use super::units::Span;

/// The messenger's feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feed {
    /// How long acknowledged events are kept.
    pub retain: Duration,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct FeedSection {
    /// How long events are kept after the messenger acknowledged them.
    retain: Span,
}

impl Default for FeedSection {
    fn default() -> Self {
        Self { retain: Span::days(7) }
    }
}

impl FeedSection {
    pub(super) fn check(self) -> Feed {
        Feed { retain: self.retain.0 }
    }
}
