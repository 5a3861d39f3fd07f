//! `fernpost keys`: the signing keys of this server. The commands read and write `data_dir/keys`, with or without a running gateway.

use std::time::{Duration, SystemTime};

use clap::{Args, Subcommand};

use crate::api::keys::{KeyList, KeyRow};
use crate::app::SystemClock;
use crate::cli::failure::CommandFailure;
use crate::cli::{ConfigSource, print, print_json};
use crate::identity::key_folder::{KeyFolder, KeyFolderError};
use crate::identity::key_id::KeyId;
use crate::identity::key_ring::{KeyRing, KeyState, StoredKey};
use crate::terminal::exit_code::FINE;
use crate::terminal::table::ColumnAlign::Left;
use crate::terminal::table::TextTable;

/// Commands for signing keys.
#[derive(Debug, Subcommand)]
pub(super) enum KeysCommand {
    /// Make a key. The first one signs at once; a further one signs after the overlap.
    New {
        /// Id of the key: 1 to 64 of A-Z, a-z, 0-9, ".", "_" and "-"; without it the next number is used.
        #[arg(long)]
        id: Option<KeyId>,
        /// Time during which the key is only published, so that peers know it before it signs.
        #[arg(long, default_value = "1h", value_parser = overlap)]
        overlap: Duration,
        #[command(flatten)]
        common: KeysArgs,
    },
    /// List all keys with their public halves.
    List {
        #[command(flatten)]
        common: KeysArgs,
    },
    /// Make a key that takes over after the overlap; old keys stay published.
    Rotate {
        /// Time during which the new key is only published, so that peers know it before it signs.
        #[arg(long, default_value = "1h", value_parser = overlap, conflicts_with = "now")]
        overlap: Duration,
        /// Let the new key, or one that waits, sign at once: peers that cached the directory refuse it until they fetch it again.
        #[arg(long)]
        now: bool,
        #[command(flatten)]
        common: KeysArgs,
    },
}

/// Arguments of every command for keys.
#[derive(Debug, Args)]
pub(super) struct KeysArgs {
    /// Print the answer as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    source: ConfigSource,
}

/// Longest overlap: a longer one is a slip, and its end may lie beyond what a date can hold.
const OVERLAP_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

fn overlap(text: &str) -> Result<Duration, String> {
    let overlap = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if overlap > OVERLAP_MAX {
        return Err("an overlap is a year at most".to_owned());
    }
    Ok(overlap)
}

/// Runs a command and returns its exit code.
pub(super) fn run(command: KeysCommand) -> u8 {
    let now = SystemClock::time();
    let (KeysCommand::New { common, .. } | KeysCommand::List { common } | KeysCommand::Rotate { common, .. }) =
        &command;
    let json = common.json;
    match run_in_folder(command, now) {
        Ok(code) => code,
        Err(failure) => failure.tell(json),
    }
}

fn run_in_folder(command: KeysCommand, now: SystemTime) -> Result<u8, CommandFailure> {
    match command {
        KeysCommand::List { common } => {
            let (_, ring) = open(common.source)?;
            Ok(list(&ring, now, common.json))
        }
        KeysCommand::New { id, overlap, common } => {
            let (folder, ring) = open(common.source)?;
            let signs_from = if ring.keys().is_empty() { now } else { now + overlap };
            let key = folder.create(id, now, signs_from).map_err(|error| failure(&error))?;
            Ok(made(&key, now, common.json))
        }
        KeysCommand::Rotate { overlap, now: at_once, common } => {
            let (folder, ring) = open(common.source)?;
            let waiting = ring.states(now).find(|(_, state)| *state == KeyState::Next).map(|(key, _)| key.clone());
            let key = match waiting {
                Some(key) if at_once => folder.set_signs_from(&key, now),
                Some(key) => return Err(already_waits(&key)),
                None => folder.create(None, now, if at_once { now } else { now + overlap }),
            };
            Ok(made(&key.map_err(|error| failure(&error))?, now, common.json))
        }
    }
}

/// Returns the folder of the keys and what it holds.
fn open(source: ConfigSource) -> Result<(KeyFolder, KeyRing), CommandFailure> {
    let settings = source.load().map_err(|problems| CommandFailure::from(&problems))?;
    let folder = KeyFolder::in_data_dir(&settings.server.data_dir);
    let (ring, _) = folder.load(settings.server.allow_open_secrets).map_err(|error| failure(&error))?;
    Ok((folder, ring))
}

fn failure(error: &KeyFolderError) -> CommandFailure {
    let words = error.to_string();
    match error {
        KeyFolderError::Exists(_) => CommandFailure::Misused(words),
        KeyFolderError::OpenMode { .. } | KeyFolderError::OpenFolder { .. } => {
            CommandFailure::Wrong { code: "OPEN_MODE", words }
        }
        KeyFolderError::TooMany { .. } => CommandFailure::Wrong { code: "TOO_MANY_KEYS", words },
        KeyFolderError::Malformed { .. } => CommandFailure::Wrong { code: "BAD_KEY", words },
        KeyFolderError::Io { .. } | KeyFolderError::NoRandom(_) => CommandFailure::Broken { code: "KEYS", words },
    }
}

fn already_waits(key: &StoredKey) -> CommandFailure {
    let (id, time) = (key.key.id(), rfc3339(key.signs_from));
    let words = format!("key {id} is published and signs from {time}; wait until then, or let it sign now with --now");
    CommandFailure::Wrong { code: "KEY_WAITS", words }
}

fn list(ring: &KeyRing, now: SystemTime, json: bool) -> u8 {
    let keys: Vec<KeyRow> = ring.states(now).map(|(key, state)| row(key, state)).collect();
    if json {
        return print_json(&serde_json::to_string(&KeyList { keys }).expect("texts always serialize"), FINE);
    }
    if keys.is_empty() {
        return print(
            "no signing key yet; `fernpost serve` makes the first one, and so does `fernpost keys new`\n",
            FINE,
        );
    }
    let mut table =
        TextTable::new([("ID", Left), ("STATE", Left), ("SIGNS FROM", Left), ("CREATED", Left), ("PUBLIC", Left)]);
    for KeyRow { id, public, created, state, signs_from } in keys {
        table.row(vec![id, state.into_owned(), signs_from, created, public]);
    }
    print(&table.text(), FINE)
}

fn made(key: &StoredKey, now: SystemTime, json: bool) -> u8 {
    let state = if key.signs_from > now { KeyState::Next } else { KeyState::Active };
    let row = row(key, state);
    if json {
        return print_json(&serde_json::to_string(&row).expect("texts always serialize"), FINE);
    }
    let KeyRow { id, public, signs_from, .. } = row;
    let text = format!(
        "key {id} signs from {signs_from}\n  pin it at peers as \"{id}:{public}\"\n  a running gateway takes it over at `fernpost reload`\n"
    );
    print(&text, FINE)
}

fn row(key: &StoredKey, state: KeyState) -> KeyRow {
    KeyRow {
        id: key.key.id().to_string(),
        public: key.key.public().to_base64(),
        created: rfc3339(key.created),
        state: state.as_str().into(),
        signs_from: rfc3339(key.signs_from),
    }
}

fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}
