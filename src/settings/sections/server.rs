//! `[server]`: identity and process.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use actors::model::ServerName;
use serde::Deserialize;

use crate::settings::check::SettingsCheck;
use crate::settings::values::units::DurationValue;

/// The identity of this server, and its process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSettings {
    /// Name of this server.
    pub name: ServerName,
    /// Folder of all data.
    pub data_dir: PathBuf,
    /// Number of HTTP workers of each listener.
    pub workers: usize,
    /// Maximum time that a stop waits for work in flight.
    pub drain: Duration,
    /// True if secrets that other users of the machine can read are used, with a warning at each start.
    pub allow_open_secrets: bool,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ServerSection {
    /// Name of this server, as peers know it; it must be set.
    pub(crate) name: String,
    /// Folder of all data of this gateway.
    data_dir: PathBuf,
    /// Number of HTTP workers (threads) of each listener.
    workers: u32,
    /// Maximum time that a stop waits for work in flight.
    drain: DurationValue,
    /// If true, files of secrets that others can read are used, with a warning at each start.
    pub(crate) allow_open_secrets: bool,
}

impl Default for ServerSection {
    fn default() -> Self {
        Self {
            name: String::new(),
            data_dir: "data".into(),
            workers: 1,
            drain: DurationValue::secs(10),
            allow_open_secrets: false,
        }
    }
}

impl ServerSection {
    pub(crate) fn check(self, check: &mut SettingsCheck<'_>) -> Option<ServerSettings> {
        check.at_least_one(&["server"], &[("workers", self.workers.into())]);
        let name = match self.name.parse::<ServerName>() {
            Ok(name) => name,
            Err(_) if self.name.is_empty() => {
                check.invalid(&["server", "name"], "it must be set to the name by which peers know this server");
                return None;
            }
            Err(why) => {
                check.invalid(&["server", "name"], format!("\"{}\": {why}", self.name));
                return None;
            }
        };
        let data_dir = check.path(&self.data_dir);
        if check.to_run
            && let Err(why) = usable(&data_dir)
        {
            check.invalid(&["server", "data_dir"], why);
        }
        Some(ServerSettings {
            name,
            data_dir,
            workers: self.workers as usize,
            drain: self.drain.0,
            allow_open_secrets: self.allow_open_secrets,
        })
    }
}

/// Checks that a folder can be written, or created if it is missing. The check leaves no files.
fn usable(folder: &Path) -> Result<(), String> {
    let shown = folder.display();
    let there = folder.ancestors().map(|at| if at.as_os_str().is_empty() { Path::new(".") } else { at });
    let Some((nearest, state)) = there.filter_map(|at| Some((at, std::fs::metadata(at).ok()?))).next() else {
        return Err(format!("{shown} does not exist, and none of its parent folders does"));
    };
    let is_missing = nearest != folder;
    match (state.is_dir(), is_missing) {
        (false, false) => return Err(format!("{shown} is a file; it must be a folder")),
        (false, true) => return Err(format!("{shown} cannot be created: {} is a file", nearest.display())),
        (true, _) => {}
    }
    let Err(why) = tempfile::tempfile_in(nearest) else { return Ok(()) };
    let why = match why.kind() {
        ErrorKind::PermissionDenied => "this user may not write there".to_owned(),
        ErrorKind::ReadOnlyFilesystem => "it is read-only".to_owned(),
        _ => why.to_string(),
    };
    Err(match is_missing {
        false => format!("{shown} cannot be written: {why}"),
        true => format!("{shown} cannot be created in {}: {why}", nearest.display()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unusable_data_folder_is_explained() {
        let place = tempfile::tempdir().expect("a folder");
        let file = place.path().join("file");
        std::fs::write(&file, "x").expect("a writable folder");
        assert_eq!(usable(place.path()), Ok(()));
        assert_eq!(usable(&place.path().join("a").join("b")), Ok(()));
        assert!(!place.path().join("a").exists(), "nothing is made");
        assert!(usable(&file).is_err_and(|why| why.ends_with("is a file; it must be a folder")));
        assert!(usable(&file.join("data")).is_err_and(|why| why.contains("cannot be created: ")));
        // No user can write in /proc/self.
        assert!(usable(Path::new("/proc/self")).is_err_and(|why| why.starts_with("/proc/self cannot be written: ")));
        assert!(
            usable(Path::new("/proc/self/data")).is_err_and(|why| why.contains("cannot be created in /proc/self: "))
        );
        assert_eq!(std::fs::read_dir(place.path()).expect("a folder").count(), 1, "nothing stays");
    }
}
