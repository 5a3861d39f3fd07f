//! Takes over a changed configuration while the gateway runs: it is read, checked and put to use, all of it or nothing.
//!
//! Everything that can fail happens before the first part is replaced. Connections, requests in flight and timers stay, because
//! each part reads the settings anew when it decides.

use std::sync::Arc;
use std::time::Duration;

use actix_web::web::Data;
use actors::gateway::Gateway;
use actors::model::ServerName;
use actors::ports::PeerConfig;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use crate::admin::config::config_reloader::{ConfigReloader, PlacesRead, RunningReload};
use crate::api::configuration::ReloadReport;
use crate::app::listeners::{ChangedFiles, ListenerCertificates};
use crate::egress::EgressClient;
use crate::http::authentication::signature_proof::SignatureJudge;
use crate::identity::key_folder::KeyFolder;
use crate::identity::key_ring::{KeyRing, LiveKeyRing};
use crate::runtime::service_manager;
use crate::settings::{LiveSettings, LoadedSettings, SettingsDiff, SettingsProblems, ShownValue, Sources};
use crate::telemetry;
use crate::telemetry::deliveries::DeliveryLog;
use crate::tls::file_watch::SETTLES;

/// Interval of reads of a certificate and a key that do not fit yet.
const READ_AGAIN: Duration = Duration::from_millis(250);

/// Name of the folder of signing keys in a report.
const KEYS: &str = "keys";

/// The parts of a gateway that a reload replaces or tells.
#[derive(Clone)]
pub(super) struct ReloadedParts {
    pub(super) live: LiveSettings,
    pub(super) certificates: ListenerCertificates,
    pub(super) keys: LiveKeyRing,
    pub(super) egress: Arc<EgressClient>,
    pub(super) judge: Data<SignatureJudge>,
    pub(super) gateway: Gateway,
    /// Log of deliveries, if it is on.
    pub(super) deliveries: Option<DeliveryLog>,
}

/// Takes over a changed configuration.
pub struct SettingsReloader {
    parts: ReloadedParts,
    /// Configuration in use. The lock is held during a reload, so that only one runs.
    used: Arc<Mutex<LoadedSettings>>,
}

/// A configuration that was read and checked, with everything that it changes.
struct CheckedReload {
    read: LoadedSettings,
    diff: SettingsDiff,
    files: Vec<ChangedFiles>,
    /// Signing keys, if they differ from those in use.
    keys: Option<KeyRing>,
}

impl SettingsReloader {
    /// Returns the reload of a gateway that uses this configuration.
    pub(super) fn new(used: LoadedSettings, parts: ReloadedParts) -> Self {
        Self { parts, used: Arc::new(Mutex::new(used)) }
    }

    /// Reloads, and writes one line to the log. `cause` is what asked for it.
    pub fn reload(&self, cause: String) -> RunningReload {
        let (parts, used) = (self.parts.clone(), self.used.clone());
        // Also if the configuration is refused, because whoever moved the file knows nothing of it.
        if let Some(log) = &parts.deliveries {
            log.reopen();
        }
        // A task of its own ends its work if the caller leaves.
        let reload = actix::spawn(async move {
            let mut used = used.lock().await;
            service_manager::reloading();
            let report = parts.reload(&mut used).await;
            service_manager::reloaded();
            tell(&cause, &report);
            report
        });
        Box::pin(async move {
            let stopped = || ReloadReport::refused(vec!["the reload has failed; see the log".to_owned()]);
            reload.await.unwrap_or_else(|_| stopped())
        })
    }
}

impl ConfigReloader for SettingsReloader {
    fn reload(&self, cause: String) -> RunningReload {
        Self::reload(self, cause)
    }

    fn places_of(&self, server: ServerName) -> PlacesRead {
        let used = self.used.clone();
        Box::pin(async move {
            let Some(sources) = used.lock().await.sources.clone() else { return Vec::new() };
            // A disk may be slow, and this thread answers requests.
            let read = tokio::task::spawn_blocking(move || ShownValue::of_peer(&sources, &server));
            let values = read.await.ok().and_then(Result::ok).flatten().unwrap_or_default();
            values.into_iter().map(|value| (last_segment(&value.key), value.from)).collect()
        })
    }
}

/// Returns the last segment of a key.
fn last_segment(key: &str) -> String {
    key.rsplit('.').next().unwrap_or(key).to_owned()
}

impl ReloadedParts {
    async fn reload(&self, used: &mut LoadedSettings) -> ReloadReport {
        let checked = match self.read(used).await {
            Ok(checked) => checked,
            Err(problems) => return ReloadReport::refused(problems),
        };
        let CheckedReload { read, diff: SettingsDiff { mut changed, restart }, files, keys } = checked;
        let before = used.settings.peers.clone();
        *used = used.adopting(&read);
        let settings = &used.settings;
        self.live.replace(settings.clone());
        telemetry::follow(&settings.log.level, settings.log.format);
        for ChangedFiles { subject, change } in files {
            (change.apply)();
            note(&mut changed, subject);
        }
        if let Some(keys) = keys {
            self.keys.replace(keys);
            note(&mut changed, KEYS);
        }
        let network = &settings.network;
        self.egress.change(network.requests_max, network.answer_max, &network.resolver);
        self.judge.limit_nonces(settings.peers.nonces_max());
        let is_new = |server: &ServerName| before.limits(server).is_none();
        let new_peers = settings.peers.listed().into_iter().filter(is_new).collect();
        match self.gateway.change_config(new_peers).await {
            Ok(()) => ReloadReport::done(changed, restart),
            Err(error) => ReloadReport::refused(vec![error.to_string()]),
        }
    }

    /// Reads and checks everything. A certificate and its key are two files, so that a pair that does not fit is read again for a
    /// while.
    async fn read(&self, used: &LoadedSettings) -> Result<CheckedReload, Vec<String>> {
        let Some(sources) = used.sources.clone() else {
            return Err(vec![
                "the configuration of this gateway is not in a file, so it cannot be read again".to_owned(),
            ]);
        };
        let began = Instant::now();
        loop {
            let (parts, used, sources) = (self.clone(), used.clone(), sources.clone());
            // A disk may be slow, and this thread answers requests.
            let read = tokio::task::spawn_blocking(move || parts.read_once(&used, &sources)).await;
            match read.map_err(|error| vec![error.to_string()])? {
                Ok(checked) => return Ok(checked),
                Err(ReloadFault { may_settle: true, .. }) if began.elapsed() < SETTLES => sleep(READ_AGAIN).await,
                Err(ReloadFault { problems, .. }) => return Err(problems),
            }
        }
    }

    fn read_once(&self, used: &LoadedSettings, sources: &Sources) -> Result<CheckedReload, ReloadFault> {
        let read = LoadedSettings::read(sources)?;
        let diff = used.diff(&read);
        let mut problems = Vec::new();
        let us = &used.settings.server.name;
        if read.settings.peers.limits(us).is_some() {
            problems.push(format!("`peers.server.\"{us}\"`: this is our own name until the restart"));
        }
        let mut keys = None;
        match KeyFolder::in_data_dir(&used.settings.server.data_dir).load(used.settings.server.allow_open_secrets) {
            Ok((ring, _)) if ring.keys().is_empty() => problems.push("the folder of signing keys is empty".to_owned()),
            Ok((ring, _)) => keys = (!ring.same(&self.keys.current())).then_some(ring),
            Err(error) => problems.push(format!("the signing keys cannot be used: {error}")),
        }
        if !problems.is_empty() {
            return Err(ReloadFault { may_settle: false, problems });
        }
        let files = self.certificates.read_again(&read.settings.network.roots, &diff.restart);
        let files = files.map_err(|problems| ReloadFault { may_settle: true, problems })?;
        Ok(CheckedReload { read, diff, files, keys })
    }
}

/// The reasons for which a configuration is refused.
struct ReloadFault {
    /// True if files may be half written.
    may_settle: bool,
    problems: Vec<String>,
}

impl From<SettingsProblems> for ReloadFault {
    fn from(problems: SettingsProblems) -> Self {
        Self { may_settle: problems.are_of_pairs(), problems: problems.texts() }
    }
}

fn note(changed: &mut Vec<String>, subject: &str) {
    if !changed.iter().any(|key| key == subject) {
        changed.push(subject.to_owned());
    }
}

/// Writes the outcome to the log.
fn tell(cause: &str, report: &ReloadReport) {
    let words = |list: &Option<Vec<String>>, between: &str| list.as_deref().unwrap_or_default().join(between);
    let ReloadReport { changed, restart, problems, .. } = report;
    match problems {
        None => tracing::info!(
            cause,
            changed = words(changed, ", "),
            needs_restart = words(restart, ", "),
            "configuration reloaded"
        ),
        Some(_) => tracing::error!(
            cause,
            problems = words(problems, "; "),
            "the configuration is not reloaded; the one before stays in force"
        ),
    }
}
