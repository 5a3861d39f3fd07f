//! The effective values of a configuration, each with the place that it comes from. Secrets are left out.

use actors::limits::relay::RelayLimits;
use actors::model::ServerName;
use config::{Value, ValueKind};
use serde::Deserialize;
use serde_json::Value as Json;

use crate::settings::check::{CheckReport, Key, SettingsCheck};
use crate::settings::field_names::fields_of;
use crate::settings::live::written::{is_secret, with_quotes};
use crate::settings::problem::ProblemPlace;
use crate::settings::resolve::{PeerTables, ValueOrigin};
use crate::settings::schema::{self, KnownNames};
use crate::settings::sections::peer::PeerSection;
use crate::settings::{Settings, SettingsProblems, Sources, layers};

/// Text in place of a secret.
const HIDDEN: &str = "***";

/// Text for a value that nothing sets.
const BY_DEFAULT: &str = "default";

/// One value of a configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct ShownValue {
    /// Full key.
    pub key: String,
    /// Effective value; null if the key is not set and has no default.
    pub value: Json,
    /// Place of the value: file and line, variable, flag, pattern, profile, or "default".
    pub from: String,
}

/// A checked configuration of which values are shown.
struct ShownConfiguration {
    merged: Value,
    found: CheckReport,
    /// Compiled defaults.
    defaults: toml::Table,
}

impl ShownValue {
    /// Returns every value of a configuration, in the order of the manual; those of servers and patterns as they are written.
    pub fn all(sources: &Sources) -> Result<Vec<Self>, SettingsProblems> {
        let shown = ShownConfiguration::read(sources)?;
        let mut values = Vec::new();
        shown.add(&mut Key::new(), Some(&shown.merged), &mut values);
        Ok(values)
    }

    /// Returns the effective values of a peer; `None` if it is not listed.
    pub fn of_peer(sources: &Sources, server: &ServerName) -> Result<Option<Vec<Self>>, SettingsProblems> {
        Ok(ShownConfiguration::read(sources)?.peer(sources, server))
    }
}

impl ShownConfiguration {
    fn read(sources: &Sources) -> Result<Self, SettingsProblems> {
        let mut found = CheckReport::default();
        let merged = layers::merge(sources, &mut found);
        Settings::check(&merged, sources, &mut found)?;
        let defaults = toml::from_str(Settings::defaults_toml()).expect("the manual is TOML, as a test proves");
        Ok(Self { merged, found, defaults })
    }

    fn add(&self, path: &mut Key, value: Option<&Value>, values: &mut Vec<ShownValue>) {
        let table = match value.map(|value| &value.kind) {
            Some(ValueKind::Table(table)) => Some(table),
            _ => None,
        };
        let names: Vec<String> = match schema::names(path) {
            None => return values.push(self.value(path, value)),
            Some(KnownNames::Any) => table.into_iter().flatten().map(|(name, _)| name.clone()).collect(),
            Some(KnownNames::Fixed(fields)) => {
                let is_written = |field: &&&str| table.is_some_and(|table| table.contains_key(**field));
                // A server or a pattern inherits what is not written there.
                let inherits = matches!(path.as_slice(), [_, kind, _] if kind == "server" || kind == "pattern");
                fields.iter().filter(|field| !inherits || is_written(field)).map(|&field| field.to_owned()).collect()
            }
        };
        for name in names {
            let inner = table.and_then(|table| table.get(&name));
            path.push(name);
            self.add(path, inner, values);
            path.pop();
        }
    }

    fn value(&self, path: &[String], value: Option<&Value>) -> ShownValue {
        let from = value.and_then(|_| self.found.places.get(path)).map_or_else(|| BY_DEFAULT.to_owned(), place_words);
        let shown = value.map_or_else(|| self.default(path), json);
        ShownValue { key: with_quotes(path), value: hidden(path, shown), from }
    }

    /// Returns the compiled default of a key; null if it has none.
    fn default(&self, path: &[String]) -> Json {
        let (first, rest) = path.split_first().expect("a key has a segment");
        let found = rest.iter().try_fold(self.defaults.get(first), |at, segment| Some(at?.get(segment)));
        found.flatten().and_then(|value| serde_json::to_value(value).ok()).unwrap_or_default()
    }

    fn peer(&mut self, sources: &Sources, server: &ServerName) -> Option<Vec<ShownValue>> {
        let (found, folder) = (&mut self.found, sources.folder());
        let check = &mut SettingsCheck { found, folder, to_run: sources.to_run, allow_open_secrets: true };
        let tables = PeerTables::read(&self.merged, RelayLimits::default(), check);
        let is_listed = tables.listed().any(|name| name == server);
        let resolved = tables.resolve(Some(server));
        let shown = |key: &&'static str| {
            let place = |table: &[&str]| {
                let path: Key = table.iter().chain([key]).map(|&segment| segment.to_owned()).collect();
                self.found.places.get(&path).map(place_words).unwrap_or_default()
            };
            let from = match resolved.origin(key) {
                ValueOrigin::Default => BY_DEFAULT.to_owned(),
                ValueOrigin::Profile => format!("profile \"{}\"", resolved.section.profile.as_str()),
                ValueOrigin::Peers => format!("peers.default ({})", place(&["peers", "default"])),
                ValueOrigin::Pattern(pattern) => {
                    format!("pattern \"{pattern}\" ({})", place(&["peers", "pattern", pattern]))
                }
                ValueOrigin::Server => place(&["peers", "server", server.as_str()]),
            };
            let segments = |table: &str, name: &str| -> Key {
                [&["peers", table], [name, *key].as_slice()]
                    .concat()
                    .iter()
                    .map(|&segment| segment.to_owned())
                    .collect()
            };
            let default = || self.default(&["peers".to_owned(), "default".to_owned(), (*key).to_owned()]);
            let value = resolved.values.get(*key).map_or_else(default, json);
            ShownValue { key: with_quotes(&segments("server", server.as_str())), value: hidden(&[key], value), from }
        };
        is_listed.then(|| fields_of::<PeerSection>().iter().map(shown).collect())
    }
}

fn hidden(key: &[impl AsRef<str>], value: Json) -> Json {
    match value {
        Json::Null => Json::Null,
        _ if is_secret(key) => HIDDEN.into(),
        Json::Array(items) => items.into_iter().map(|item| hidden(key, item)).collect(),
        Json::Object(members) => {
            let members = members.into_iter().map(|(name, value)| (name.clone(), hidden(&[name], value)));
            Json::Object(members.collect())
        }
        value => value,
    }
}

fn json(value: &Value) -> Json {
    Json::deserialize(value.clone()).unwrap_or_default()
}

fn place_words(place: &ProblemPlace) -> String {
    match place {
        ProblemPlace::File { .. } => place.to_string(),
        ProblemPlace::Variable(name) => name.clone(),
        ProblemPlace::Flag => "--set".to_owned(),
    }
}
