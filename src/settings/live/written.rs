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

/// The values of all layers by their keys, without secrets.
#[derive(Debug, Clone, Default)]
pub struct WrittenValues {
    values: BTreeMap<Key, Value>,
    /// Tables of servers and patterns, which count without a value, too.
    tables: BTreeSet<Key>,
    /// Patterns in their order, which decides between them.
    patterns: Vec<String>,
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
                self.values.insert(path.clone(), without_secrets(value));
                return;
            }
        }) else {
            return;
        };
        if is_named(path) {
            self.tables.insert(path.clone());
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
        self.values.contains_key(&key.iter().map(|&segment| segment.to_owned()).collect::<Key>())
    }

    /// Returns these values with the reloadable ones of another configuration.
    #[must_use]
    pub fn adopting(&self, read: &Self) -> Self {
        let kept = self.values.iter().filter(|(key, _)| !is_reloadable(key));
        let taken = read.values.iter().filter(|(key, _)| is_reloadable(key));
        let values = kept.chain(taken).map(|(key, value)| (key.clone(), value.clone())).collect();
        Self { values, tables: read.tables.clone(), patterns: read.patterns.clone() }
    }

    /// Returns the keys whose values differ, in the order of the keys. A server or a pattern that only one of them has is named
    /// without its keys.
    fn differing(&self, other: &Self) -> Vec<Key> {
        let mut found: Vec<Key> = self.tables.symmetric_difference(&other.tables).cloned().collect();
        let keys: BTreeSet<&Key> = self.values.keys().chain(other.values.keys()).collect();
        for key in keys {
            let is_told = found.iter().any(|table| key.starts_with(table));
            if !is_told && !is_same(key, self.values.get(key), other.values.get(key)) {
                found.push(key.clone());
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

/// Returns whether two written values mean the same. An absent value is the compiled default, except in the table of a server or a
/// pattern, which then inherits it.
fn is_same(key: &Key, one: Option<&Value>, other: Option<&Value>) -> bool {
    if one == other {
        return true;
    }
    let inherits = key.len() > 3 && is_named(&key[..3]);
    if inherits && one.is_some() != other.is_some() {
        return false;
    }
    alone(key, one) == alone(key, other)
}

/// Returns the configuration with this value alone.
fn alone(key: &Key, value: Option<&Value>) -> RawSettings {
    let Some(value) = value else { return RawSettings::default() };
    let nested = key.iter().rev().fold(value.clone(), |inner, segment| {
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
