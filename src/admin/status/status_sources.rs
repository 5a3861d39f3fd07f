//! The parts of a gateway that its status shows, and that the core does not know.

use actors::model::Millis;

use crate::admin::certificates::CertificateEnds;
use crate::admin::health::ReadinessReport;
use crate::admin::messenger::health::PushHealth;
use crate::api::health::status::ListenerRow;
use crate::maintenance::scheduled_backup::BackupSchedule;

/// The parts of a gateway that its status shows, and that the core does not know. The default has none.
#[derive(Clone, Default)]
pub struct StatusSources {
    /// Time of the start.
    pub started: Millis,
    /// The listeners.
    pub listeners: Vec<ListenerRow>,
    /// The conditions that keep the gateway from being ready.
    pub readiness: ReadinessReport,
    /// The ends of the certificates.
    pub ends: CertificateEnds,
    /// The push of the feed.
    pub push: PushHealth,
    /// The scheduled backups.
    pub backups: BackupSchedule,
}
