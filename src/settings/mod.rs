//! Settings: compiled defaults, file, `conf.d`, environment and flags become plain, validated values.
//!
//! Each layer is read alone first (`layers`), so that an unknown key or a bad value is named where it stands; then the
//! layers are merged and checked in one pass (`check`) that goes on to the end: all problems are reported at once. A
//! section is one file: what is written (`...Section`), what it becomes, and how the one is checked into the other. The
//! manual, `config/fernpost.toml`, holds every key with its default.
//!
//! # Who wins
//! Flags over environment over `conf.d` (a later name over an earlier one) over the file over the compiled defaults, key by
//! key; a list is replaced, never extended. For a peer: its own table over patterns over `[peers.default]`. Patterns count in
//! the order in which they first appear, the file before `conf.d`; a later one wins, key by key. All layers are merged before
//! patterns are applied, so a pattern in the file wins over a default in the environment.

mod address;
mod admin;
mod check;
mod contexts;
mod effective;
mod federation;
mod feed;
mod layers;
mod messenger;
mod network;
mod pattern;
mod peer;
mod peer_section;
mod peers;
mod problem;
mod range;
mod resolve;
mod schema;
mod secret;
mod server;
mod shared_ranges;
mod store;
mod units;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use actors::limits::OverloadLimits;
use serde::Deserialize;

pub use address::{Address, BadAddress};
pub use admin::Admin;
pub use federation::{Federation, Mode};
pub use feed::Feed;
pub use messenger::Messenger;
pub use network::Network;
pub use pattern::{BadPattern, Pattern};
pub use peer::{Auth, Dialect, Link, Peer, Profile};
pub use peers::Peers;
pub use problem::{Fault, Place, Problem, Problems};
pub use resolve::Origin;
pub use secret::Secret;
pub use server::Server;
pub use store::{Backend, Store};

use check::{Check, Found};
use schema::Raw;

/// Where settings come from, beside the compiled defaults.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The configuration file; `conf.d/*.toml` beside it is read too. `None`: the defaults hold, and paths are relative to
    /// the working folder.
    pub file: Option<PathBuf>,
    /// A configuration that is in memory, and the folder its paths are relative to; taken instead of a file.
    pub text: Option<(String, PathBuf)>,
    /// Variables by name; those that do not start with `FERNPOST__` are passed over.
    pub env: Vec<(String, String)>,
    /// Overrides given on the command line: a key as TOML writes it, and its value.
    pub flags: Vec<(String, String)>,
    /// A gateway is to run on it, here and by this user: what it names on this machine has to be usable. An operator who only
    /// talks to a gateway may have no right to its files.
    pub to_run: bool,
}

impl Sources {
    /// A configuration file and nothing else.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self { file: Some(path.into()), ..Self::default() }
    }

    /// A configuration that is in memory, with the folder its paths are relative to.
    pub fn text(toml: impl Into<String>, folder: impl Into<PathBuf>) -> Self {
        Self { text: Some((toml.into(), folder.into())), ..Self::default() }
    }

    /// The files that are read, the main one first; none where the configuration is in memory.
    pub fn files(&self) -> Vec<PathBuf> {
        match (&self.text, &self.file) {
            (None, Some(main)) => layers::files(main, self.folder(), &mut Found::default()),
            _ => Vec::new(),
        }
    }

    fn folder(&self) -> &Path {
        match (&self.text, &self.file) {
            (Some((_, folder)), _) => folder,
            (None, Some(file)) => file.parent().unwrap_or(Path::new("")),
            (None, None) => Path::new(""),
        }
    }
}

/// The variables of this process that are configuration.
pub fn environment() -> Vec<(String, String)> {
    let readable = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
    let ours = readable.filter(|(name, _)| name.starts_with(layers::PREFIX));
    ours.map(|(name, value)| (name, value.to_string_lossy().into_owned())).collect()
}

/// Everything that was configured, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Who we are.
    pub server: Server,
    /// The listener that peers reach.
    pub federation: Federation,
    /// The listener of our own messenger.
    pub messenger: Messenger,
    /// The operator's listener.
    pub admin: Admin,
    /// The store on disk.
    pub store: Store,
    /// The messenger's feed.
    pub feed: Feed,
    /// What outbound requests may reach.
    pub network: Network,
    /// Who is a peer; a roster for the core.
    pub peers: Arc<Peers>,
    /// What holds and could be better, for the log.
    pub notes: Vec<String>,
}

impl Settings {
    /// Read and check everything; what is wrong is told all at once.
    pub fn load(sources: &Sources) -> Result<Self, Problems> {
        let mut found = Found::default();
        let merged = layers::merge(sources, &mut found);
        if found.lacks_a_file() {
            return Err(Problems(found.into_problems()));
        }
        let raw = Raw::deserialize(merged.clone()).expect("each value was read alone before the layers were merged");
        let check = &mut Check { found: &mut found, folder: sources.folder(), to_run: sources.to_run };

        let listeners = [
            ("federation", raw.federation.listen.0),
            ("messenger", raw.messenger.listen.0),
            ("admin", raw.admin.listen.0),
        ];
        let server = raw.server.check(check);
        let federation = raw.federation.check(check);
        let messenger = raw.messenger.check(check);
        let admin = raw.admin.check(check);
        keep_apart(&listeners, check);
        let store = raw.store.check(check);
        let own = server.as_ref().map(|server| &server.name);
        let contexts = raw.contexts.check(check);
        let (feed, network) = (raw.feed.check(check), raw.network.check(check));
        let overload =
            OverloadLimits { feed_high: feed.high_water, feed_low: feed.low_water, min_free: store.min_free };
        let resident_max = raw.peers.check(check);
        let peers = Peers::read(&merged, own, federation.deny.clone(), contexts, check).under(overload, resident_max);
        let peers = Arc::new(peers);

        let notes = std::mem::take(&mut found.notes);
        let problems = found.into_problems();
        match server {
            Some(server) if problems.is_empty() => {
                Ok(Self { server, federation, messenger, admin, store, feed, network, peers, notes })
            }
            _ => Err(Problems(problems)),
        }
    }

    /// The manual: every key with its default and a sentence.
    pub fn defaults_toml() -> &'static str {
        include_str!("../../config/fernpost.toml")
    }
}

/// Two listeners cannot have the same port, unless the system chooses it.
fn keep_apart(listeners: &[(&str, SocketAddr)], check: &mut Check<'_>) {
    for (i, (section, listen)) in listeners.iter().enumerate() {
        for (other, taken) in &listeners[..i] {
            let same_ip = listen.ip() == taken.ip() || listen.ip().is_unspecified() || taken.ip().is_unspecified();
            if listen.port() != 0 && listen.port() == taken.port() && same_ip {
                check.invalid(
                    &[section, "listen"],
                    format!("{listen} is taken by `{other}.listen`; choose another port"),
                );
            }
        }
    }
}
