//! Starts the export of traces, if it is on.

use std::sync::Arc;

use crate::app::StartError;
use crate::settings::{LiveSettings, PeerProfile};
use crate::telemetry::spans::ItemSpans;

/// Starts the export by these settings. Traces are carried to and from peers with the profile `fernpost` alone.
pub(super) fn start(live: &LiveSettings) -> Result<ItemSpans, StartError> {
    let (settings, table) = (live.current(), live.clone());
    let Some(rules) = &settings.otlp else { return Ok(ItemSpans::default()) };
    let trusts = Arc::new(move |server: &_| {
        table.peers().peer(server).is_some_and(|peer| peer.link.profile == PeerProfile::Fernpost)
    });
    ItemSpans::start(rules, &settings.server.name, trusts).map_err(StartError::Otlp)
}
