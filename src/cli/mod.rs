//! The command line: one binary, one file per noun. Exit codes: 0 success, 1 problem found, 2 could not run.

mod admin_client;
mod check;
mod config;
mod context;
mod doctor;
mod events;
pub(crate) mod failure;
mod health;
mod init;
mod join_token;
mod keys;
mod manual;
mod message;
mod peer;
mod quarantine;
mod queue;
mod reached_listener;
mod reload;
mod serve;
mod shell;
mod status;
mod store;
mod top;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Command, CommandFactory, Parser, Subcommand};

use crate::runtime::{build_facts, caught_panics, memory_dumps};
use crate::settings::{self, LoadedSettings, Settings, SettingsProblems, Sources};
use crate::terminal::exit_code::COULD_NOT_RUN;
use crate::terminal::output::complain;

pub(crate) use crate::terminal::output::{print, print_json, remark};

/// Text that the help of every command ends with.
const EXITS: &str = "Exit codes: 0 fine, 1 found something wrong, 2 could not run. With --json, answers are JSON on stdout and failures \
                     are {\"error\",\"code\"} on stderr. The manual: fernpost manual.";

/// A durable federation gateway in front of an existing messenger.
#[derive(Debug, Parser)]
#[command(name = "fernpost", version, long_version = build_facts::DESCRIPTION.as_str(), arg_required_else_help = true, after_help = EXITS)]
struct Cli {
    #[command(subcommand)]
    command: CliCommand,
}

#[derive(Debug, Subcommand)]
enum CliCommand {
    /// Run the gateway until it receives TERM or INT.
    Serve(serve::Serve),
    /// Write a first configuration, with tokens and a signing key, and print the DNS records to publish.
    Init(Box<init::InitOptions>),
    /// Connect two servers: each operator sends the other one line of text.
    #[command(subcommand)]
    JoinToken(join_token::JoinTokenCommand),
    /// Check for problems: all of them, or those of one subject.
    Check(check::CheckOptions),
    /// Ask the running gateway whether it is ready.
    Health(health::HealthOptions),
    /// Show what can be configured.
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Show the state of the gateway, its problems, and what to do about each; exits with 1 if it has any.
    Status(status::StatusOptions),
    /// Collect what a bug report needs, without secrets and without texts of messages, whether the gateway runs or not.
    Doctor(doctor::DoctorOptions),
    /// Show the state of the gateway on a screen that renews itself: problems, flow, and the peers by their backlog.
    Top(top::TopOptions),
    /// Read the configuration again and apply what a running gateway can take over: all of it, or nothing.
    Reload(reload::Reload),
    /// Show the level of the running gateway's log, or set another one for a time.
    Log(config::log_level::LogLevelOptions),
    /// Peers: their state, and commands for them.
    #[command(subcommand)]
    Peer(peer::PeerCommandLine),
    /// Signing keys of this server.
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// One submission and its delivery to the peers.
    #[command(subcommand)]
    Message(message::MessageCommand),
    /// Contexts: participants, status and heads.
    #[command(subcommand)]
    Context(context::ContextCommand),
    /// The feed of the messenger, for reading only.
    #[command(subcommand)]
    Events(events::EventsCommand),
    /// Pending items of peers, by age.
    #[command(subcommand)]
    Queue(queue::QueueCommand),
    /// Quarantined items and dead letters.
    #[command(subcommand)]
    Quarantine(quarantine::QuarantineCommand),
    /// Size of the store, backups, and verification of files.
    #[command(subcommand)]
    Store(store::StoreCommand),
    /// Print a script by which a shell completes commands and options.
    Completions(shell::CompletionsOptions),
    /// Print a topic of the manual, or list all topics.
    Manual(manual::ManualOptions),
    /// Write the manual pages of all commands into a folder, or print that of the program.
    Man(shell::ManualPagesOptions),
    /// Run three gateways with a sample messenger each, in this process, on loopback, with temporary data.
    Demo(crate::tools::demo::DemoOptions),
    /// Simulate misbehaving peers on loopback, for tests and demonstrations.
    PeerSim(Box<crate::tools::peer_sim::SimOptions>),
}

/// The location of the configuration.
#[derive(Debug, Clone, Args)]
struct ConfigSource {
    /// Configuration file; `conf.d/*.toml` beside it is read after it, by name.
    #[arg(short, long, env = "FERNPOST_CONFIG", default_value = "fernpost.toml")]
    config: PathBuf,
    /// Override one key, such as `--set store.group_max=64`.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_and_value)]
    overrides: Vec<(String, String)>,
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

impl ConfigSource {
    /// Returns the settings for a command that calls a gateway.
    fn load(self) -> Result<Settings, SettingsProblems> {
        Settings::load(&self.sources())
    }

    /// Loads the settings for a gateway that runs here: files and folders that they name must be usable.
    fn load_to_run(self) -> Result<Settings, SettingsProblems> {
        self.read_to_run().map(|loaded| loaded.settings)
    }

    /// Loads the settings for a gateway that runs here, so that they can be read again.
    fn read_to_run(self) -> Result<LoadedSettings, SettingsProblems> {
        LoadedSettings::read(&Sources { to_run: true, ..self.sources() })
    }

    fn sources(&self) -> Sources {
        let env = settings::environment();
        Sources { file: Some(self.config.clone()), env, flags: self.overrides.clone(), ..Sources::default() }
    }

    /// The files that are read.
    fn files(&self) -> Vec<PathBuf> {
        Sources::file(&self.config).files()
    }
}

/// A complaint about an argument without the words that only programmers know; `None`: it has none of them.
fn in_words(complaint: &str) -> Option<String> {
    let known = [
        ("invalid digit found in string", "it must be a whole number"),
        ("cannot parse integer from empty string", "it must be a whole number"),
        ("number too large to fit in target type", "the number is too large"),
    ];
    let (said, words) = known.into_iter().find(|(said, _)| complaint.contains(said))?;
    Some(complaint.replace(said, words))
}

/// The command line cannot be read, or asks for help: clap's own words, but for a program that wants JSON.
fn misused(error: &clap::Error) -> u8 {
    let wants_json = std::env::args_os().skip(1).take_while(|word| word != "--").any(|word| word == "--json");
    if error.use_stderr() && wants_json {
        let words = error.to_string();
        let words = in_words(&words).unwrap_or(words);
        // What follows is how the command is called, for people.
        let said = words.split("\n\n").next().unwrap_or(&words).trim_start_matches("error: ");
        complain("USAGE", &said.split_whitespace().collect::<Vec<_>>().join(" "), true);
    } else if let Some(said) = in_words(&error.to_string()) {
        remark!("{}", said.trim_end());
    } else {
        // Help that nobody can read is not worth a word.
        let _ = error.print();
    }
    u8::try_from(error.exit_code()).unwrap_or(COULD_NOT_RUN)
}

/// Returns the definition of the command line, which documents are compared with.
pub fn definition() -> Command {
    Cli::command()
}

/// Runs the command that the arguments name.
pub fn run() -> ExitCode {
    let report = std::panic::take_hook();
    caught_panics::report_by(move |panic| report(panic), crate::telemetry::last_words);
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return ExitCode::from(misused(&error)),
    };
    // Most commands read a token or a key.
    if let Err(error) = memory_dumps::forbid() {
        remark!("core dumps cannot be turned off: {error}");
    }
    let code = match cli.command {
        CliCommand::Serve(options) => serve::run(options),
        CliCommand::Init(options) => init::run(*options),
        CliCommand::JoinToken(command) => join_token::run(command),
        CliCommand::Check(options) => check::run(options),
        CliCommand::Health(options) => health::run(options),
        CliCommand::Config(command) => config::run(command),
        CliCommand::Status(options) => status::run(options),
        CliCommand::Doctor(options) => doctor::run(options),
        CliCommand::Top(options) => top::run(options),
        CliCommand::Reload(options) => reload::run(options),
        CliCommand::Log(options) => config::log_level::run(options),
        CliCommand::Peer(command) => peer::run(command),
        CliCommand::Keys(command) => keys::run(command),
        CliCommand::Message(command) => message::run(command),
        CliCommand::Context(command) => context::run(command),
        CliCommand::Events(command) => events::run(command),
        CliCommand::Queue(command) => queue::run(command),
        CliCommand::Quarantine(command) => quarantine::run(command),
        CliCommand::Store(command) => store::run(command),
        CliCommand::Completions(options) => shell::complete(&options),
        CliCommand::Manual(options) => manual::run(&options),
        CliCommand::Man(options) => shell::write_pages(&options),
        CliCommand::Demo(options) => crate::tools::demo::run(&options),
        CliCommand::PeerSim(options) => crate::tools::peer_sim::run(*options),
    };
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_arguments_get_plain_errors() {
        for word in ["x", "", "-1", "99999999999999999999"] {
            let argument = format!("--limit={word}");
            let error = Cli::try_parse_from(["fernpost", "queue", "show", "blue", &argument]).expect_err(word);
            let whole = error.to_string();
            let said = in_words(&whole).unwrap_or(whole);
            assert!(
                said.contains("--limit <LIMIT>") && !said.contains("digit") && !said.contains("target type"),
                "{said}"
            );
        }
    }
}
