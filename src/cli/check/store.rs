//! `fernpost check store`: the data folder, its free space, and the store in it.

use actors::ports::Disk;

use crate::api::checks::CheckFinding;
use crate::api::store::StoreDetails;
use crate::cli::admin_client::{AdminClient, CommandFailure};
use crate::runtime::free_space::FolderDisk;
use crate::runtime::open_files::mode_for_others;
use crate::settings::Settings;
use crate::store::{self, MARKER, OpenError, SCHEMA, StoreSummary};
use crate::terminal::format::{format_times, size};

const CHECK: &str = "store";

/// Returns the findings about the data folder and the store of this configuration, which was read from `file`.
pub(super) async fn findings(settings: &Settings, file: &str) -> Vec<CheckFinding> {
    let folder = &settings.server.data_dir;
    let subject = folder.display().to_string();
    if !folder.exists() {
        let words = "the data folder is not there yet; `fernpost serve` makes it";
        return vec![CheckFinding::warning(CHECK, subject, words)];
    }
    let mut found = vec![];
    if let Some(mode) = mode_for_others(folder) {
        let words = format!("its mode is {mode:04o}, so every user of this machine can enter the data folder");
        let finding = CheckFinding::warning(CHECK, &subject, words).with_code("OPEN_MODE");
        found.push(finding.with_fix(format!("chmod 700 {subject}")));
    }
    found.push(free_space(&subject, FolderDisk(folder.clone()).free(), settings.store.min_free));
    found.push(store(settings, file).await);
    found
}

/// Returns the finding about the free space: below the minimum the gateway refuses new items.
fn free_space(subject: &str, free: Option<u64>, min_free: u64) -> CheckFinding {
    let Some(free) = free else {
        return CheckFinding::warning(CHECK, subject, "the free space of its disk is not known");
    };
    let words = format!("its disk has {} left; store.min_free is {}", size(free), size(min_free));
    let fix = "make room on the disk, or lower store.min_free";
    if free < min_free {
        CheckFinding::error(CHECK, subject, words).with_code("DISK_FULL").with_fix(fix)
    } else if free / 2 < min_free {
        CheckFinding::warning(CHECK, subject, words).with_code("DISK_FULL").with_fix(fix)
    } else {
        CheckFinding::info(CHECK, subject, words)
    }
}

/// Examines the store. A running gateway is asked first, because a file that is examined cannot be opened meanwhile.
async fn store(settings: &Settings, file: &str) -> CheckFinding {
    let place = settings.server.data_dir.join(store::FILE);
    let subject = place.display().to_string();
    let running = running(settings, file).await;
    if let Ok(details) = &running {
        let opened = format_times(details.epoch);
        let words = format!("a running gateway uses it: schema version {}, opened {opened}", details.schema);
        return CheckFinding::info(CHECK, subject, words);
    }
    if !place.exists() {
        return match settings.server.data_dir.join(MARKER).exists() {
            false => CheckFinding::info(CHECK, subject, "there is no store yet; `fernpost serve` makes it"),
            true => CheckFinding::error(CHECK, subject, "the store is missing, although one was made in this folder")
                .with_code("STORE_MISSING")
                .with_fix("check that its disk is mounted, or restore a backup with `fernpost store restore`"),
        };
    }
    let own = settings.server.name.as_str();
    match store::summary(&place) {
        Ok(StoreSummary { server, epoch, .. }) if server == own => {
            let words = format!("it can be opened: schema version {SCHEMA}, opened {}", format_times(epoch));
            CheckFinding::info(CHECK, subject, words)
        }
        Ok(StoreSummary { server, .. }) => {
            let error = OpenError::Foreign { place: subject.clone(), owner: server, own: own.to_owned() };
            CheckFinding::error(CHECK, subject, error.to_string()).with_code("OTHER_SERVER")
        }
        Err(error) => of_error(subject, &error, running.err().as_ref()),
    }
}

async fn running(settings: &Settings, file: &str) -> Result<StoreDetails, CommandFailure> {
    let gateway = AdminClient::configured(settings, file.to_owned())?;
    gateway.read(&gateway.get("/store").await?)
}

fn of_error(subject: String, error: &OpenError, silent: Option<&CommandFailure>) -> CheckFinding {
    let code = match error {
        OpenError::InUse { .. } => {
            let why = silent.map(|why| format!(", and the operator API does not answer: {why}")).unwrap_or_default();
            let words = format!("another process has it open{why}");
            return CheckFinding::error(CHECK, subject, words)
                .with_code("IN_USE")
                .with_fix("stop the process that has it open, or correct admin.listen and admin.token_file");
        }
        OpenError::Schema { .. } => "SCHEMA",
        _ => "STORE",
    };
    CheckFinding::error(CHECK, subject, error.to_string()).with_code(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_free_space_is_found() {
        let found = |free| {
            let finding = free_space("d", free, 100);
            (finding.level.into_owned(), finding.ok)
        };
        assert_eq!(found(Some(99)), ("error".to_owned(), false));
        assert_eq!(found(Some(100)), ("warning".to_owned(), true));
        assert_eq!(found(Some(200)), ("info".to_owned(), true));
        assert_eq!(found(None), ("warning".to_owned(), true));
    }
}
