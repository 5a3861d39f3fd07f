//! `fernpost store`: size of the store, backups, and verification of files.

mod backups;
mod compact;
mod lines;
mod offline;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};

use crate::api::store::{BackupProgress, BackupRequest, StoreCounters, StoreDetails, TableSize};
use crate::cli::admin_client::{AdminArgs, AdminClient, CommandFailure, print_json};
use crate::cli::{ConfigSource, print};
use crate::terminal::exit_code::FINE;
use crate::terminal::format::{count, counted, format_times, size};
use crate::terminal::progress::ProgressLine;
use crate::terminal::table::ColumnAlign::{Left, Right};
use crate::terminal::table::TextTable;

/// Interval at which the progress of a backup is polled.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Commands for the store.
#[derive(Debug, Subcommand)]
pub(super) enum StoreCommand {
    /// Show the size of the store, table by table.
    Stats {
        #[command(flatten)]
        operator: AdminArgs,
    },
    /// Copy the store of a running gateway to a new file on its machine.
    Backup {
        /// File to write; an existing file is never overwritten.
        file: PathBuf,
        #[command(flatten)]
        operator: AdminArgs,
    },
    /// Show the scheduled backups of a running gateway; exits with 1 if they fail.
    Backups {
        /// Take the next one now, and wait for it.
        #[arg(long)]
        now: bool,
        #[command(flatten)]
        operator: AdminArgs,
    },
    /// Verify a store that is not in use, or a backup; exits with 1 if it is damaged.
    Verify {
        /// File to verify; default: the store of the configuration.
        file: Option<PathBuf>,
        /// Print the result as JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        source: ConfigSource,
    },
    /// Give the unused space of a store that is not in use back to the system.
    Compact {
        /// File to compact; default: the store of the configuration.
        file: Option<PathBuf>,
        /// Print the sizes before and after as JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        source: ConfigSource,
    },
    /// Write the rows of a store that is not in use, or of a backup, as lines of JSON.
    Export(ExportOptions),
    /// Make a new store of the rows of an export.
    Import(ImportOptions),
    /// Install a backup as the store of a gateway that has lost its own.
    Restore {
        /// Backup file.
        backup: PathBuf,
        /// Data folder of the gateway; default: that of the configuration.
        #[arg(long, value_name = "FOLDER")]
        to: Option<PathBuf>,
        /// Print the result as JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        source: ConfigSource,
    },
}

/// Arguments of `store export`.
#[derive(Debug, Args)]
pub(super) struct ExportOptions {
    /// File to write, which must not exist; - is standard output.
    file: PathBuf,
    /// Store or backup to read; default: the store of the configuration.
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Print the result as JSON; with - on standard error.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    source: ConfigSource,
}

/// Arguments of `store import`.
#[derive(Debug, Args)]
pub(super) struct ImportOptions {
    /// File to read; - is standard input.
    file: PathBuf,
    /// Data folder of the gateway; default: that of the configuration.
    #[arg(long, value_name = "FOLDER")]
    to: Option<PathBuf>,
    /// The export is of a stopped gateway that was not started since and will not be: nothing is announced at the next start.
    #[arg(long)]
    moved: bool,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    source: ConfigSource,
}

/// Runs a command and returns its exit code.
pub(super) fn run(command: StoreCommand) -> u8 {
    match command {
        StoreCommand::Stats { operator } => operator.run(stats),
        StoreCommand::Backup { file, operator } => {
            operator.run(async |gateway, json| backup(gateway, json, &file).await)
        }
        StoreCommand::Backups { now, operator } => {
            operator.run(async |gateway, json| backups::run(gateway, json, now).await)
        }
        StoreCommand::Verify { file, json, source } => offline::verify(file, json, source),
        StoreCommand::Compact { file, json, source } => compact::run(file, json, source),
        StoreCommand::Export(options) => lines::export(options),
        StoreCommand::Import(options) => lines::import(options),
        StoreCommand::Restore { backup, to, json, source } => offline::restore(&backup, to, json, source),
    }
}

/// Formats the tables that have rows, the largest first.
fn tables(sizes: &[TableSize]) -> String {
    let mut sizes: Vec<&TableSize> = sizes.iter().filter(|size| size.rows > 0).collect();
    sizes.sort_by_key(|size| std::cmp::Reverse(size.bytes));
    let mut table = TextTable::new([("TABLE", Left), ("ROWS", Right), ("SIZE", Right)]);
    for TableSize { name, rows, bytes } in sizes {
        table.row(vec![name.clone(), count(*rows), size(*bytes)]);
    }
    table.text()
}

async fn stats(gateway: &AdminClient, json: bool) -> Result<u8, CommandFailure> {
    let answer = gateway.get("/store").await?;
    if json {
        return Ok(print_json(&answer));
    }
    let stats: StoreDetails = gateway.read(&answer)?;
    let mut text = tables(&stats.tables);
    text.push('\n');
    if let (Some(file), Some(dead)) = (stats.file_bytes, stats.dead_bytes) {
        text.push_str(&format!("file     {}, of which {} are unused\n", size(file), size(dead)));
    }
    if stats.pdus_forgotten > 0 {
        let pdus = counted(stats.pdus_forgotten, "PDU");
        text.push_str(&format!("removed  the content of {pdus}, of which the ids are kept\n"));
    }
    text.push_str(&format!("opened   {}, schema {}\n", format_times(stats.epoch), stats.schema));
    let StoreCounters { commits, rows_written, .. } = stats.counts;
    text.push_str(&format!("written  {} in {} since then\n", counted(rows_written, "row"), counted(commits, "commit")));
    Ok(print(&text, FINE))
}

async fn backup(gateway: &AdminClient, json: bool, file: &Path) -> Result<u8, CommandFailure> {
    let path = std::path::absolute(file);
    let path = path.map_err(|error| CommandFailure::Misused(format!("{}: {error}", file.display())))?;
    let body = serde_json::to_string(&BackupRequest { path })
        .map_err(|error| CommandFailure::Misused(format!("{}: {error}", file.display())))?;
    let mut answer = gateway.post("/store/backup", body).await?;
    let mut progress = ProgressLine::new("backup");
    let job = loop {
        let job: BackupProgress = gateway.read(&answer)?;
        if !job.is_running() {
            break job;
        }
        progress.at(job.rows, job.rows_total);
        tokio::time::sleep(LOOK_AGAIN).await;
        answer = gateway.get("/store/backup").await?;
    };
    progress.end();
    if let Some(words) = job.error {
        return Err(CommandFailure::Broken { code: "BACKUP_FAILED", words });
    }
    if json {
        return Ok(print_json(&answer));
    }
    let (path, rows, bytes) = (job.path.display(), counted(job.rows, "row"), size(job.bytes));
    Ok(print(&format!("{path}: {rows}, {bytes}; check it with `fernpost store verify`\n"), FINE))
}
