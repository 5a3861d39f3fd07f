//! Files without a gateway on them: examined, and restored.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::tables;
use crate::cli::progress::during;
use crate::cli::words::{count, times};
use crate::cli::{COULD_NOT_RUN, FINE, Source, WRONG, print};
use crate::http::answer::rfc3339;
use crate::settings::Settings;
use crate::store::{self, FILE, Verified};

#[derive(Serialize)]
struct Report<'a> {
    file: &'a Path,
    sound: bool,
    server: &'a str,
    epoch: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    taken: Option<String>,
    tables: Vec<Rows<'a>>,
    findings: Vec<Finding<'a>>,
    more: u64,
}

#[derive(Serialize)]
struct Rows<'a> {
    name: &'a str,
    rows: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct Finding<'a> {
    table: &'a str,
    what: &'a str,
}

impl<'a> Report<'a> {
    fn of(file: &'a Path, verified: &'a Verified) -> Self {
        let tables = verified.tables.iter();
        let findings = verified.findings.iter();
        Self {
            file,
            sound: verified.is_sound(),
            server: &verified.server,
            epoch: verified.epoch,
            taken: verified.taken.map(rfc3339),
            tables: tables.map(|table| Rows { name: &table.name, rows: table.rows, bytes: table.bytes }).collect(),
            findings: findings.map(|found| Finding { table: found.table, what: &found.what }).collect(),
            more: verified.more,
        }
    }

    fn json(&self, code: u8) -> u8 {
        let text = serde_json::to_string(self).expect("texts and numbers always serialize");
        print(&format!("{text}\n"), code)
    }

    /// What the file is, in one line.
    fn words(&self) -> String {
        if self.server.is_empty() {
            return "it does not say whose it is".to_owned();
        }
        let taken = self.taken.as_ref().map(|taken| format!(", a backup of {taken}")).unwrap_or_default();
        format!("{}, opened {}{taken}", self.server, times(self.epoch))
    }
}

/// The data folder of the configuration.
fn data_dir(source: Source) -> Result<PathBuf, u8> {
    source.load().map(|Settings { server, .. }| server.data_dir).map_err(|problems| {
        eprintln!("{problems}");
        COULD_NOT_RUN
    })
}

/// Examine a file.
pub(super) fn verify(file: Option<PathBuf>, json: bool, source: Source) -> u8 {
    let file = match file.map_or_else(|| Ok(data_dir(source)?.join(FILE)), Ok) {
        Ok(file) => file,
        Err(code) => return code,
    };
    let shown = file.display();
    let verified = match during(&format!("verify {shown}"), || store::verify(&file)) {
        Ok(verified) => verified,
        Err(error) => {
            eprintln!("{error}");
            return COULD_NOT_RUN;
        }
    };
    let report = Report::of(&file, &verified);
    let code = if report.sound { FINE } else { WRONG };
    if json {
        return report.json(code);
    }
    if report.sound {
        let rows = tables(verified.tables.iter().map(|table| (table.name.clone(), table.rows, table.bytes)));
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

/// Put a backup where a gateway looks for its store.
pub(super) fn restore(backup: &Path, to: Option<PathBuf>, json: bool, source: Source) -> u8 {
    let to = match to.map_or_else(|| data_dir(source), Ok) {
        Ok(to) => to,
        Err(code) => return code,
    };
    let restored = match during(&format!("restore {}", backup.display()), || store::restore(backup, &to)) {
        Ok(restored) => restored,
        Err(error) => {
            eprintln!("{error}");
            return match error {
                store::RestoreError::Damaged(_) => WRONG,
                _ => COULD_NOT_RUN,
            };
        }
    };
    let report = Report::of(&restored.path, &restored.verified);
    if json {
        return report.json(FINE);
    }
    let (path, words) = (restored.path.display(), report.words());
    print(&format!("{path} is restored: {words}\nstart the gateway; it tells its messenger and its peers\n"), FINE)
}
