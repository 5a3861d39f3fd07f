//! Reads the layers one by one, so that a problem is reported at its place, and merges them with the `config` crate.

use std::path::{Path, PathBuf};

use config::{Config, ConfigError, Map, Source, Value, ValueKind};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::Sources;
use super::check::{CheckReport, Key, written};
use super::problem::{ProblemKind, ProblemPlace, SettingsProblem};
use super::schema::{self, KnownNames, RawSettings};
use crate::json::serde_errors::{SourceFormat, in_words};

/// Prefix of the environment variables of the configuration.
pub(super) const PREFIX: &str = "FERNPOST__";

/// One layer: a table of values that each fit their key.
#[derive(Debug, Clone, Default)]
struct SettingsLayer(Map<String, Value>);

impl Source for SettingsLayer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.0.clone())
    }
}

/// Merges all layers, the strongest last: file, `conf.d` by name, environment, flags. The compiled defaults are in the
/// sections.
pub(super) fn merge(sources: &Sources, found: &mut CheckReport) -> Value {
    let mut layers = Vec::new();
    for (name, text) in texts(sources, found) {
        layers.push(file(&name, &text, found));
    }
    layers.push(environment(&sources.env, found));
    layers.push(flags(&sources.flags, found));
    let merged = layers.into_iter().fold(Config::builder(), |builder, layer| builder.add_source(layer)).build();
    merged.expect("the layers are in memory and their values are constants").cache
}

/// Returns the texts to read, with their names in problems.
fn texts(sources: &Sources, found: &mut CheckReport) -> Vec<(String, String)> {
    if let Some((text, _)) = &sources.text {
        return vec![("configuration".into(), text.clone())];
    }
    let Some(main) = &sources.file else { return Vec::new() };
    let mut texts = Vec::new();
    for (place, path) in files(main, sources.folder(), found).into_iter().enumerate() {
        let name = if place == 0 { name_of(&path) } else { format!("conf.d/{}", name_of(&path)) };
        match std::fs::read_to_string(&path) {
            Ok(text) => texts.push((name, text)),
            Err(why) => unreadable(&path, &why, found),
        }
    }
    texts
}

/// Returns the files to read: the main one, then those of `conf.d` by name.
pub(super) fn files(main: &Path, folder: &Path, found: &mut CheckReport) -> Vec<PathBuf> {
    let mut files = vec![main.to_owned()];
    files.extend(snippets(&folder.join("conf.d"), found));
    files
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

fn unreadable(path: &Path, why: &std::io::Error, found: &mut CheckReport) {
    let place = Some(ProblemPlace::File { name: path.display().to_string(), line: 0 });
    found.report(SettingsProblem {
        key: String::new(),
        place,
        fault: ProblemKind::Unreadable(format!("cannot be read: {why}")),
    });
}

/// Returns the `*.toml` files of a folder by name; none if the folder does not exist.
fn snippets(folder: &Path, found: &mut CheckReport) -> Vec<PathBuf> {
    let entries = match std::fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>) {
        Ok(entries) => entries,
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
        Err(why) => {
            unreadable(folder, &why, found);
            return Vec::new();
        }
    };
    let paths = entries.into_iter().map(|entry| entry.path());
    let mut paths: Vec<PathBuf> = paths.filter(|path| path.extension().is_some_and(|ext| ext == "toml")).collect();
    paths.sort();
    paths
}

/// Reads a file as a layer.
fn file(name: &str, text: &str, found: &mut CheckReport) -> SettingsLayer {
    let (table, errors) = DeTable::parse_recoverable(text);
    let file = FileText::new(name, text);
    for why in &errors {
        let place = Some(file.place(why.span().map_or(0, |span| span.start)));
        found.report(SettingsProblem { key: String::new(), place, fault: ProblemKind::File(one_line(why.message())) });
    }
    // The remaining values of a broken file are not used, because checks without its missing part would give wrong
    // results.
    if errors.is_empty() {
        SettingsLayer(file.table(&mut Vec::new(), table.get_ref(), found))
    } else {
        SettingsLayer::default()
    }
}

struct FileText<'a> {
    name: &'a str,
    /// Place of the end of each line. To count lines from the start of the file for each key would make the start of a gateway with
    /// many peers take as long as their number squared.
    line_ends: Vec<usize>,
}

impl<'a> FileText<'a> {
    fn new(name: &'a str, text: &str) -> Self {
        let line_ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect();
        Self { name, line_ends }
    }

    fn place(&self, at: usize) -> ProblemPlace {
        let line = self.line_ends.partition_point(|&end| end < at) + 1;
        ProblemPlace::File { name: self.name.to_owned(), line }
    }

    /// Returns the valid values of a table.
    fn table(&self, path: &mut Key, table: &DeTable<'_>, found: &mut CheckReport) -> Map<String, Value> {
        let mut values = Map::new();
        let names_servers = matches!(schema::names(path), Some(KnownNames::Any));
        for (key, value) in table {
            let place = self.place(key.span().start);
            // Server names are compared in lower case: otherwise one of two spellings would silently hide the other.
            let name = if names_servers { key.get_ref().to_ascii_lowercase() } else { key.get_ref().to_string() };
            let refused = schema::key_fault(path, &name);
            path.push(name.clone());
            if let Some(fault) = refused {
                refuse(path, place, fault, found);
            } else if values.contains_key(&name) {
                refuse(path, place, ProblemKind::Invalid("this file has the same key twice".into()), found);
            } else if let Some(value) = self.value(path, value, place, found) {
                values.insert(name, value);
            }
            path.pop();
        }
        values
    }

    fn value(
        &self,
        path: &mut Key,
        value: &Spanned<DeValue<'_>>,
        place: ProblemPlace,
        found: &mut CheckReport,
    ) -> Option<Value> {
        match (schema::names(path), value.get_ref()) {
            (Some(_), DeValue::Table(table)) => {
                found.places.insert(path.clone(), place);
                Some(self.table(path, table, found).into())
            }
            (Some(_), _) => {
                refuse(path, place, ProblemKind::Invalid("this is a table, not a value".into()), found);
                None
            }
            (None, _) => {
                let value = toml::Value::deserialize(ValueDeserializer::from(value.clone())).ok()?;
                constant(path, vec![value], place, found)
            }
        }
    }
}

/// Reads the environment variables as a layer.
fn environment(variables: &[(String, String)], found: &mut CheckReport) -> SettingsLayer {
    let mut layer = SettingsLayer::default();
    for (name, text) in variables {
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        let path: Key = rest.split("__").map(str::to_ascii_lowercase).collect();
        let place = ProblemPlace::Variable(name.clone());
        if let ["peers", "pattern" | "server", ..] = path.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            let why = "a variable cannot hold the name of a server; write it in a file";
            refuse(&path, place, ProblemKind::Invalid(why.into()), found);
        } else {
            layer.put(&path, text, place, found);
        }
    }
    layer
}

/// Reads the overrides of the command line as a layer.
fn flags(overrides: &[(String, String)], found: &mut CheckReport) -> SettingsLayer {
    let mut layer = SettingsLayer::default();
    for (key, text) in overrides {
        match dotted(key) {
            Some(path) => layer.put(&path, text, ProblemPlace::Flag, found),
            None => found.report(SettingsProblem {
                key: key.clone(),
                place: Some(ProblemPlace::Flag),
                fault: ProblemKind::Invalid(
                    "a key is written as in TOML, such as peers.server.\"blue.example\".paused".into(),
                ),
            }),
        }
    }
    layer
}

/// Returns the segments of a key written as in TOML.
fn dotted(key: &str) -> Option<Key> {
    let line = format!("{key} = 0");
    let parsed = DeTable::parse(&line).ok()?;
    let mut path = Key::new();
    let mut table = parsed.get_ref();
    loop {
        let (segment, value) = table.iter().next().filter(|_| table.len() == 1)?;
        let names_a_server = matches!(schema::names(&path), Some(KnownNames::Any));
        path.push(if names_a_server { segment.get_ref().to_ascii_lowercase() } else { segment.get_ref().to_string() });
        match value.get_ref() {
            DeValue::Table(inner) => table = inner,
            _ => return Some(path),
        }
    }
}

impl SettingsLayer {
    /// Adds a value given as text: it is read as a text if the key takes one, else as TOML, else as a list with commas.
    fn put(&mut self, path: &Key, text: &str, place: ProblemPlace, found: &mut CheckReport) {
        for depth in 0..path.len() {
            if let Some(fault) = schema::key_fault(&path[..depth], &path[depth]) {
                // A key that is too deep is unknown like a misspelt one, and is reported in full.
                let key = if schema::names(&path[..depth]).is_some() { &path[..=depth] } else { path.as_slice() };
                return refuse(key, place, fault, found);
            }
        }
        if schema::names(path).is_some() {
            return refuse(path, place, ProblemKind::Invalid("this is a table, not a value".into()), found);
        }
        let toml = ValueDeserializer::parse(text).ok().and_then(|toml| toml::Value::deserialize(toml).ok());
        let mut readings = match toml {
            // A token is used as it is written, because quotes may be part of it.
            _ if path.last().is_some_and(|key| key == "token") => vec![toml::Value::String(text.to_owned())],
            // A quoted value is the text between the quotes.
            Some(quoted @ toml::Value::String(_)) => vec![quoted],
            toml => std::iter::once(toml::Value::String(text.to_owned())).chain(toml).collect(),
        };
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        readings.push(toml::Value::Array(items.map(|item| toml::Value::String(item.to_owned())).collect()));
        let Some(value) = constant(path, readings, place, found) else { return };
        let (last, tables) = path.split_last().expect("a key has a segment");
        let mut at = &mut self.0;
        for table in tables {
            let inner = at.entry(table.clone()).or_insert_with(|| Map::<String, Value>::new().into());
            let ValueKind::Table(inner) = &mut inner.kind else { return };
            at = inner;
        }
        at.insert(last.clone(), value);
    }
}

/// Returns the first reading that fits the key. If none fits, it reports the error of the second reading (the TOML
/// one), which is the most helpful, or of the only one.
fn constant(path: &Key, readings: Vec<toml::Value>, place: ProblemPlace, found: &mut CheckReport) -> Option<Value> {
    let mut complaints: Vec<Vec<(String, String)>> = Vec::new();
    for reading in readings {
        match fits(path, &reading) {
            Ok(()) => {
                found.places.insert(path.clone(), place);
                return Some(merged_form(reading));
            }
            Err(complaint) => complaints.push(complaint),
        }
    }
    let says_most = if complaints.len() > 2 { 1 } else { 0 };
    found.suppress_key(path);
    for (key, why) in complaints.into_iter().nth(says_most)? {
        found.report(SettingsProblem { key, place: Some(place.clone()), fault: ProblemKind::Invalid(why) });
    }
    None
}

/// Checks that the value fits the key; otherwise returns full keys with errors, for a list one for each invalid item.
fn fits(path: &Key, value: &toml::Value) -> Result<(), Vec<(String, String)>> {
    let whole = fits_alone(path, value);
    let (Err(first), toml::Value::Array(items)) = (&whole, value) else { return whole.map_err(|first| vec![first]) };
    let alone = |item: &toml::Value| fits_alone(path, &toml::Value::Array(vec![item.clone()]));
    let bad = (0..).zip(items).filter_map(|(place, item): (usize, _)| Some((place, alone(item).err()?.1)));
    let bad: Vec<_> = bad.map(|(place, why)| (format!("{}[{place}]", written(path)), why)).collect();
    // A key that takes no list has no items.
    let has_items = first.0.ends_with(']') && !bad.is_empty();
    Err(if has_items { bad } else { vec![first.clone()] })
}

fn fits_alone(path: &Key, value: &toml::Value) -> Result<(), (String, String)> {
    let mut alone = value.clone();
    for segment in path.iter().rev() {
        alone = toml::Value::Table([(segment.clone(), alone)].into_iter().collect());
    }
    match serde_path_to_error::deserialize::<_, RawSettings>(alone.into_deserializer()) {
        Ok(_) => Ok(()),
        Err(why) => {
            let mut key = written(path);
            for segment in why.path().iter().skip(path.len()) {
                if let serde_path_to_error::Segment::Seq { index } = segment {
                    key.push_str(&format!("[{index}]"));
                }
            }
            Err((key, in_words(why.inner().message(), SourceFormat::Toml)))
        }
    }
}

fn merged_form(value: toml::Value) -> Value {
    let kind = match value {
        toml::Value::String(text) => ValueKind::String(text),
        toml::Value::Integer(number) => ValueKind::I64(number),
        toml::Value::Float(number) => ValueKind::Float(number),
        toml::Value::Boolean(yes) => ValueKind::Boolean(yes),
        toml::Value::Datetime(time) => ValueKind::String(time.to_string()),
        toml::Value::Array(items) => ValueKind::Array(items.into_iter().map(merged_form).collect()),
        toml::Value::Table(table) => ValueKind::Table(table.into_iter().map(|(k, v)| (k, merged_form(v))).collect()),
    };
    Value::new(None, kind)
}

fn one_line(message: &str) -> String {
    message.lines().map(str::trim).collect::<Vec<_>>().join(", ")
}

/// Reports a key whose value is not used, and suppresses problems that follow from it.
fn refuse(path: &[String], place: ProblemPlace, fault: ProblemKind, found: &mut CheckReport) {
    found.suppress_key(path);
    if let (ProblemKind::Unknown(known), Some((_, table))) = (&fault, path.split_last())
        && let [meant] = known.as_slice()
    {
        found.suppress_key(&[table, std::slice::from_ref(meant)].concat());
    }
    found.report(SettingsProblem { key: written(path), place: Some(place), fault });
}
