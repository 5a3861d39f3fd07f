//! `fernpost config`: prints the commented defaults, and the values of a configuration.

pub(in crate::cli) mod log_level;
mod show;

use clap::Subcommand;

use crate::cli::{print, print_json};
use crate::settings::Settings;
use crate::terminal::exit_code::FINE;

/// Commands about the configuration.
#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Print the effective value of every key, and the place that it comes from; secrets are hidden.
    Show(show::ConfigShow),
    /// Print every key with its default and one sentence, as a configuration file.
    Defaults {
        /// Print the values alone, as JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Runs a command and returns its exit code.
pub(super) fn run(command: ConfigCommand) -> u8 {
    match command {
        ConfigCommand::Show(options) => show::run(&options),
        ConfigCommand::Defaults { json } => defaults(json),
    }
}

/// Prints the manual, or its values.
fn defaults(json: bool) -> u8 {
    let manual = Settings::defaults_toml();
    if !json {
        return print(manual, FINE);
    }
    let values: toml::Table = toml::from_str(manual).expect("the manual is TOML, as a test proves");
    print_json(&serde_json::to_string(&values).expect("tables always serialize"), FINE)
}
