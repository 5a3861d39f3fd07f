//! The three listeners: bound first, so that a taken port is reported before anything else happens, and served last.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use crate::api::health::status::ListenerRow;
use crate::app::StartError;
use crate::http::listener::bound_listener::BoundListener;
use crate::http::listener::caller_deadlines::RequestTimes;
use crate::http::listener::connection_admission::{ConnectionAdmission, ListenerTls};
use crate::http::listener::connection_table::{ConnectionLimits, ConnectionTable};
use crate::http::serve::ListenerLimits;
use crate::settings::{FederationSettings, ListenTarget, Settings};
use crate::telemetry::limit_counts::LimitCounts;
use crate::tls::file_watch::{FilesChange, WatchedFiles};
use crate::tls::key_pair::KeyPairFiles;
use crate::tls::live_pair::LiveKeyPair;
use crate::tls::live_roots::LiveRoots;
use crate::tls::own_certificate::OwnCertificate;
use crate::tls::server_config::{ClientCertificates, server_config};

/// The three listeners, bound and not yet served.
pub struct Listeners {
    pub(super) federation: BoundListener,
    pub(super) messenger: BoundListener,
    pub(super) admin: BoundListener,
}

impl Listeners {
    /// Binds the addresses of the settings.
    pub fn bind(settings: &Settings) -> Result<Self, StartError> {
        Ok(Self {
            federation: bind("federation.listen", &ListenTarget::Tcp(settings.federation.listen))?,
            messenger: bind("messenger.listen", &settings.messenger.listen)?,
            admin: bind("admin.listen", &settings.admin.listen)?,
        })
    }

    /// Returns the listeners as the status of the gateway shows them.
    pub(super) fn rows(&self, settings: &Settings) -> Vec<ListenerRow> {
        let row = |name: &'static str, bound: &BoundListener, target: String, tls| ListenerRow {
            name: name.into(),
            // A port that the system chose is in no configuration.
            address: bound.address().map_or(target, |address| address.to_string()),
            tls,
        };
        let (federation, messenger, admin) = (&settings.federation, &settings.messenger, &settings.admin);
        vec![
            row("federation", &self.federation, federation.listen.to_string(), federation.tls.is_some()),
            row("messenger", &self.messenger, messenger.listen.to_string(), messenger.tls.is_some()),
            row("admin", &self.admin, admin.listen.to_string(), admin.tls.is_some()),
        ]
    }

    /// Returns the address of the federation listener.
    pub(super) fn federation_address(&self) -> Option<SocketAddr> {
        self.federation.address()
    }
}

fn bind(key: &'static str, target: &ListenTarget) -> Result<BoundListener, StartError> {
    let bound = match target {
        ListenTarget::Tcp(address) => BoundListener::tcp(*address),
        ListenTarget::Unix { path, mode } => BoundListener::unix(path, *mode),
    };
    bound.map_err(|source| StartError::Listen { key, address: target.to_string(), source })
}

/// Files that were read again, with their configuration key.
pub(super) struct ChangedFiles {
    pub(super) subject: &'static str,
    pub(super) change: FilesChange,
}

/// The certificates of the listeners, for those that have one.
#[derive(Clone)]
pub(crate) struct ListenerCertificates {
    /// Roots of `federation.tls.client_ca`.
    client_ca: Option<LiveRoots>,
    /// Roots that servers we call chain to.
    peer_roots: LiveRoots,
    federation: Option<OwnCertificate>,
    messenger: Option<OwnCertificate>,
    admin: Option<OwnCertificate>,
}

impl ListenerCertificates {
    /// Reads the certificates of the settings.
    pub(super) fn load(settings: &Settings) -> Result<Self, StartError> {
        let load = |subject, files: &Option<KeyPairFiles>| {
            let loaded = files.clone().map(|files| OwnCertificate::load(subject, files)).transpose();
            loaded.map_err(|source| StartError::Certificate { subject, source: Box::new(source) })
        };
        let roots = |files: &[PathBuf]| LiveRoots::load(files).map_err(|error| StartError::Roots(Box::new(error)));
        let peer_roots = roots(&settings.network.roots)?;
        let client_ca = settings.federation.client_ca.clone().map(|file| roots(&[file])).transpose()?;
        Ok(Self {
            client_ca,
            peer_roots,
            federation: load("federation.tls", &settings.federation.tls)?,
            messenger: load("messenger.tls", &settings.messenger.tls)?,
            admin: load("admin.tls", &settings.admin.tls)?,
        })
    }

    /// Returns all of them.
    pub(super) fn all(&self) -> Vec<OwnCertificate> {
        [&self.federation, &self.messenger, &self.admin].into_iter().flatten().cloned().collect()
    }

    /// Returns the roots that client certificates chain to.
    pub(super) fn client_roots(&self) -> LiveRoots {
        self.client_ca.as_ref().unwrap_or(&self.peer_roots).clone()
    }

    /// Returns all files that are taken over when they change.
    pub(super) fn watched(&self) -> Vec<WatchedFiles> {
        let client_ca = self.client_ca.iter().map(|roots| roots.watched("federation.tls.client_ca"));
        let roots = client_ca.chain([self.peer_roots.watched("network.roots")]);
        self.all().iter().map(OwnCertificate::watched).chain(roots).collect()
    }

    /// Reads the files again, those of `network.roots` by their new names. `pending` are keys whose change waits for a restart:
    /// files that were moved to another name are read then.
    pub(super) fn read_again(&self, roots: &[PathBuf], pending: &[String]) -> Result<Vec<ChangedFiles>, Vec<String>> {
        let mut changes = Vec::new();
        let mut problems = Vec::new();
        let mut note = |subject: &'static str, read: Result<Option<FilesChange>, String>| match read {
            Ok(change) => changes.extend(change.map(|change| ChangedFiles { subject, change })),
            Err(_) if pending.iter().any(|key| key.starts_with(subject)) => {}
            Err(why) => problems.push(format!("`{subject}`: {why}")),
        };
        note("network.roots", self.peer_roots.read_from(roots.to_vec()).map_err(|error| error.to_string()));
        for WatchedFiles { subject, read, .. } in self.watched() {
            if subject != "network.roots" {
                note(subject, read());
            }
        }
        if problems.is_empty() { Ok(changes) } else { Err(problems) }
    }

    /// Returns the certificate of the federation listener, which peers are shown, too.
    pub(super) fn federation_pair(&self) -> Option<LiveKeyPair> {
        self.federation.as_ref().map(|pair| pair.live.clone())
    }

    /// Returns the roots that certificates of peers chain to when we call them.
    pub(super) fn peer_roots(&self) -> LiveRoots {
        self.peer_roots.clone()
    }

    /// Returns the limits of the federation listener; connections of these proxies are not limited by address.
    pub(super) fn federation_limits(
        &self,
        settings: &Settings,
        is_proxy: impl Fn(IpAddr) -> bool + Send + Sync + 'static,
        counts: LimitCounts,
    ) -> Result<ListenerLimits, StartError> {
        let FederationSettings { connections, .. } = &settings.federation;
        let limits =
            ConnectionLimits { connections_max: connections.connections_max, per_address: connections.per_address };
        let tls = self.tls("federation.tls", &self.federation, ClientCertificates::Asked, settings)?;
        let admission = ConnectionAdmission::new(tls).limited_by(
            ConnectionTable::new(limits, counts.clone()),
            Arc::new(is_proxy),
            counts,
        );
        Ok(ListenerLimits {
            workers: settings.server.workers,
            drain: settings.server.drain,
            times: RequestTimes {
                head: connections.header_timeout,
                idle: connections.idle_timeout,
                body: connections.body_timeout,
            },
            // The table decides which connection is closed; the workers must not stop accepting before.
            connections_max: connections.connections_max.saturating_add(ACCEPTED_BEYOND),
            admission: Arc::new(admission),
        })
    }

    /// Returns the limits of the messenger's listener.
    pub(super) fn messenger_limits(&self, settings: &Settings) -> Result<ListenerLimits, StartError> {
        let tls = self.tls("messenger.tls", &self.messenger, ClientCertificates::NotAsked, settings)?;
        Ok(private(settings, settings.server.workers, tls))
    }

    /// Returns the limits of the admin listener.
    pub(super) fn admin_limits(&self, settings: &Settings) -> Result<ListenerLimits, StartError> {
        let tls = self.tls("admin.tls", &self.admin, ClientCertificates::NotAsked, settings)?;
        Ok(private(settings, 1, tls))
    }

    fn tls(
        &self,
        subject: &'static str,
        pair: &Option<OwnCertificate>,
        clients: ClientCertificates,
        settings: &Settings,
    ) -> Result<Option<ListenerTls>, StartError> {
        let Some(pair) = pair else { return Ok(None) };
        let config = server_config(pair.live.clone(), clients).map_err(|source| StartError::Tls { subject, source })?;
        Ok(Some(ListenerTls { config, handshake_timeout: settings.federation.connections.handshake_timeout }))
    }
}

/// Connections per worker above the table's limit: those that are being refused.
const ACCEPTED_BEYOND: usize = 64;

fn private(settings: &Settings, workers: usize, tls: Option<ListenerTls>) -> ListenerLimits {
    ListenerLimits {
        workers,
        drain: settings.server.drain,
        admission: Arc::new(ConnectionAdmission::new(tls)),
        ..ListenerLimits::default()
    }
}
