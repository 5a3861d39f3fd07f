//! `fernpost init`: writes the first configuration of a server, with its tokens and its signing key. It refuses to overwrite.

mod answers;
mod configuration_text;
mod dns_records;
mod options;
mod questions;
mod written_files;

use serde::Serialize;

use crate::app::SystemClock;
use crate::cli::failure::CommandFailure;
use crate::cli::{print, print_json};
use crate::identity::key_folder::KeyFolder;
use crate::settings::{Settings, Sources};
use crate::terminal::exit_code::FINE;
use answers::InitAnswers;
use dns_records::{DnsRecord, records};
use written_files::WrittenFiles;

pub(super) use options::InitOptions;

/// The outcome of `init`.
#[derive(Debug, Serialize)]
struct InitReport {
    /// Files that were written.
    files: Vec<String>,
    /// DNS records to publish.
    records: Vec<DnsRecord>,
    /// Warnings about the configuration.
    warnings: Vec<String>,
    /// Commands to run next.
    next: Vec<String>,
}

/// Runs the command and returns its exit code.
pub(super) fn run(options: InitOptions) -> u8 {
    let json = options.json;
    match init(options) {
        Ok(report) if json => print_json(&serde_json::to_string(&report).expect("texts always serialize"), FINE),
        Ok(report) => print(&text(&report), FINE),
        Err(failure) => failure.tell(json),
    }
}

fn init(options: InitOptions) -> Result<InitReport, CommandFailure> {
    let dir = std::path::absolute(&options.dir).unwrap_or_else(|_| options.dir.clone());
    let mut files = WrittenFiles::default();
    // Whoever has a configuration is told so before the first question.
    WrittenFiles::check_absent(&dir)?;
    let answers = questions::ask(options, &dir)?;
    let settings = write(&answers, &mut files).inspect_err(|_| files.remove())?;
    let config = answers.config_file();
    let served = if dir.starts_with("/etc") {
        "systemctl enable --now fernpost".to_owned()
    } else {
        format!("fernpost serve --config {}", config.display())
    };
    Ok(InitReport {
        files: files.names(),
        records: records(&answers.name, &answers.reached_at),
        // That a new server has no peer is no news.
        warnings: settings.notes.into_iter().filter(|note| !note.starts_with("`peers.server`")).collect(),
        next: vec![
            format!("fernpost check --config {}", config.display()),
            served,
            format!("fernpost join-token new --config {}", config.display()),
        ],
    })
}

/// Writes all files, and reads the configuration as a gateway would.
fn write(answers: &InitAnswers, files: &mut WrittenFiles) -> Result<Settings, CommandFailure> {
    files.folder(&answers.dir, 0o755)?;
    files.folder(&answers.dir.join("conf.d"), 0o755)?;
    files.folder(&answers.data_dir, 0o700)?;
    files.token(&answers.dir, "messenger.token", "")?;
    files.token(&answers.dir, "admin.token", "")?;
    if answers.push.is_some() {
        // The form of Standard Webhooks.
        files.token(&answers.dir, "push.secret", "whsec_")?;
    }
    files.key(&KeyFolder::in_data_dir(&answers.data_dir), SystemClock::time())?;
    files.configuration(&answers.config_file(), &configuration_text::of(answers))?;
    let sources = Sources { to_run: true, ..Sources::file(answers.config_file()) };
    Settings::load(&sources).map_err(|problems| CommandFailure::Wrong {
        code: "CONFIGURATION",
        words: format!("{problems}\nnothing was written, because a gateway could not use these answers"),
    })
}

fn text(report: &InitReport) -> String {
    let lines = |head: &str, lines: &[String]| match lines {
        [] => String::new(),
        lines => format!("{head}\n  {}\n\n", lines.join("\n  ")),
    };
    let records: Vec<String> = report.records.iter().map(ToString::to_string).collect();
    let mut text = lines("Files that were written:", &report.files);
    text += &lines("Warnings:", &report.warnings);
    text += &lines("DNS records to publish:", &records);
    text += &lines("Next:", &report.next);
    format!("{}\n", text.trim_end())
}
