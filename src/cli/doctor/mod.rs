//! `fernpost doctor`: one file or folder for a bug report, without secrets and without texts of messages.

mod archive;
mod log_tail;
mod scrubber;
mod system_facts;

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use actors::model::Millis;
use actors::ports::Clock;
use clap::Args;
use serde_json::json;

use crate::app::SystemClock;
use crate::cli::admin_client::{AdminArgs, AdminClient, CommandFailure};
use crate::cli::{print, print_json};
use crate::runtime::build_facts;
use crate::runtime::new_file::{ExistingFile, write};
use crate::settings::{Settings, ShownValue, Sources};
use crate::store::{self, FILE};
use crate::telemetry::deliveries::DeliveryLogOutput;
use crate::terminal::exit_code::FINE;
use scrubber::Scrubber;

/// Arguments of `doctor`.
#[derive(Debug, Args)]
pub(super) struct DoctorOptions {
    /// File that ends in .tar.gz, or a folder; it must not exist. Default: a file in this folder, with the time in its name.
    #[arg(long, value_name = "PATH")]
    output: Option<PathBuf>,
    #[command(flatten)]
    admin: AdminArgs,
}

/// Calls of the operator's API whose answers are in a bundle.
const ANSWERS: [(&str, &str); 6] = [
    ("status.json", "/status"),
    ("peers.json", "/peers"),
    ("queue.json", "/queue"),
    ("log-levels.json", "/log"),
    ("store.json", "/store"),
    ("backups.json", "/store/backups"),
];

/// Endings of an archive.
const ARCHIVES: [&str; 2] = [".tar.gz", ".tgz"];

/// The files of a bundle, and what is missing.
#[derive(Default)]
struct Bundle {
    files: Vec<(String, Vec<u8>)>,
    missing: Vec<(String, String)>,
}

impl Bundle {
    fn add(&mut self, name: &str, text: Result<String, String>) {
        match text {
            Ok(text) => self.files.push((name.to_owned(), text.into_bytes())),
            Err(why) => self.missing.push((name.to_owned(), why)),
        }
    }
}

/// Makes a bundle, and returns the exit code.
pub(super) fn run(options: DoctorOptions) -> u8 {
    let DoctorOptions { output, admin } = options;
    let sources = admin.sources();
    admin.run_anyway(async |gateway, json| {
        let now = SystemClock.now();
        let bundle = collected(&sources, gateway).await;
        let output = output.unwrap_or_else(|| format!("{}.tar.gz", folder_name(now)).into());
        written(&bundle, &output, now).map_err(|error| {
            let words = format!("{} cannot be written: {error}", output.display());
            CommandFailure::Broken { code: "OUTPUT", words }
        })?;
        Ok::<u8, CommandFailure>(told(&bundle, &output, json))
    })
}

fn folder_name(now: Millis) -> String {
    let time = humantime::format_rfc3339_seconds(std::time::UNIX_EPOCH + std::time::Duration::from_millis(now.0));
    format!("fernpost-doctor-{}", time.to_string().replace(['-', ':'], ""))
}

async fn collected(sources: &Sources, gateway: Result<AdminClient, CommandFailure>) -> Bundle {
    let mut bundle = Bundle::default();
    let settings = Settings::load(sources);
    let scrubber = settings.as_ref().map(Scrubber::of).unwrap_or_default();
    bundle.add("version.txt", Ok(build_facts::DESCRIPTION.clone() + "\n"));
    let data_dir = settings.as_ref().ok().map(|settings| settings.server.data_dir.as_path());
    bundle.add("system.txt", Ok(system_facts::system(data_dir)));
    bundle.add("configuration.json", configuration(sources).map(|text| scrubber.text(&text)));
    match &gateway {
        Ok(gateway) => {
            for (name, path) in ANSWERS {
                let answer = gateway.get(path).await;
                bundle.add(
                    name,
                    answer.map(|text| scrubber.answer(&text)).map_err(|why| scrubber.text(&why.to_string())),
                );
            }
            let health = gateway.health("/health/ready").await;
            bundle.add("health.json", health.map(|text| scrubber.answer(&text)).map_err(|why| why.to_string()));
            let metrics = gateway.health("/metrics").await;
            bundle.add("metrics.txt", metrics.map(|text| scrubber.text(&text)).map_err(|why| why.to_string()));
        }
        Err(why) => bundle.add("the running gateway", Err(scrubber.text(&why.to_string()))),
    }
    if let Ok(settings) = &settings {
        add_files(&mut bundle, settings, &scrubber);
    }
    bundle.missing.iter_mut().for_each(|(_, why)| *why = scrubber.text(why));
    bundle
}

/// Adds what the files of the gateway show, whether it runs or not.
fn add_files(bundle: &mut Bundle, settings: &Settings, scrubber: &Scrubber) {
    let data_dir = &settings.server.data_dir;
    let unlisted = |error| format!("{}: {error}", data_dir.display());
    bundle.add("files.txt", system_facts::files(data_dir).map_err(unlisted));
    // A running gateway has told of its store.
    if !bundle.files.iter().any(|(name, _)| name == "store.json") {
        let summary = store::summary(&data_dir.join(FILE)).map_err(|error| error.to_string());
        bundle.add("stopped-store.txt", summary.map(|summary| format!("{summary:#?}\n")));
    }
    if let Some(DeliveryLogOutput::File(path)) = &settings.log.deliveries {
        let unread = |error| format!("{}: {error}", path.display());
        bundle.add("deliveries.log", log_tail::last_lines(path).map(|text| scrubber.text(&text)).map_err(unread));
    }
}

/// Returns the effective values, each with the place that it comes from; secrets are hidden.
fn configuration(sources: &Sources) -> Result<String, String> {
    let values = ShownValue::all(sources).map_err(|problems| problems.to_string())?;
    let values: Vec<_> =
        values.iter().map(|value| json!({ "key": value.key, "value": value.value, "from": value.from })).collect();
    serde_json::to_string_pretty(&values).map_err(|error| error.to_string())
}

/// Returns the file that says what is in a bundle and what is not.
fn contents(bundle: &Bundle) -> String {
    let mut text = "A bundle of `fernpost doctor`, without secrets and without texts of messages. Names of servers, contexts and peers, \
                    and ids of messages are in it: look through it before you publish it.\n\nfiles:\n"
        .to_owned();
    bundle.files.iter().for_each(|(name, bytes)| text += &format!("  {name}, {} bytes\n", bytes.len()));
    if !bundle.missing.is_empty() {
        text += "\nmissing:\n";
        bundle.missing.iter().for_each(|(name, why)| text += &format!("  {name}: {why}\n"));
    }
    text
}

/// Writes the bundle for its owner only.
fn written(bundle: &Bundle, output: &Path, now: Millis) -> std::io::Result<()> {
    let mut files = vec![("contents.txt".to_owned(), contents(bundle).into_bytes())];
    files.extend(bundle.files.iter().cloned());
    let name = output.to_string_lossy();
    if ARCHIVES.iter().any(|ending| name.ends_with(ending)) {
        let archive = archive::tar(&folder_name(now), &files, now.0 / 1000)?;
        return write(output, &archive::gzip(&archive), 0o600, ExistingFile::Keep);
    }
    DirBuilder::new().mode(0o700).create(output)?;
    files.iter().try_for_each(|(name, bytes)| write(&output.join(name), bytes, 0o600, ExistingFile::Keep))
}

fn told(bundle: &Bundle, output: &Path, json: bool) -> u8 {
    if json {
        let files: Vec<&String> = bundle.files.iter().map(|(name, _)| name).collect();
        let missing = bundle.missing.iter().map(|(what, why)| json!({ "what": what, "why": why }));
        let missing: Vec<_> = missing.collect();
        return print_json(&json!({ "output": output, "files": files, "missing": missing }).to_string(), FINE);
    }
    print(&format!("{}\n\n{}", output.display(), contents(bundle)), FINE)
}
