//! Commands on files that no gateway has open: verify and restore.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::api::store::TableSize;
use crate::cli::failure::CommandFailure;
use crate::cli::store::tables;
use crate::cli::{ConfigSource, print, print_json};
use crate::http::responses::rfc3339;
use crate::settings::Settings;
use crate::store::{self, FILE, OpenError, RestoreError, VerifyResult};
use crate::terminal::exit_code::{FINE, WRONG};
use crate::terminal::format::{count, format_times};
use crate::terminal::progress::during;

#[derive(Serialize)]
struct VerifyReport<'a> {
    file: &'a Path,
    sound: bool,
    server: &'a str,
    epoch: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    taken: Option<String>,
    tables: Vec<TableSize>,
    findings: Vec<ReportedFinding<'a>>,
    more: u64,
}

#[derive(Serialize)]
struct ReportedFinding<'a> {
    table: &'a str,
    what: &'a str,
}

impl<'a> VerifyReport<'a> {
    fn of(file: &'a Path, verified: &'a VerifyResult) -> Self {
        let tables = verified.tables.iter();
        let findings = verified.findings.iter();
        Self {
            file,
            sound: verified.is_sound(),
            server: &verified.server,
            epoch: verified.epoch,
            taken: verified.taken.map(rfc3339),
            tables: tables
                .map(|table| TableSize { name: table.name.clone(), rows: table.rows, bytes: table.bytes })
                .collect(),
            findings: findings.map(|found| ReportedFinding { table: found.table, what: &found.what }).collect(),
            more: verified.more,
        }
    }

    fn json(&self, code: u8) -> u8 {
        let text = serde_json::to_string(self).expect("texts and numbers always serialize");
        print_json(&text, code)
    }

    /// Returns a description of the file in one line.
    fn words(&self) -> String {
        if self.server.is_empty() {
            return "its server name is missing".to_owned();
        }
        let taken = self.taken.as_ref().map(|taken| format!(", backup taken at {taken}")).unwrap_or_default();
        format!("{}, opened {}{taken}", self.server, format_times(self.epoch))
    }
}

/// Returns the data folder of the configuration.
pub(super) fn data_dir(source: ConfigSource) -> Result<PathBuf, CommandFailure> {
    source.load().map(|Settings { server, .. }| server.data_dir).map_err(|problems| CommandFailure::from(&problems))
}

pub(super) fn unreadable(error: &OpenError) -> CommandFailure {
    let code = match error {
        OpenError::InUse { .. } => "IN_USE",
        OpenError::Schema { .. } => "SCHEMA",
        _ => "STORE",
    };
    CommandFailure::Broken { code, words: error.to_string() }
}

/// Verifies the file of a store or a backup.
pub(super) fn verify(file: Option<PathBuf>, json: bool, source: ConfigSource) -> u8 {
    let file = match file.map_or_else(|| data_dir(source).map(|folder| folder.join(FILE)), Ok) {
        Ok(file) => file,
        Err(failure) => return failure.tell(json),
    };
    let shown = file.display();
    let verified = match during(&format!("verify {shown}"), || store::verify(&file)) {
        Ok(verified) => verified,
        Err(error) => return unreadable(&error).tell(json),
    };
    let report = VerifyReport::of(&file, &verified);
    let code = if report.sound { FINE } else { WRONG };
    if json {
        return report.json(code);
    }
    if report.sound {
        let rows = tables(&report.tables);
        return print(&format!("{shown} is sound: {}\n\n{rows}", report.words()), code);
    }
    let mut text = format!("{shown} is damaged: {}\n\n", report.words());
    for found in &verified.findings {
        text.push_str(&format!("  {found}\n"));
    }
    if verified.more > 0 {
        text.push_str(&format!("  and {} more\n", count(verified.more)));
    }
    print(&text, code)
}

fn not_restored(error: &RestoreError) -> CommandFailure {
    if let RestoreError::Open(error) = error {
        return unreadable(error);
    }
    let words = error.to_string();
    match error {
        RestoreError::Damaged(_) => CommandFailure::Wrong { code: "DAMAGED", words },
        RestoreError::Exists(_) => CommandFailure::Broken { code: "EXISTS", words },
        RestoreError::InUse(_) => CommandFailure::Broken { code: "IN_USE", words },
        RestoreError::NoBackup(_) => CommandFailure::Broken { code: "NO_BACKUP", words },
        RestoreError::Open(_) | RestoreError::File { .. } => CommandFailure::Broken { code: "STORE", words },
    }
}

/// Copies a backup to the place of the gateway's store.
pub(super) fn restore(backup: &Path, to: Option<PathBuf>, json: bool, source: ConfigSource) -> u8 {
    let to = match to.map_or_else(|| data_dir(source), Ok) {
        Ok(to) => to,
        Err(failure) => return failure.tell(json),
    };
    let restored = match during(&format!("restore {}", backup.display()), || store::restore(backup, &to)) {
        Ok(restored) => restored,
        Err(error) => return not_restored(&error).tell(json),
    };
    let report = VerifyReport::of(&restored.path, &restored.verified);
    if json {
        return report.json(FINE);
    }
    let (path, words) = (restored.path.display(), report.words());
    print(&format!("{path} is restored: {words}\nstart the gateway; it notifies its messenger and its peers\n"), FINE)
}
