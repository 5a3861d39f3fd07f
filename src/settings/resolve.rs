//! Resolves the values of one peer from defaults, patterns and its own table, key by key, with their origins.

use actors::limits::relay::RelayLimits;
use actors::limits::{PeerLimits, RelayPolicy};
use actors::model::{Seq, ServerName};
use config::{Map, Value, ValueKind};
use serde::Deserialize;

use crate::settings::check::SettingsCheck;
use crate::settings::field_names::fields_of;
use crate::settings::peer_groups::groups;
use crate::settings::sections::peer::PeerSection;
use crate::settings::sections::relay::route;
use crate::settings::values::pattern::NamePattern;
use crate::settings::values::profile::{PeerProfile, ProfilePreset};

/// The origin of a peer's value, the weakest first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ValueOrigin {
    /// The compiled default.
    Default,
    /// The profile of the peer.
    Profile,
    /// `[peers.default]`.
    Peers,
    /// `[peers.pattern."..."]`.
    Pattern(String),
    /// `[peers.server."..."]`.
    Server,
}

/// The tables of the merged `[peers]`.
pub(super) struct PeerTables<'a> {
    default: Option<&'a Map<String, Value>>,
    /// Patterns in the order in which they first appear: a later pattern overrides an earlier one.
    patterns: Vec<(NamePattern, &'a Map<String, Value>)>,
    /// Peers in the order in which they first appear.
    servers: Vec<(ServerName, &'a Map<String, Value>)>,
    relay: RelayLimits,
}

fn table<'a>(within: &'a Value, key: &str) -> Option<&'a Map<String, Value>> {
    let ValueKind::Table(table) = &within.kind else { return None };
    match &table.get(key)?.kind {
        ValueKind::Table(inner) => Some(inner),
        _ => None,
    }
}

fn tables(within: Option<&Map<String, Value>>) -> impl Iterator<Item = (&String, &Map<String, Value>)> {
    within.into_iter().flatten().filter_map(|(name, value)| match &value.kind {
        ValueKind::Table(inner) => Some((name, inner)),
        _ => None,
    })
}

impl<'a> PeerTables<'a> {
    /// Reads the tables of the merged configuration. Invalid names are reported.
    pub(super) fn read(merged: &'a Value, relay: RelayLimits, check: &mut SettingsCheck<'_>) -> Self {
        let mut found = Self { default: None, patterns: Vec::new(), servers: Vec::new(), relay };
        let ValueKind::Table(root) = &merged.kind else { return found };
        let Some(peers) = root.get("peers") else { return found };
        found.default = table(peers, "default");
        for (name, inner) in tables(table(peers, "pattern")) {
            match name.parse() {
                Ok(pattern) => found.patterns.push((pattern, inner)),
                Err(why) => check.invalid(&["peers", "pattern", name], why),
            }
        }
        for (name, inner) in tables(table(peers, "server")) {
            match name.parse() {
                Ok(server) => found.servers.push((server, inner)),
                Err(why) => check.invalid(&["peers", "server", name], why),
            }
        }
        found
    }

    /// Returns the configured peers.
    pub(super) fn listed(&self) -> impl Iterator<Item = &ServerName> {
        self.servers.iter().map(|(server, _)| server)
    }

    /// Returns the patterns that match no listed peer.
    pub(super) fn idle_patterns(&self) -> impl Iterator<Item = &NamePattern> {
        let is_idle = |pattern: &&NamePattern| !self.listed().any(|server| pattern.matches(server));
        self.patterns.iter().map(|(pattern, _)| pattern).filter(is_idle)
    }

    /// Returns the tables that hold for strangers, too.
    pub(super) fn of_strangers(&self) -> StrangersTables {
        let limits = |table: &Map<String, Value>| {
            let mut table = table.clone();
            LINK_KEYS.iter().for_each(|key| drop(table.shift_remove(*key)));
            table
        };
        let patterns = self.patterns.iter().map(|(pattern, table)| (pattern.clone(), limits(table)));
        let (default, patterns) = (self.default.map(limits).unwrap_or_default(), patterns.collect());
        StrangersTables { default, patterns, relay: self.relay.clone() }
    }

    /// Returns the values of a peer; for `None` those of `[peers.default]` alone.
    pub(super) fn resolve(&self, server: Option<&ServerName>) -> ResolvedPeer {
        let mut laid = LayeredValues::default();
        if let Some(default) = self.default {
            laid.table(default, &ValueOrigin::Peers);
        }
        if let Some(server) = server {
            for (pattern, table) in self.patterns.iter().filter(|(pattern, _)| pattern.matches(server)) {
                laid.table(table, &ValueOrigin::Pattern(pattern.to_string()));
            }
            for (_, table) in self.servers.iter().filter(|(name, _)| name == server) {
                laid.table(table, &ValueOrigin::Server);
            }
        }
        // The profile is a key that any layer may set, so its values are applied last, below all others.
        let profile = laid.section().profile;
        laid.apply_profile_defaults(profile);
        let section = laid.section();
        let relay = self.relay.clone();
        ResolvedPeer { server: server.cloned(), section, values: laid.values, origins: laid.origins, relay }
    }
}

/// Keys of a peer that say which server it is and how it is reached: they mean nothing for servers that nobody configured.
pub(super) const LINK_KEYS: [&str; 12] = [
    "profile",
    "dialect",
    "addresses",
    "auth",
    "allow_from",
    "keys",
    "fingerprints",
    "encoding",
    "groups",
    "insecure",
    "reach_tests",
    "route",
];

/// The tables whose limits hold for strangers, too.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct StrangersTables {
    default: Map<String, Value>,
    patterns: Vec<(NamePattern, Map<String, Value>)>,
    relay: RelayLimits,
}

impl StrangersTables {
    /// Returns the number of patterns.
    pub(super) fn patterns(&self) -> usize {
        self.patterns.len()
    }

    /// Returns the places of the patterns that match a server.
    pub(super) fn matching(&self, server: &ServerName) -> Vec<usize> {
        let matching = self.patterns.iter().enumerate().filter(|(_, (pattern, _))| pattern.matches(server));
        matching.map(|(place, _)| place).collect()
    }

    /// Returns the values of strangers that these patterns match.
    pub(super) fn resolve(&self, patterns: &[usize]) -> ResolvedPeer {
        let mut laid = LayeredValues::default();
        laid.table(&self.default, &ValueOrigin::Peers);
        for (pattern, table) in patterns.iter().map(|place| &self.patterns[*place]) {
            laid.table(table, &ValueOrigin::Pattern(pattern.to_string()));
        }
        let section = laid.section();
        let relay = self.relay.clone();
        ResolvedPeer { server: None, section, values: laid.values, origins: laid.origins, relay }
    }
}

/// Values in layers, with their origins.
struct LayeredValues {
    values: Map<String, Value>,
    origins: Vec<(&'static str, ValueOrigin)>,
}

impl Default for LayeredValues {
    fn default() -> Self {
        let keys = fields_of::<PeerSection>().iter();
        Self { values: Map::new(), origins: keys.map(|key| (*key, ValueOrigin::Default)).collect() }
    }
}

impl LayeredValues {
    /// Adds a table above the existing values.
    fn table(&mut self, table: &Map<String, Value>, origin: &ValueOrigin) {
        for (key, value) in table {
            self.put(key, value.clone(), origin);
        }
    }

    /// Adds the values of a profile for keys that are not set.
    fn apply_profile_defaults(&mut self, profile: PeerProfile) {
        for (key, preset) in profile.defaults() {
            if !self.values.contains_key(*key) {
                let value = match preset {
                    ProfilePreset::Text(text) => Value::from(*text),
                    ProfilePreset::Number(number) => Value::from(*number),
                    ProfilePreset::Yes => Value::from(true),
                };
                self.put(key, value, &ValueOrigin::Profile);
            }
        }
    }

    fn put(&mut self, key: &str, value: Value, origin: &ValueOrigin) {
        self.values.insert(key.to_owned(), value);
        if let Some(entry) = self.origins.iter_mut().find(|(name, _)| *name == key) {
            entry.1 = origin.clone();
        }
    }

    fn section(&self) -> PeerSection {
        let section = PeerSection::deserialize(Value::new(None, ValueKind::Table(self.values.clone())));
        section.expect("each value was read alone before the layers were merged")
    }
}

/// The values of one peer, unchecked.
pub(super) struct ResolvedPeer {
    pub(super) server: Option<ServerName>,
    pub(super) section: PeerSection,
    /// Values that are set, as they are written.
    pub(super) values: Map<String, Value>,
    pub(super) origins: Vec<(&'static str, ValueOrigin)>,
    /// Limits of delivery through third servers, without the route.
    relay: RelayLimits,
}

impl ResolvedPeer {
    pub(super) fn origin(&self, key: &str) -> &ValueOrigin {
        self.origins.iter().find(|(name, _)| *name == key).map_or(&ValueOrigin::Default, |(_, origin)| origin)
    }

    /// Returns the full key under which a value was given.
    pub(super) fn key<'a>(&'a self, key: &'a str) -> Vec<&'a str> {
        match (self.origin(key), &self.server) {
            (ValueOrigin::Pattern(pattern), _) => vec!["peers", "pattern", pattern, key],
            (ValueOrigin::Server | ValueOrigin::Profile | ValueOrigin::Default, Some(server)) => {
                vec!["peers", "server", server.as_str(), key]
            }
            (ValueOrigin::Peers, _) | (_, None) => vec!["peers", "default", key],
        }
    }

    /// Checks and returns the limits.
    pub(super) fn limits(&self, check: &mut SettingsCheck<'_>) -> PeerLimits {
        let mut limits = self.section.limits();
        let is_of_server = *self.origin("groups") == ValueOrigin::Server;
        limits.groups = groups(&self.section, is_of_server, &self.key("groups"), check);
        match route(&self.section.route) {
            Ok(route) => limits.relay = RelayLimits { route, ..self.relay.clone() },
            Err(why) => check.invalid(&self.key("route"), why),
        }
        for (key, why) in self.section.zeros() {
            check.invalid(&self.key(key), why);
        }
        if !(0.0..=1.0).contains(&limits.jitter) {
            check.invalid(&self.key("jitter"), format!("{} is not between 0 and 1", limits.jitter));
        }
        if limits.expect_seq.is_some_and(|seq| seq.0 == 0) {
            check.invalid(&self.key("expect_seq"), "numbers begin at 1");
        }
        if limits.expect_seq.is_some_and(|seq| seq >= Seq::LIMIT) {
            check.invalid(&self.key("expect_seq"), format!("numbers must be below {}", Seq::LIMIT));
        }
        if limits.accept_relayed == RelayPolicy::Any && self.section.profile != PeerProfile::Synapse2014 {
            let why = "\"any\" accepts PDUs without a proof of who made them, and is only for servers that cannot sign: it requires \
                `profile` = \"synapse-2014\"; use \"signed\"";
            check.invalid(&self.key("accept_relayed"), why);
        }
        self.in_order(check, ("backoff_min", limits.backoff_min), ("backoff_max", limits.backoff_max));
        let (connect, total) = (limits.connect_timeout, limits.request_timeout);
        self.in_order(check, ("connect_timeout", connect), ("request_timeout", total));
        limits
    }

    /// Checks that the first is not longer than the second. The problem is reported for the one that was set last.
    fn in_order(
        &self,
        check: &mut SettingsCheck<'_>,
        less: (&str, std::time::Duration),
        more: (&str, std::time::Duration),
    ) {
        if less.1 > more.1 {
            let at = if self.origin(more.0) > self.origin(less.0) { more.0 } else { less.0 };
            let (short, long) = (humantime::format_duration(less.1), humantime::format_duration(more.1));
            check.invalid(
                &self.key(at),
                format!("`{}` is {short} and longer than `{}`, which is {long}", less.0, more.0),
            );
        }
    }
}
