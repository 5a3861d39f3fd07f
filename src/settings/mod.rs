//! Settings: compiled defaults, file, `conf.d`, environment and flags become plain, validated values.
//!
//! Each layer is read alone first (`layers`), so that an unknown key or an invalid value is reported at its place. Then
//! the layers are merged and checked in one pass (`check`), which continues to the end: all problems are reported at
//! once. Each section has one file with its written form (`...Section`), its checked form and the check. The manual,
//! `config/fernpost.toml`, contains every key with its default.
//!
//! # Precedence
//! Flags override the environment, which overrides `conf.d` (a later name overrides an earlier one), which overrides
//! the file, which overrides the compiled defaults, key by key; a list is replaced, never extended. For a peer, its own
//! table overrides patterns, which override `[peers.default]`. Patterns apply in the order in which they first appear,
//! those of the file before those of `conf.d`; a later one overrides an earlier one, key by key. All layers are merged
//! before patterns are applied, so a pattern in the file overrides a default in the environment.

mod check;
mod effective;
mod layers;
mod live;
mod peer;
mod peer_groups;
mod peers;
mod problem;
mod resolve;
mod schema;
mod shared_ranges;
mod shown;

mod field_names;
mod sections;
#[cfg(test)]
mod tests;
pub(crate) mod toml_text;
mod values;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use actors::limits::OverloadLimits;
use config::Value;
use serde::Deserialize;

use crate::rpc::RpcLimits;
use crate::telemetry::spans::SpanRules;
use check::{CheckReport, SettingsCheck};
use schema::RawSettings;

pub use crate::settings::sections::admin::AdminSettings;
pub use crate::settings::sections::federation::{ConnectionSettings, FederationMode, FederationSettings};
pub use crate::settings::sections::feed::FeedSettings;
pub use crate::settings::sections::messenger::MessengerSettings;
pub use crate::settings::sections::network::NetworkSettings;
pub use crate::settings::sections::observation::log::LogSettings;
pub use crate::settings::sections::push::PushSettings;
pub use crate::settings::sections::server::ServerSettings;
pub use crate::settings::sections::store::{StoreBackend, StoreSettings};
pub use crate::settings::sections::strangers::StrangersSettings;
pub use crate::settings::values::listen::ListenTarget;
pub use crate::settings::values::operator_token::OperatorToken;
pub use crate::settings::values::pattern::{BadPattern, NamePattern};
pub use crate::settings::values::profile::PeerProfile;
pub use crate::settings::values::push_target::{PushRoute, PushTarget};
pub use crate::settings::values::secret::SecretValue;
pub use crate::settings::values::webhook_secret::WebhookSecret;
pub use live::{LiveSettings, LoadedSettings, SettingsDiff, WrittenValues};
pub use peer::{PeerAuth, PeerLink, PeerSettings};
pub use peers::PeerTable;
pub use problem::{ProblemKind, ProblemPlace, SettingsProblem, SettingsProblems};
pub use resolve::ValueOrigin;
pub use shown::ShownValue;

/// The sources of settings beside the compiled defaults.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Configuration file; `conf.d/*.toml` beside it is read too. `None`: only the defaults apply, and paths are
    /// relative to the working folder.
    pub file: Option<PathBuf>,
    /// Configuration in memory and the folder for its relative paths; it is used instead of a file.
    pub text: Option<(String, PathBuf)>,
    /// Environment variables by name; those that do not start with `FERNPOST__` are ignored.
    pub env: Vec<(String, String)>,
    /// Overrides of the command line: a key as in TOML, and its value.
    pub flags: Vec<(String, String)>,
    /// If true, the files and folders that the configuration names must be usable here by this user, because a gateway will
    /// run with it. An operator who only sends commands to a gateway may have no access to its files.
    pub to_run: bool,
}

impl Sources {
    /// Returns sources that consist of a configuration file.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self { file: Some(path.into()), ..Self::default() }
    }

    /// Returns sources that consist of a configuration in memory, with the folder for its relative paths.
    pub fn text(toml: impl Into<String>, folder: impl Into<PathBuf>) -> Self {
        Self { text: Some((toml.into(), folder.into())), ..Self::default() }
    }

    /// Returns the files that are read, the main one first; none if the configuration is in memory.
    pub fn files(&self) -> Vec<PathBuf> {
        match (&self.text, &self.file) {
            (None, Some(main)) => layers::files(main, self.folder(), &mut CheckReport::default()),
            _ => Vec::new(),
        }
    }

    fn folder(&self) -> &Path {
        match (&self.text, &self.file) {
            (Some((_, folder)), _) => folder,
            (None, Some(file)) => file.parent().unwrap_or(Path::new("")),
            (None, None) => Path::new(""),
        }
    }
}

/// Returns the environment variables of this process that are configuration.
pub fn environment() -> Vec<(String, String)> {
    let readable = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
    let ours = readable.filter(|(name, _)| name.starts_with(layers::PREFIX));
    ours.map(|(name, value)| (name, value.to_string_lossy().into_owned())).collect()
}

/// The checked configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Identity of this server.
    pub server: ServerSettings,
    /// Listener for peers.
    pub federation: FederationSettings,
    /// Listener for the local messenger.
    pub messenger: MessengerSettings,
    /// Listener for operators.
    pub admin: AdminSettings,
    /// Log of the process.
    pub log: LogSettings,
    /// Maximum number of peers with labels of their own in the metrics.
    pub metric_peers_max: u32,
    /// Export of traces; `None`: there is none.
    pub otlp: Option<SpanRules>,
    /// Store on disk.
    pub store: StoreSettings,
    /// Messenger's feed.
    pub feed: FeedSettings,
    /// Limits of calls between messengers.
    pub rpc: RpcLimits,
    /// Rules for outbound requests.
    pub network: NetworkSettings,
    /// Peers and limits for the core.
    pub peers: Arc<PeerTable>,
    /// Hints for the log that are not problems.
    pub notes: Vec<String>,
}

impl Settings {
    /// Reads and checks everything; an error contains all problems.
    pub fn load(sources: &Sources) -> Result<Self, SettingsProblems> {
        LoadedSettings::read(sources).map(|loaded| loaded.settings)
    }

    /// Checks merged layers; an error contains all problems, those of the layers included.
    fn check(merged: &Value, sources: &Sources, found: &mut CheckReport) -> Result<Self, SettingsProblems> {
        if found.lacks_a_file() {
            return Err(SettingsProblems(found.take_problems()));
        }
        let raw =
            RawSettings::deserialize(merged.clone()).expect("each value was read alone before the layers were merged");
        let check = &mut SettingsCheck {
            found: &mut *found,
            folder: sources.folder(),
            to_run: sources.to_run,
            allow_open_secrets: raw.server.allow_open_secrets,
        };

        let listeners = [
            ("federation", Some(raw.federation.listen.0)),
            ("messenger", raw.messenger.listen.tcp()),
            ("admin", raw.admin.listen.tcp()),
        ];
        let listeners: Vec<_> =
            listeners.into_iter().filter_map(|(section, listen)| Some((section, listen?))).collect();
        let server = raw.server.check(check);
        let federation = raw.federation.check(check);
        let messenger = raw.messenger.check(check);
        let admin = raw.admin.check(check);
        keep_apart(&listeners, check);
        let log = raw.log.check(server.as_ref().map(|server| &server.data_dir), check);
        let otlp = raw.otlp.check(check);
        let store = raw.store.check(check);
        let own = server.as_ref().map(|server| &server.name);
        let contexts = raw.contexts.check(check);
        let (feed, rpc, network) = (raw.feed.check(check), raw.rpc.check(check), raw.network.check(check));
        let overload =
            OverloadLimits { feed_high: feed.high_water, feed_low: feed.low_water, min_free: store.min_free };
        let bounds = raw.peers.check(check);
        let relay = raw.relay.check(check);
        let peers = PeerTable::read(merged, own, &federation, contexts, relay, check).under(overload, bounds);
        let peers = peers.behind(federation.trusted_proxies.clone(), federation.client_cert_header.as_deref());
        let peers = Arc::new(peers);

        let notes = std::mem::take(&mut found.notes);
        let problems = found.take_problems();
        let metric_peers_max = raw.metrics.peers_max;
        match server {
            Some(server) if problems.is_empty() => Ok(Self {
                server,
                federation,
                messenger,
                admin,
                log,
                metric_peers_max,
                otlp,
                store,
                feed,
                rpc,
                network,
                peers,
                notes,
            }),
            _ => Err(SettingsProblems(problems)),
        }
    }

    /// Returns the manual: every key with its default and a sentence.
    pub fn defaults_toml() -> &'static str {
        include_str!("../../config/fernpost.toml")
    }
}

/// Checks that no two listeners have the same port, unless the system chooses it.
fn keep_apart(listeners: &[(&str, SocketAddr)], check: &mut SettingsCheck<'_>) {
    for (i, (section, listen)) in listeners.iter().enumerate() {
        for (other, taken) in &listeners[..i] {
            let same_ip = listen.ip() == taken.ip() || listen.ip().is_unspecified() || taken.ip().is_unspecified();
            if listen.port() != 0 && listen.port() == taken.port() && same_ip {
                check.invalid(
                    &[section, "listen"],
                    format!("{listen} is taken by `{other}.listen`; choose another port"),
                );
            }
        }
    }
}
