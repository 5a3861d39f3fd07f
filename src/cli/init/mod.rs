//! `fernpost init`: writes the first configuration of a server, with its tokens and its signing key. It refuses to overwrite.

mod answers;
mod configuration_text;
mod dns_records;
mod questions;
mod written_files;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use actors::model::ServerName;
use clap::Args;
use serde::Serialize;

use crate::app::SystemClock;
use crate::cli::failure::CommandFailure;
use crate::cli::{print, print_json};
use crate::identity::key_folder::KeyFolder;
use crate::settings::{Settings, Sources};
use crate::terminal::exit_code::FINE;
use answers::{CertificateAnswer, InitAnswers, PublicAddress, UrlAnswer};
use dns_records::{DnsRecord, records};
use written_files::WrittenFiles;

/// Arguments of `init`. The first four are questions that are asked on the terminal if they are left out.
#[derive(Debug, Args)]
pub(super) struct InitOptions {
    /// Name of this server, as peers know it, such as red.example.
    #[arg(long)]
    name: Option<ServerName>,
    /// Host and port at which peers reach it; the port is 9880 unless it is given.
    #[arg(long, value_name = "HOST:PORT")]
    reached_at: Option<PublicAddress>,
    /// PEM file with the certificate of that name and those between it and a root; "none" behind a reverse proxy.
    #[arg(long, value_name = "FILE")]
    certificate: Option<CertificateAnswer>,
    /// URL that events are pushed to; "none" if the messenger reads them.
    #[arg(long, value_name = "URL")]
    push: Option<UrlAnswer>,
    /// Take the suggested answer of each question that is not answered by an option.
    #[arg(long)]
    yes: bool,
    /// Folder of the configuration.
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// Folder of the store and the signing keys: "data" in the folder of the configuration, and /var/lib/fernpost for one in /etc.
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// PEM file with the private key of the certificate; without it, privkey.pem, key.pem or NAME.key beside the certificate.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Address and port of the listener for peers, if they differ from those of --reached-at.
    #[arg(long, value_name = "IP:PORT")]
    listen: Option<SocketAddr>,
    /// Address and port of the listener for the messenger.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:9881")]
    messenger: SocketAddr,
    /// Address and port of the listener for operators.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:9882")]
    admin: SocketAddr,
    /// Print the files, the DNS records and the next commands as JSON; nothing is asked.
    #[arg(long)]
    json: bool,
}

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

/// Returns whether a host is written as an address.
fn is_address(host: &str) -> bool {
    host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok()
}
