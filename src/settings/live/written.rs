//! The values of a configuration as they were written, and the difference between two configurations.

use std::collections::{BTreeMap, BTreeSet};

use config::{Map, Value, ValueKind};
use serde::Deserialize;

use crate::settings::check::{Key, written};
use crate::settings::live::reloadable::is_reloadable;
use crate::settings::schema::{self, RawSettings};

/// Returns whether the value of a key is a secret, which is neither kept nor shown.
pub(crate) fn is_secret(key: &[impl AsRef<str>]) -> bool {
    key.last().is_some_and(|last| matches!(last.as_ref(), "token" | "secret"))
}

/// Returns the value without the secrets of the tables in it.
fn without_secrets(value: &Value) -> Value {
    let kind = match &value.kind {
        ValueKind::Table(table) => {
            let open = table.iter().filter(|(key, _)| !is_secret(&[key]));
            ValueKind::Table(open.map(|(key, value)| (key.clone(), without_secrets(value))).collect())
        }
        ValueKind::Array(items) => ValueKind::Array(items.iter().map(without_secrets).collect()),
        kind => kind.clone(),
    };
    Value::new(None, kind)
}

/// The values of all layers by their keys, without secrets. They are kept as texts, because of ten thousand peers each with a few
/// values the trees that were read would take ten megabytes for as long as the gateway runs.
#[derive(Debug, Clone, Default)]
pub struct WrittenValues {
    values: BTreeMap<PackedKey, Box<str>>,
    /// Tables of servers and patterns, which count without a value, too.
    tables: BTreeSet<PackedKey>,
    /// Patterns in their order, which decides between them.
    patterns: Vec<String>,
}

/// The segments of a key with a NUL between them, which no segment contains. The order is that of the keys.
type PackedKey = Box<str>;

fn packed(key: &[impl AsRef<str>]) -> PackedKey {
    let mut text = String::new();
    for segment in key {
        if !text.is_empty() {
            text.push('\0');
        }
        text.push_str(segment.as_ref());
    }
    text.into()
}

fn unpacked(key: &str) -> Key {
    key.split('\0').map(str::to_owned).collect()
}

/// Returns a value as text.
fn text_of(value: &Value) -> Box<str> {
    serde_json::Value::deserialize(value.clone()).unwrap_or_default().to_string().into()
}

impl WrittenValues {
    /// Returns the values of merged layers.
    pub(crate) fn of(merged: &Value) -> Self {
        let mut values = Self::default();
        values.add(&mut Key::new(), merged);
        values
    }

    fn add(&mut self, path: &mut Key, value: &Value) {
        let ValueKind::Table(table) = (match schema::names(path) {
            Some(_) => &value.kind,
            None if is_secret(path) => return,
            None => {
                self.values.insert(packed(path), text_of(&without_secrets(value)));
                return;
            }
        }) else {
            return;
        };
        if is_named(path) {
            self.tables.insert(packed(path));
            if path[1] == "pattern" {
                self.patterns.push(path[2].clone());
            }
        }
        for (key, inner) in table {
            path.push(key.clone());
            self.add(path, inner);
            path.pop();
        }
    }

    /// Returns whether a key was written.
    pub(crate) fn has(&self, key: &[&str]) -> bool {
        self.values.contains_key(&packed(key))
    }

    /// Returns the text of a value.
    fn text(&self, key: &PackedKey) -> Option<&str> {
        self.values.get(key).map(|text| &**text)
    }

    /// Returns these values with the reloadable ones of another configuration.
    #[must_use]
    pub fn adopting(&self, read: &Self) -> Self {
        let kept = self.values.iter().filter(|(key, _)| !is_reloadable(&unpacked(key)));
        let taken = read.values.iter().filter(|(key, _)| is_reloadable(&unpacked(key)));
        let values = kept.chain(taken).map(|(key, value)| (key.clone(), value.clone())).collect();
        Self { values, tables: read.tables.clone(), patterns: read.patterns.clone() }
    }

    /// Returns the keys whose values differ, in the order of the keys. A server or a pattern that only one of them has is named
    /// without its keys.
    fn differing(&self, other: &Self) -> Vec<Key> {
        let mut found: Vec<Key> = self.tables.symmetric_difference(&other.tables).map(|key| unpacked(key)).collect();
        let keys: BTreeSet<&PackedKey> = self.values.keys().chain(other.values.keys()).collect();
        for packed in keys {
            let (one, other) = (self.text(packed), other.text(packed));
            if one == other {
                continue;
            }
            let key = unpacked(packed);
            let is_told = found.iter().any(|table| key.starts_with(table));
            if !is_told && !is_same(&key, one, other) {
                found.push(key);
            }
        }
        let both = |patterns: &[String], others: &[String]| -> Vec<String> {
            patterns.iter().filter(|pattern| others.contains(pattern)).cloned().collect()
        };
        if both(&self.patterns, &other.patterns) != both(&other.patterns, &self.patterns) {
            found.push(vec!["peers".to_owned(), "pattern".to_owned()]);
        }
        found.sort_unstable();
        found
    }
}

/// Returns the key as it would be written in TOML, the name of a server or a pattern always in quotes.
pub(crate) fn with_quotes(key: &[String]) -> String {
    match key {
        [peers, kind, name, rest @ ..] if is_named(&key[..3]) => {
            let rest: String = rest.iter().map(|segment| format!(".{segment}")).collect();
            format!("{peers}.{kind}.\"{}\"{rest}", name.escape_debug())
        }
        key => written(key),
    }
}

/// Returns whether the table is that of a server or of a pattern.
fn is_named(path: &[String]) -> bool {
    matches!(path, [peers, kind, _] if peers == "peers" && matches!(kind.as_str(), "server" | "pattern"))
}

/// Returns whether two different written values mean the same. An absent value is the compiled default, except in the table of a
/// server or a pattern, which then inherits it.
fn is_same(key: &Key, one: Option<&str>, other: Option<&str>) -> bool {
    let inherits = key.len() > 3 && is_named(&key[..3]);
    if inherits && one.is_some() != other.is_some() {
        return false;
    }
    alone(key, one) == alone(key, other)
}

/// Returns the configuration with this value alone.
fn alone(key: &Key, value: Option<&str>) -> RawSettings {
    let Some(text) = value else { return RawSettings::default() };
    let value: Value = serde_json::from_str(text).expect("it was written as JSON");
    let nested = key.iter().rev().fold(value, |inner, segment| {
        let table: Map<String, Value> = [(segment.clone(), inner)].into_iter().collect();
        table.into()
    });
    RawSettings::deserialize(nested).expect("each value was read alone before the layers were merged")
}

/// The keys in which a configuration differs from the one in use.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SettingsDiff {
    /// Keys whose changes are applied.
    pub changed: Vec<String>,
    /// Keys whose changes wait for a restart.
    pub restart: Vec<String>,
}

impl SettingsDiff {
    /// Compares the values in use with those that were read.
    pub(crate) fn between(used: &WrittenValues, read: &WrittenValues) -> Self {
        let (changed, restart): (Vec<Key>, Vec<Key>) =
            used.differing(read).into_iter().partition(|key| is_reloadable(key));
        let text = |keys: Vec<Key>| keys.iter().map(|key| with_quotes(key)).collect();
        Self { changed: text(changed), restart: text(restart) }
    }
}
