//! The file of the log of deliveries. It is opened again when a reload asks for it, so that a moved file is no longer written.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Mode of a new file: ids and names say who writes to whom.
const MODE: u32 = 0o600;

/// The file, which only the log's thread writes.
#[derive(Debug)]
pub(super) struct RecordFile {
    path: PathBuf,
    file: File,
    /// Set by a reload.
    is_moved: Arc<AtomicBool>,
    /// True if the last line was written to its end: only then another file may follow.
    is_line_whole: bool,
}

impl RecordFile {
    /// Opens the file to append to it.
    pub(super) fn open(path: &Path, is_moved: Arc<AtomicBool>) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), file: append_to(path)?, is_moved, is_line_whole: true })
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(MODE).open(path)
}

impl Write for RecordFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_line_whole && self.is_moved.swap(false, Ordering::Relaxed) {
            match append_to(&self.path) {
                Ok(file) => self.file = file,
                // Lines in the file before are better than none.
                Err(error) => {
                    let path = self.path.display().to_string();
                    tracing::error!(path, %error, "the log of deliveries cannot be opened again; the file before is written on");
                }
            }
        }
        let written = self.file.write(bytes)?;
        self.is_line_whole = bytes[..written].ends_with(b"\n");
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn moved_file_is_opened_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, old) = (folder.path().join("deliveries.log"), folder.path().join("deliveries.log.1"));
        let is_moved = Arc::new(AtomicBool::new(false));
        let mut file = RecordFile::open(&path, is_moved.clone()).expect("a file");
        assert_eq!(std::fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o600);
        file.write_all(b"a\nb").expect("written");
        std::fs::rename(&path, &old).expect("moved");
        is_moved.store(true, Ordering::Relaxed);
        file.write_all(b"c\n").expect("the line is ended where it began");
        file.write_all(b"d\n").expect("written");
        let read = |path: &Path| std::fs::read_to_string(path).expect("a file");
        assert_eq!((read(&old).as_str(), read(&path).as_str()), ("a\nbc\n", "d\n"));
        drop(file);
        let mut again = RecordFile::open(&path, is_moved).expect("a file");
        again.write_all(b"e\n").expect("written");
        assert_eq!(read(&path), "d\ne\n", "it is appended to");
    }
}
