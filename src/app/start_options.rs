//! The options of the parts that a start creates, from the settings.

use crate::app::listeners::ListenerCertificates;
use crate::app::start_error::StartError;
use crate::egress::EgressOptions;
use crate::settings::Settings;
use crate::store::{self, BlockingExecutor, StoreLocation, StoreOptions};
use crate::telemetry::deliveries::{DeliveryLog, DeliveryLogOutput};

/// Starts the log of deliveries, if it is on.
pub(super) fn delivery_log(settings: &Settings) -> Result<Option<DeliveryLog>, StartError> {
    let Some(output) = &settings.log.deliveries else { return Ok(None) };
    let path = match output {
        DeliveryLogOutput::Stderr => "stderr".to_owned(),
        DeliveryLogOutput::File(path) => path.display().to_string(),
    };
    DeliveryLog::start(output).map(Some).map_err(|source| StartError::Deliveries { path, source })
}

/// Returns the options of the store.
pub(super) fn store_options(settings: &Settings, as_found: bool) -> Result<StoreOptions, StartError> {
    let path = &settings.server.data_dir;
    let options = &settings.store;
    Ok(StoreOptions {
        place: StoreLocation::file(path.join(store::FILE)),
        server: settings.server.name.clone(),
        cache: options.cache,
        recent: options.recent as u64,
        group_max: options.group_max,
        group_rows: options.group_rows as u64,
        queue_rows: options.queue_rows,
        memtable: options.memtable,
        checkpoint: options.checkpoint,
        log_max: options.log_max,
        quick_repair: options.quick_repair,
        lane: BlockingExecutor::own().map_err(StartError::Threads)?,
        as_found,
    })
}

/// Returns the rules for requests to peers.
pub(super) fn egress_options(settings: &Settings, certificates: &ListenerCertificates) -> EgressOptions {
    let network = &settings.network;
    EgressOptions {
        requests_max: network.requests_max,
        answer_max: network.answer_max,
        body_max: settings.federation.body_max,
        resolver: network.resolver.clone(),
        roots: Some(certificates.peer_roots()),
        own_pair: certificates.federation_pair(),
    }
}
