//! `/admin/v1/store`: the size of the store, and a backup of the running store. A backup may take minutes, so one call
//! starts it and others return its progress.

pub(super) mod backups;

use std::path::PathBuf;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};

use crate::admin::AdminApi;
use crate::admin::answer::{OperatorBody, OperatorCall};
use crate::api::store::{BackupProgress, BackupRequest, StoreCounters, StoreDetails, TableSize};
use crate::http::error::ApiError;
use crate::http::responses::rfc3339;

/// Returns the size of the store.
pub(super) async fn stats(api: web::Data<AdminApi>) -> Result<HttpResponse, ApiError> {
    let stats = api.store.stats().await?;
    let tables = stats.tables.iter();
    let tables =
        tables.map(|table| TableSize { name: table.name.clone(), rows: table.rows, bytes: table.bytes }).collect();
    let counts = StoreCounters {
        commits: stats.counts.commits,
        rows_written: stats.counts.rows_written,
        rows_read: stats.counts.rows_read,
        rows_trimmed: stats.counts.rows_trimmed,
    };
    Ok(HttpResponse::Ok().json(StoreDetails {
        schema: stats.schema,
        epoch: stats.epoch,
        file_bytes: stats.file_bytes,
        live_bytes: stats.live_bytes,
        dead_bytes: stats.dead_bytes(),
        pdus_forgotten: stats.forgotten(),
        tables,
        counts,
    }))
}

/// Starts a backup into a new file on this machine.
pub(super) async fn backup(
    api: web::Data<AdminApi>,
    operator: OperatorCall,
    OperatorBody(wanted): OperatorBody<BackupRequest>,
) -> Result<HttpResponse, ApiError> {
    let path = wanted.path;
    // An existing file is not overwritten, so the log must not say that the backup was made.
    let taken = path.symlink_metadata().ok().map(|_| ApiError::unprocessable("FILE_EXISTS", "the file exists already"));
    let begun = begin(&api, path.clone());
    let outcome = begun.as_ref().map(|_| ()).and(taken.as_ref().map_or(Ok(()), Err));
    operator.log_action("store.backup", &path.display(), outcome);
    Ok(HttpResponse::Accepted().json(begun?))
}

/// Maximum characters of an invalid path in the error.
const PATH_SHOWN: usize = 200;

fn begin(api: &AdminApi, path: PathBuf) -> Result<BackupProgress, ApiError> {
    if !path.is_absolute() {
        let shown: String = path.display().to_string().chars().take(PATH_SHOWN).collect();
        let words = format!("{shown} is not an absolute path; the gateway may run in another folder than you");
        return Err(ApiError::unprocessable("BAD_PATH", words));
    }
    let mut current = api.backups.job();
    if let Some(running) = current.as_ref().filter(|job| job.is_running()) {
        let words = format!("a backup to {} is running; wait for it", running.path.display());
        return Err(ApiError::new(StatusCode::CONFLICT, "BACKUP_RUNNING", words));
    }
    let began = rfc3339(api.gateway.ports().clock.now());
    let job = BackupProgress {
        path: path.clone(),
        state: BackupProgress::RUNNING.into(),
        began,
        rows: 0,
        rows_total: 0,
        bytes: 0,
        taken: None,
        error: None,
    };
    *current = Some(job.clone());
    let (store, backups) = (api.store.clone(), api.backups.clone());
    actix_web::rt::spawn(async move {
        let watched = backups.clone();
        let done = store.backup(&path, move |progress| {
            watched.change(|job| {
                (job.rows, job.rows_total, job.bytes) = (progress.rows, progress.rows_total, progress.bytes);
            });
        });
        match done.await {
            Ok(backup) => {
                tracing::info!(path = %path.display(), rows = backup.rows, "backup finished");
                backups.change(|job| {
                    (job.rows, job.rows_total, job.bytes) = (backup.rows, backup.rows, backup.bytes);
                    (job.state, job.taken) = (BackupProgress::DONE.into(), Some(rfc3339(backup.taken)));
                });
            }
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "backup failed");
                backups.change(|job| (job.state, job.error) = (BackupProgress::FAILED.into(), Some(error.to_string())));
            }
        }
    });
    Ok(job)
}

/// Returns the progress of the backup.
pub(super) async fn progress(api: web::Data<AdminApi>) -> Result<HttpResponse, ApiError> {
    match api.backups.job().as_ref() {
        Some(job) => Ok(HttpResponse::Ok().json(job)),
        None => Err(ApiError::not_found("NO_BACKUP", "no backup was taken since this gateway started")),
    }
}
