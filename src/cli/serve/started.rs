//! The log line of a started gateway: server, version, files, listeners, and the pending items of each peer.

use std::path::PathBuf;

use actors::model::ServerName;

use crate::app::App;
use crate::runtime::{build_facts, service_manager};
use crate::settings::Settings;
use crate::terminal::format::{count, counted};

/// Maximum number of peers whose backlog is logged by name: those with the largest backlogs.
const PEERS_TOLD: usize = 20;

/// Facts about a start that the settings do not contain.
pub(super) struct StartSummary {
    /// The files of the configuration.
    pub(super) files: Vec<PathBuf>,
}

impl StartSummary {
    /// Logs that the gateway has started, and tells the service manager.
    pub(super) async fn tell(self, settings: &Settings, app: &App) {
        let files: Vec<String> = self.files.iter().map(|file| absolute(file)).collect();
        let behind = app.backlog().await;
        let backlog: u64 = behind.iter().map(|(_, items)| items).sum();
        let peers = app.gateway().peers().len();
        service_manager::ready(&format!("serves {} with {}", settings.server.name, counted(peers as u64, "peer")));
        tracing::info!(
            version = build_facts::VERSION,
            commit = build_facts::COMMIT,
            server = %settings.server.name,
            data_dir = %absolute(&settings.server.data_dir),
            configuration = %files.join(", "),
            federation = %settings.federation.listen,
            messenger = %settings.messenger.listen,
            admin = %settings.admin.listen,
            peers,
            backlog,
            backlog_by_peer = by_peer(behind),
            "ready"
        );
    }
}

/// Returns the absolute path, because a reader of the log has another working folder.
fn absolute(path: &std::path::Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

/// Formats the backlogs as "blue.example 3, green.example 1"; returns `None` if nothing is pending.
fn by_peer(mut behind: Vec<(ServerName, u64)>) -> Option<String> {
    behind.sort_by(|(one, items), (other, more)| more.cmp(items).then_with(|| one.cmp(other)));
    let mut words: Vec<String> =
        behind.iter().take(PEERS_TOLD).map(|(server, items)| format!("{server} {}", count(*items))).collect();
    let rest = behind.get(PEERS_TOLD..).unwrap_or_default();
    if !rest.is_empty() {
        let items = rest.iter().map(|(_, items)| items).sum();
        words.push(format!("{} others {}", rest.len(), count(items)));
    }
    (!words.is_empty()).then(|| words.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backlogs_are_told_largest_first() {
        let behind = |names: &[(&str, u64)]| {
            by_peer(names.iter().map(|(name, items)| (name.parse().expect("a name"), *items)).collect())
        };
        assert_eq!(behind(&[]), None);
        let told = behind(&[("red", 1), ("blue", 12_345), ("green", 1)]);
        assert_eq!(told.as_deref(), Some("blue 12,345, green 1, red 1"));
        let many: Vec<(String, u64)> = (10..32).map(|n| (format!("p{n}"), 100 - n)).collect();
        let many: Vec<(&str, u64)> = many.iter().map(|(name, items)| (name.as_str(), *items)).collect();
        let told = behind(&many).expect("some wait");
        assert!(told.starts_with("p10 90, p11 89, ") && told.ends_with(", p29 71, 2 others 139"), "{told}");
    }
}
