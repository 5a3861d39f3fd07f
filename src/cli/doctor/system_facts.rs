//! Facts of the machine: kernel, limits, memory and disk. What the system does not state is left out.

use std::fmt::Write;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Files of the system, and the number of their lines that are of interest.
const FILES: [(&str, usize); 6] = [
    ("/proc/version", 1),
    ("/etc/os-release", 4),
    ("/proc/loadavg", 1),
    ("/proc/meminfo", 5),
    ("/proc/pressure/io", 2),
    ("/proc/self/limits", 20),
];

/// Maximum files of a folder that are listed.
const LISTED_MAX: usize = 200;

/// Returns the facts of the machine, and of the disk of a folder.
pub(super) fn system(data_dir: Option<&Path>) -> String {
    let mut text = String::new();
    for (file, lines) in FILES {
        if let Ok(content) = fs::read_to_string(file) {
            let shown: Vec<&str> = content.lines().take(lines).collect();
            // Writing to a string cannot fail.
            let _ = writeln!(text, "# {file}\n{}\n", shown.join("\n"));
        }
    }
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let _ = writeln!(text, "# cores\n{cores}\n");
    if let Some(state) = data_dir.and_then(|folder| rustix::fs::statvfs(folder).ok()) {
        let bytes = |blocks: u64| blocks.saturating_mul(state.f_frsize);
        let (size, free) = (bytes(state.f_blocks), bytes(state.f_bavail));
        let _ = writeln!(text, "# disk of server.data_dir\nbytes {size}\nfree {free}\nfree files {}\n", state.f_favail);
    }
    text
}

/// Returns names, sizes and modes of the files in the data folder.
pub(super) fn files(data_dir: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let mut folders = vec![data_dir.to_owned()];
    let mut listed = 0;
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir()? {
            let path = entry?.path();
            let about = path.symlink_metadata()?;
            let shown = path.strip_prefix(data_dir).unwrap_or(&path).display();
            let _ = writeln!(text, "{:o} {:>12} {shown}", about.permissions().mode() & 0o7777, about.len());
            if about.is_dir() {
                folders.push(path);
            }
            listed += 1;
            if listed >= LISTED_MAX {
                let _ = writeln!(text, "and more");
                return Ok(text);
            }
        }
    }
    Ok(text)
}
