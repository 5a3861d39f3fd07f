//! `fernpost store`: size of the store, backups, and verification of files.

mod offline;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Subcommand;
use serde::Deserialize;

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

/// Runs a command and returns its exit code.
pub(super) fn run(command: StoreCommand) -> u8 {
    match command {
        StoreCommand::Stats { operator } => operator.run(stats),
        StoreCommand::Backup { file, operator } => {
            operator.run(async |gateway, json| backup(gateway, json, &file).await)
        }
        StoreCommand::Verify { file, json, source } => offline::verify(file, json, source),
        StoreCommand::Restore { backup, to, json, source } => offline::restore(&backup, to, json, source),
    }
}

#[derive(Deserialize)]
struct StoreStatsView {
    schema: u32,
    epoch: u64,
    file_bytes: Option<u64>,
    dead_bytes: Option<u64>,
    #[serde(default)]
    pdus_forgotten: u64,
    tables: Vec<TableRows>,
    counts: StoreCountsView,
}

#[derive(Deserialize)]
struct TableRows {
    name: String,
    rows: u64,
    bytes: u64,
}

#[derive(Deserialize)]
struct StoreCountsView {
    commits: u64,
    rows_written: u64,
}

/// Formats the tables that have rows, the largest first.
fn tables(rows: impl Iterator<Item = (String, u64, u64)>) -> String {
    let mut rows: Vec<_> = rows.filter(|(_, rows, _)| *rows > 0).collect();
    rows.sort_by_key(|(_, _, bytes)| std::cmp::Reverse(*bytes));
    let mut table = TextTable::new([("TABLE", Left), ("ROWS", Right), ("SIZE", Right)]);
    for (name, rows, bytes) in rows {
        table.row(vec![name, count(rows), size(bytes)]);
    }
    table.text()
}

async fn stats(gateway: &AdminClient, json: bool) -> Result<u8, CommandFailure> {
    let answer = gateway.get("/store").await?;
    if json {
        return Ok(print_json(&answer));
    }
    let stats: StoreStatsView = gateway.read(&answer)?;
    let mut text = tables(stats.tables.into_iter().map(|table| (table.name, table.rows, table.bytes)));
    text.push('\n');
    if let (Some(file), Some(dead)) = (stats.file_bytes, stats.dead_bytes) {
        text.push_str(&format!("file     {}, of which {} are unused\n", size(file), size(dead)));
    }
    if stats.pdus_forgotten > 0 {
        let pdus = counted(stats.pdus_forgotten, "PDU");
        text.push_str(&format!("removed  the content of {pdus}, of which the ids are kept\n"));
    }
    text.push_str(&format!("opened   {}, schema {}\n", format_times(stats.epoch), stats.schema));
    let StoreCountsView { commits, rows_written } = stats.counts;
    text.push_str(&format!("written  {} in {} since then\n", counted(rows_written, "row"), counted(commits, "commit")));
    Ok(print(&text, FINE))
}

#[derive(Deserialize)]
struct BackupProgress {
    path: PathBuf,
    state: String,
    rows: u64,
    rows_total: u64,
    bytes: u64,
    error: Option<String>,
}

async fn backup(gateway: &AdminClient, json: bool, file: &Path) -> Result<u8, CommandFailure> {
    let path = std::path::absolute(file);
    let path = path.map_err(|error| CommandFailure::Misused(format!("{}: {error}", file.display())))?;
    let body = serde_json::json!({ "path": path }).to_string();
    let mut answer = gateway.post("/store/backup", body).await?;
    let mut progress = ProgressLine::new("backup");
    let job = loop {
        let job: BackupProgress = gateway.read(&answer)?;
        if job.state != "running" {
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
