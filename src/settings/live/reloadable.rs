//! The keys that a running gateway takes over, and the settings that follow from a changed configuration.

use actors::ports::PeerConfig;

use crate::maintenance::scheduled_backup::BackupRules;
use crate::settings::{AdminSettings, FederationSettings, LogSettings, PeerTable, Settings, StoreSettings};

/// Keys, and tables of keys, whose changes a running gateway applies. A change of every other key waits for a restart.
///
/// A new entry needs its field in [`Settings::adopting`], and the word in `config/fernpost.toml`; a test compares the three.
const RELOADABLE: &[&[&str]] = &[
    &["admin", "tokens"],
    &["contexts"],
    &["federation", "client_cert_header"],
    &["federation", "deny"],
    &["federation", "mode"],
    &["federation", "strangers"],
    &["federation", "trusted_proxies"],
    &["log", "format"],
    &["log", "level"],
    &["metrics"],
    &["network"],
    &["peers"],
    &["relay"],
    &["rpc"],
    &["store", "backup"],
];

/// Returns whether a running gateway takes over a change of this key.
pub(crate) fn is_reloadable(key: &[impl AsRef<str>]) -> bool {
    let is_within = |table: &&&[&str]| {
        key.len() >= table.len() && table.iter().zip(key).all(|(segment, own)| *segment == own.as_ref())
    };
    RELOADABLE.iter().any(|table| is_within(&table))
}

impl Settings {
    /// Returns these settings with the reloadable values of another configuration.
    #[must_use]
    pub fn adopting(&self, read: &Self) -> Self {
        let peers = PeerTable::clone(&read.peers)
            .of_server(&self.server.name)
            .under(self.peers.overload(), read.peers.bounds());
        Self {
            admin: AdminSettings { tokens: read.admin.tokens.clone(), ..self.admin.clone() },
            federation: FederationSettings {
                mode: read.federation.mode,
                strangers: read.federation.strangers,
                deny: read.federation.deny.clone(),
                trusted_proxies: read.federation.trusted_proxies.clone(),
                client_cert_header: read.federation.client_cert_header.clone(),
                ..self.federation.clone()
            },
            log: LogSettings {
                format: read.log.format,
                level: read.log.level.clone(),
                deliveries: self.log.deliveries.clone(),
            },
            metric_peers_max: read.metric_peers_max,
            rpc: read.rpc,
            store: StoreSettings { backup: self.adopted_backup(read), ..self.store.clone() },
            network: read.network.clone(),
            peers: peers.into(),
            notes: read.notes.clone(),
            ..self.clone()
        }
    }

    /// Returns the rules of the backups, with the free space that is in force.
    fn adopted_backup(&self, read: &Self) -> Option<BackupRules> {
        read.store.backup.clone().map(|rules| BackupRules { min_free: self.store.min_free, ..rules })
    }
}
