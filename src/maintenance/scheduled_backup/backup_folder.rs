//! The files of scheduled backups: `SERVER-20261130T215227Z.backup`, and under a longer name until they are verified.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use actors::model::Millis;

use crate::runtime::durable_file::sync_folder_of;

/// Ending of a verified backup.
const SUFFIX: &str = ".backup";

/// Further ending of one that is not verified yet.
const UNFINISHED: &str = ".unverified";

/// A verified backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupFile {
    /// Path of the file.
    pub path: PathBuf,
    /// Time of the state that it contains, in whole seconds.
    pub taken: Millis,
    /// Size of the file.
    pub bytes: u64,
}

/// The backups of one server in a folder, which may hold those of others, too.
#[derive(Debug, Clone)]
pub struct BackupFolder {
    folder: PathBuf,
    prefix: String,
}

impl BackupFolder {
    /// Returns the backups of this server in this folder.
    pub fn new(folder: &Path, server: &str) -> Self {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
        let name: String = server.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
        Self { folder: folder.to_owned(), prefix: format!("{name}-") }
    }

    /// Returns the verified backups, the oldest first.
    pub fn list(&self) -> io::Result<Vec<BackupFile>> {
        let mut files = Vec::new();
        for entry in self.folder.read_dir()? {
            let entry = entry?;
            let name = entry.file_name();
            if let Some(taken) = name.to_str().and_then(|name| self.time_of(name)) {
                files.push(BackupFile { path: entry.path(), taken, bytes: entry.metadata()?.len() });
            }
        }
        files.sort_by(|one, other| (one.taken, &one.path).cmp(&(other.taken, &other.path)));
        Ok(files)
    }

    /// Returns the time in the name of a backup of this server; `None`: it is another file.
    fn time_of(&self, name: &str) -> Option<Millis> {
        time(name.strip_prefix(&self.prefix)?.strip_suffix(SUFFIX)?)
    }

    /// Returns the path of a copy that is not verified yet.
    pub(super) fn draft(&self, at: Millis) -> PathBuf {
        self.folder.join(format!("{}{}{SUFFIX}{UNFINISHED}", self.prefix, stamp(at)))
    }

    /// Removes what an interrupted backup left. What cannot be removed makes the next one fail by its space at most.
    pub(super) fn remove_unfinished(&self) {
        let Ok(entries) = self.folder.read_dir() else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let finished = name.to_str().and_then(|name| name.strip_suffix(UNFINISHED));
            if finished.is_some_and(|name| self.time_of(name).is_some()) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }

    /// Gives a verified copy its final name. It replaces a backup of the same second, which is no newer.
    pub(super) fn finish(&self, draft: &Path, taken: Millis) -> io::Result<BackupFile> {
        let path = self.folder.join(format!("{}{}{SUFFIX}", self.prefix, stamp(taken)));
        std::fs::rename(draft, &path)?;
        sync_folder_of(&path)?;
        let bytes = path.metadata()?.len();
        Ok(BackupFile { path, taken: Millis(taken.0 / 1000 * 1000), bytes })
    }

    /// Removes the oldest backups beyond `keep`, but never `newest`, which may seem older after the clock was set back.
    pub(super) fn retain(&self, keep: usize, newest: &Path) -> io::Result<()> {
        let mut others = self.list()?;
        others.retain(|file| file.path != newest);
        let surplus = (others.len() + 1).saturating_sub(keep);
        for file in others.into_iter().take(surplus) {
            std::fs::remove_file(file.path)?;
        }
        Ok(())
    }
}

/// Returns a time as the names of files have it.
fn stamp(at: Millis) -> String {
    let whole = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_millis(at.0)).to_string();
    whole.replace(['-', ':'], "")
}

fn time(stamp: &str) -> Option<Millis> {
    let is_stamp = stamp.len() == 16 && stamp.is_ascii();
    let (date, clock) = is_stamp.then(|| stamp.split_at(9))?;
    let text = format!(
        "{}-{}-{}T{}:{}:{}",
        date.get(..4)?,
        date.get(4..6)?,
        date.get(6..8)?,
        clock.get(..2)?,
        clock.get(2..4)?,
        clock.get(4..)?
    );
    let time: SystemTime = humantime::parse_rfc3339(&text).ok()?;
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok().map(Millis).filter(|at| self::stamp(*at) == stamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_carry_their_time() {
        assert_eq!(stamp(Millis(1_796_075_547_000)), "20261130T215227Z");
        assert_eq!(time("20261130T215227Z"), Some(Millis(1_796_075_547_000)));
        for wrong in ["20261130T215227", "20261130x215227Z", "99999999T999999Z", "", "20261130T21522ÄZ"] {
            assert_eq!(time(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn backup_of_same_second_is_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let files = BackupFolder::new(folder.path(), "red.example");
        for text in ["one", "two"] {
            let draft = files.draft(Millis(5_000));
            std::fs::write(&draft, text).expect("written");
            let file = files.finish(&draft, Millis(5_300)).expect("finished");
            assert_eq!(std::fs::read_to_string(file.path).expect("there"), text);
        }
        assert_eq!(files.list().expect("a folder").len(), 1);
    }

    #[test]
    fn oldest_backups_of_server_go() {
        let folder = tempfile::tempdir().expect("a folder");
        let files = BackupFolder::new(folder.path(), "red.example:9999");
        let other = BackupFolder::new(folder.path(), "red.example");
        let put = |files: &BackupFolder, second: u64| {
            let draft = files.draft(Millis(second * 1000));
            std::fs::write(&draft, "x").expect("written");
            files.finish(&draft, Millis(second * 1000)).expect("finished")
        };
        put(&other, 1);
        std::fs::write(folder.path().join("red.example_9999-notes.backup"), "mine").expect("written");
        std::fs::write(files.draft(Millis(0)), "half").expect("written");
        for second in 1..=4 {
            let newest = put(&files, second);
            files.retain(2, &newest.path).expect("removed");
        }
        let kept = |files: &BackupFolder| -> Vec<u64> {
            files.list().expect("a folder").iter().map(|file| file.taken.0 / 1000).collect()
        };
        assert_eq!((kept(&files), kept(&other)), (vec![3, 4], vec![1]));
        let newest = put(&files, 2);
        files.retain(1, &newest.path).expect("removed");
        assert_eq!(kept(&files), [2], "the one that was just made stays");
        files.remove_unfinished();
        assert_eq!(folder.path().read_dir().expect("a folder").count(), 3);
    }
}
