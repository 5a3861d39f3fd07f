//! The lines about scheduled backups.

use actors::model::Millis;

use crate::admin::metrics::metric_text::MetricKind::Gauge;
use crate::admin::metrics::metric_text::MetricText;
use crate::maintenance::scheduled_backup::BackupSchedule;

/// Appends the lines, unless there is no schedule.
pub(super) fn write(schedule: &BackupSchedule, now: Millis, text: &mut MetricText<'_>) {
    let Some(rules) = schedule.rules() else { return };
    let state = schedule.state();
    let help = "Time between two scheduled backups: store.backup.every.";
    text.one(Gauge, "fernpost_backup_every_seconds", help, rules.every.as_secs_f64());
    if let (Some(age), Some(newest)) = (state.age(now), &state.newest) {
        text.one(Gauge, "fernpost_backup_age_seconds", "Age of the newest verified backup.", age.as_secs_f64());
        text.one(Gauge, "fernpost_backup_bytes", "Size of the newest verified backup.", newest.bytes as f64);
    }
    let failing = f64::from(u8::from(state.failure.is_some()));
    text.one(Gauge, "fernpost_backup_failing", "1 if the last scheduled backup failed.", failing);
    let counts = [("verified", state.verified), ("failed", state.failed)];
    let help = "Scheduled backups since the start, by result.";
    text.counts(("fernpost_backups_total", help), "result", counts.into_iter());
}
