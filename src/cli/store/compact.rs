//! `fernpost store compact`: gives unused space of the store's file back to the system.

use std::path::PathBuf;

use serde_json::json;

use crate::cli::failure::CommandFailure;
use crate::cli::store::offline::{data_dir, unreadable};
use crate::cli::{ConfigSource, print, print_json};
use crate::store::{self, CompactError, CompactReport, FILE};
use crate::terminal::exit_code::FINE;
use crate::terminal::format::size;
use crate::terminal::progress::during;

/// Compacts a file, and prints its size before and after.
pub(super) fn run(file: Option<PathBuf>, json: bool, source: ConfigSource) -> u8 {
    let file = match file.map_or_else(|| data_dir(source).map(|folder| folder.join(FILE)), Ok) {
        Ok(file) => file,
        Err(failure) => return failure.tell(json),
    };
    let shown = file.display();
    let CompactReport { before, after } = match during(&format!("compact {shown}"), || store::compact(&file)) {
        Ok(report) => report,
        Err(error) => return refused(&error).tell(json),
    };
    if json {
        return print_json(&json!({ "file": file, "before": before, "after": after }).to_string(), FINE);
    }
    print(&format!("{shown}: {} before, {} now\n", size(before), size(after)), FINE)
}

fn refused(error: &CompactError) -> CommandFailure {
    match error {
        CompactError::Open(error) => unreadable(error),
        CompactError::DiskLow { .. } => CommandFailure::Broken { code: "DISK_LOW", words: error.to_string() },
    }
}
