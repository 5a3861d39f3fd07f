//! The last lines of a log file.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// Maximum bytes that are read, from the end.
const BYTES_MAX: u64 = 256 << 10;

/// Maximum lines.
const LINES_MAX: usize = 500;

/// Returns the last lines of a file.
pub(super) fn last_lines(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let from = length.saturating_sub(BYTES_MAX);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(BYTES_MAX).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    // The first line may be cut.
    let whole: Vec<&str> = text.lines().skip(usize::from(from > 0)).collect();
    Ok(whole[whole.len().saturating_sub(LINES_MAX)..].join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_last_whole_lines_are_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        std::fs::write(&path, "one\ntwo\n").expect("written");
        assert_eq!(last_lines(&path).expect("readable"), "one\ntwo\n");
        let long = format!("{}\nlast\n", "x".repeat(300 << 10));
        std::fs::write(&path, long).expect("written");
        assert_eq!(last_lines(&path).expect("readable"), "last\n");
    }
}
