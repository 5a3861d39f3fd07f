//! The lines of an export.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Version of the format of the lines.
pub(super) const FORMAT: u32 = 1;

/// Maximum bytes of a line: more than any row has.
pub(super) const LINE_MAX: u64 = 256 << 20;

/// The beginning of the last line.
pub(super) const END: &[u8] = b"{\"end\":";

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExportHeader {
    /// Version of the format.
    pub(super) fernpost_export: u32,
    /// Version of the schema of tables and rows.
    pub(super) schema: u32,
    /// Name of the server that owns the store.
    pub(super) server: String,
    /// Time of the export in milliseconds since 1970; of a backup the time at which it was taken.
    pub(super) taken: u64,
}

/// A row.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExportedRow<'a> {
    #[serde(borrow)]
    pub(super) table: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) key: ExportedBytes<'a>,
    #[serde(borrow)]
    pub(super) value: ExportedBytes<'a>,
}

/// The bytes of a key or of a value: as a text if they are one, otherwise in base64.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub(super) enum ExportedBytes<'a> {
    Text(#[serde(borrow)] Cow<'a, str>),
    Binary { base64: String },
}

impl<'a> ExportedBytes<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) if !text.chars().any(char::is_control) => Self::Text(text.into()),
            _ => Self::Binary { base64: STANDARD.encode(bytes) },
        }
    }

    pub(super) fn into_bytes(self) -> Result<Vec<u8>, String> {
        match self {
            Self::Text(text) => Ok(text.into_owned().into_bytes()),
            Self::Binary { base64 } => STANDARD.decode(base64).map_err(|error| error.to_string()),
        }
    }
}

/// The last line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExportEnd {
    pub(super) end: ExportTotals,
}

/// The content of an export before its last line.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExportTotals {
    /// Number of rows by table; tables without rows are absent.
    pub(super) tables: BTreeMap<String, u64>,
    /// Digest of all lines before, with their ends, in hexadecimal digits.
    pub(super) sha256: String,
}

/// Counts rows and digests lines.
#[derive(Debug, Default)]
pub(super) struct LineTotals {
    tables: BTreeMap<String, u64>,
    digest: Sha256,
    pub(super) bytes: u64,
}

impl LineTotals {
    /// Adds a line with its end.
    pub(super) fn line(&mut self, line: &[u8]) {
        self.digest.update(line);
        self.bytes += line.len() as u64;
    }

    /// Counts a row.
    pub(super) fn row(&mut self, table: &str) {
        match self.tables.get_mut(table) {
            Some(count) => *count += 1,
            None => drop(self.tables.insert(table.to_owned(), 1)),
        }
    }

    /// Returns the totals of all lines so far.
    pub(super) fn finish(self) -> ExportTotals {
        let sha256 = self.digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        ExportTotals { tables: self.tables, sha256 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_survive_as_text_or_base64() {
        for bytes in [&b"schema"[..], "gr\u{fc}n \"x\"".as_bytes(), b"", b"\0\x01", b"\xff", b"a\nb"] {
            let row =
                ExportedRow { table: "meta".into(), key: ExportedBytes::of(bytes), value: ExportedBytes::of(b"5") };
            let line = serde_json::to_string(&row).expect("plain");
            let read: ExportedRow<'_> = serde_json::from_str(&line).expect("a row");
            assert_eq!(read.key.into_bytes().expect("bytes"), bytes, "{line}");
            assert!(!line.contains('\n') && !line.contains('\0'), "{line}");
        }
    }
}
