//! `fernpost store export` and `store import`: the rows of a store as lines of JSON.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write, stdin, stdout};
use std::path::{Path, PathBuf};

use actors::ports::Clock;
use serde_json::json;

use crate::app::SystemClock;
use crate::cli::failure::CommandFailure;
use crate::cli::store::offline::{data_dir, unreadable};
use crate::cli::store::{ExportOptions, ImportOptions};
use crate::cli::{print, print_json, remark};
use crate::runtime::durable_file::{draft_beside, publish};
use crate::store::{self, CopyProgress, ExportError, ExportReport, FILE, ImportError, ImportKind};
use crate::terminal::exit_code::FINE;
use crate::terminal::format::{counted, size};
use crate::terminal::progress::ProgressLine;

/// Name of a standard stream.
const STANDARD: &str = "-";

/// Size of the buffer for lines.
const BUFFER: usize = 1 << 20;

/// Writes the rows of a store.
pub(super) fn export(options: ExportOptions) -> u8 {
    let ExportOptions { file, from, json, source } = options;
    let from = from.map_or_else(|| data_dir(source).map(|folder| folder.join(FILE)), Ok);
    let report = from.and_then(|from| if is_standard(&file) { to_stdout(&from) } else { to_file(&from, &file) });
    match report {
        Ok(report) => told(&file, &report, json),
        Err(failure) => failure.tell(json),
    }
}

fn is_standard(file: &Path) -> bool {
    file == Path::new(STANDARD)
}

fn told(file: &Path, report: &ExportReport, json: bool) -> u8 {
    let ExportReport { server, rows, bytes, sha256 } = report;
    let words = format!("{server}: {}, {}", counted(*rows, "row"), size(*bytes));
    let object = json!({ "file": file, "server": server, "rows": rows, "bytes": bytes, "sha256": sha256 }).to_string();
    match (is_standard(file), json) {
        // The answer is on standard output already.
        (true, true) => remark!("{object}"),
        (true, false) => remark!("{words}"),
        (false, true) => return print_json(&object, FINE),
        (false, false) => return print(&format!("{}: {words}; it has the texts of messages\n", file.display()), FINE),
    }
    FINE
}

fn to_stdout(from: &Path) -> Result<ExportReport, CommandFailure> {
    written(from, &mut BufWriter::with_capacity(BUFFER, stdout().lock()))
}

fn to_file(from: &Path, file: &Path) -> Result<ExportReport, CommandFailure> {
    let failed = |error: std::io::Error| CommandFailure::Broken {
        code: "OUTPUT",
        words: format!("{} cannot be written: {error}", file.display()),
    };
    if file.symlink_metadata().is_ok() {
        let words = format!("{} is there already and is never overwritten; name another file", file.display());
        return Err(CommandFailure::Broken { code: "EXISTS", words });
    }
    let draft = draft_beside(file).map_err(failed)?;
    let report = written(from, &mut BufWriter::with_capacity(BUFFER, draft.as_file()))?;
    publish(draft, file).map_err(failed)?;
    Ok(report)
}

fn written(from: &Path, out: &mut dyn Write) -> Result<ExportReport, CommandFailure> {
    let mut line = ProgressLine::new(&format!("export {}", from.display()));
    let report = store::export(from, out, SystemClock.now(), &mut |progress: CopyProgress| {
        line.at(progress.rows, progress.rows_total);
    });
    line.end();
    report.map_err(|error| match &error {
        ExportError::Open(error) => unreadable(error),
        ExportError::Write(_) => CommandFailure::Broken { code: "OUTPUT", words: error.to_string() },
    })
}

/// Makes a store of rows.
pub(super) fn import(options: ImportOptions) -> u8 {
    let ImportOptions { file, to, moved, json, source } = options;
    let kind = if moved { ImportKind::Moved } else { ImportKind::Backup };
    let done = to.map_or_else(|| data_dir(source), Ok).and_then(|to| imported(&file, &to, kind));
    let report = match done {
        Ok(report) => report,
        Err(failure) => return failure.tell(json),
    };
    let (path, server, rows) = (report.path, report.verified.server, report.rows);
    if json {
        return print_json(&json!({ "file": path, "server": server, "rows": rows, "moved": moved }).to_string(), FINE);
    }
    let next = match kind {
        ImportKind::Backup => "start the gateway; it notifies its messenger and its peers",
        ImportKind::Moved => "start the gateway here, and never again where the rows come from",
    };
    print(&format!("{} has {} of {server}\n{next}\n", path.display(), counted(rows, "row")), FINE)
}

fn imported(file: &Path, to: &Path, kind: ImportKind) -> Result<store::ImportReport, CommandFailure> {
    let unopened = |error| CommandFailure::Broken { code: "INPUT", words: format!("{}: {error}", file.display()) };
    let mut line = ProgressLine::new(&format!("import {}", file.display()));
    let done = if is_standard(file) {
        store::import(&mut BufReader::with_capacity(BUFFER, stdin().lock()), to, kind, &mut |_| {})
    } else {
        let opened = File::open(file).map_err(unopened)?;
        let length = opened.metadata().map_err(unopened)?.len();
        let mut lines = BufReader::with_capacity(BUFFER, opened);
        store::import(&mut lines, to, kind, &mut |read| line.at(read, length))
    };
    line.end();
    done.map_err(|error| refused(file, &error))
}

fn refused(file: &Path, error: &ImportError) -> CommandFailure {
    let words = error.to_string();
    match error {
        ImportError::Open(error) => unreadable(error),
        ImportError::Line { .. } => {
            CommandFailure::Wrong { code: "BAD_LINE", words: format!("{}, {words}", shown(file)) }
        }
        ImportError::Damaged(_) => CommandFailure::Wrong { code: "DAMAGED", words },
        ImportError::Exists(_) => CommandFailure::Broken { code: "EXISTS", words },
        ImportError::InUse(_) => CommandFailure::Broken { code: "IN_USE", words },
        ImportError::File { .. } => CommandFailure::Broken { code: "STORE", words },
    }
}

fn shown(file: &Path) -> String {
    let standard = || PathBuf::from("standard input");
    (if is_standard(file) { standard() } else { file.to_owned() }).display().to_string()
}
