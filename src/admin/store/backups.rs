//! `/admin/v1/store/backups`: the scheduled backups, and one of them now.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};

use crate::admin::AdminApi;
use crate::admin::answer::OperatorCall;
use crate::api::store::backups::{BackupRow, ScheduledBackups};
use crate::http::error::ApiError;
use crate::http::responses::rfc3339;
use crate::maintenance::scheduled_backup::backup_folder::{BackupFile, BackupFolder};

/// Returns the schedule and its files.
pub(in crate::admin) async fn show(api: web::Data<AdminApi>) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(details(&api).await))
}

/// Begins the next backup now.
pub(in crate::admin) async fn begin(
    api: web::Data<AdminApi>,
    operator: OperatorCall,
) -> Result<HttpResponse, ApiError> {
    let schedule = &api.status.backups;
    let rules = schedule.rules().ok_or_else(|| {
        let words = "no backup is scheduled; set store.backup.folder, or use `fernpost store backup FILE`";
        ApiError::new(StatusCode::CONFLICT, "NO_SCHEDULE", words)
    });
    let folder = rules.as_ref().map(|rules| rules.folder.display().to_string()).unwrap_or_default();
    operator.log_action("store.backups", &folder, rules.as_ref().map(|_| ()));
    rules?;
    schedule.begin_now();
    Ok(HttpResponse::Accepted().json(details(&api).await))
}

async fn details(api: &AdminApi) -> ScheduledBackups {
    let schedule = &api.status.backups;
    let (rules, state) = (schedule.rules(), schedule.state());
    let Some(rules) = rules else {
        let (folder, every, keep, next, problem) = (None, None, None, None, None);
        return ScheduledBackups { folder, every, keep, running: false, next, problem, files: Vec::new() };
    };
    let files = BackupFolder::new(&rules.folder, api.gateway.ports().us.as_str());
    // A disk that hangs must not hold up a worker.
    let listed = tokio::task::spawn_blocking(move || files.list()).await;
    let files = listed.ok().and_then(Result::ok).unwrap_or_default();
    ScheduledBackups {
        every: Some(humantime::format_duration(rules.every).to_string()),
        keep: Some(rules.keep as u64),
        running: state.is_running,
        next: schedule.next().map(rfc3339),
        problem: schedule.problem(),
        files: files.into_iter().map(row).collect(),
        folder: Some(rules.folder),
    }
}

fn row(file: BackupFile) -> BackupRow {
    BackupRow { path: file.path, taken: rfc3339(file.taken), bytes: file.bytes }
}
