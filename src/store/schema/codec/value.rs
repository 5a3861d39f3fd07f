//! Values of single columns: names, numbers, fixed words, and lists of references.

use std::collections::HashSet;

use actors::model::{ContextId, DeadLetterReason, ForwardRoute, PduRef, ServerName, SubmissionId};
use parking_lot::Mutex;
use redb::ReadableTable;

/// Error: a row that this program cannot have written.
#[derive(Debug, thiserror::Error)]
#[error("a row of {table} cannot be understood: {why}")]
pub(crate) struct BadRow {
    table: &'static str,
    why: String,
}

impl BadRow {
    pub(crate) fn new(table: &'static str, why: &impl ToString) -> Self {
        Self { table, why: why.to_string() }
    }

    /// Returns the error for the writer, which stops at a row that it cannot understand.
    pub(crate) fn into_corrupted(self) -> redb::Error {
        redb::Error::Corrupted(self.to_string())
    }
}

/// Reads a row of `meta` that is a number.
pub(crate) fn number(
    meta: &impl ReadableTable<&'static str, &'static str>,
    key: &'static str,
) -> Result<Option<u64>, redb::Error> {
    let Some(row) = meta.get(key)? else { return Ok(None) };
    let bad = |_| redb::Error::Corrupted(format!("the row {key} of meta is no number"));
    row.value().parse().map(Some).map_err(bad)
}

pub(crate) fn name(table: &'static str, text: &str) -> Result<ServerName, BadRow> {
    text.parse().map_err(|error| BadRow::new(table, &format!("{text:?}: {error}")))
}

pub(crate) fn submission_id(table: &'static str, text: &str) -> Result<SubmissionId, BadRow> {
    SubmissionId::queued(text).map_err(|error| BadRow::new(table, &format!("{text:?}: {error}")))
}

pub(crate) fn context_id(table: &'static str, text: &str) -> Result<ContextId, BadRow> {
    text.parse().map_err(|error| BadRow::new(table, &format!("{text:?}: {error}")))
}

/// Parses the context id of a row in a list. An unreadable one is logged and left out, so that one damaged row does not
/// keep the other contexts from starting. `store verify` reports such a row.
pub(crate) fn readable_context(table: &'static str, text: &str) -> Option<ContextId> {
    context_id(table, text).inspect_err(|error| tracing::error!(%error, "a damaged row is left out")).ok()
}

/// Parses the reason of a dead letter.
pub(crate) fn fate(word: &str) -> Result<DeadLetterReason, BadRow> {
    DeadLetterReason::from_word(word).ok_or_else(|| BadRow::new("dead_letters", &format!("kind {word}")))
}

/// Returns a fixed word of the model (`&'static str`) that was read from a row. Each word is leaked once: these are the
/// program's own few words, and the limit keeps a damaged file from leaking more.
pub(crate) fn interned(word: &str) -> &'static str {
    const WORDS_MAX: usize = 256;
    static WORDS: Mutex<Option<HashSet<&'static str>>> = Mutex::new(None);
    let mut words = WORDS.lock();
    let words = words.get_or_insert_default();
    match words.get(word) {
        Some(known) => known,
        None if words.len() >= WORDS_MAX => "unknown",
        None => {
            let word: &'static str = Box::leak(word.into());
            words.insert(word);
            word
        }
    }
}

/// Decodes the two ends of a forward from the columns of an outbox row with an item number; `None`: it is no forward.
pub(crate) fn forward_route(origin: &str, id: &str) -> Result<Option<ForwardRoute>, BadRow> {
    let route = || Ok(ForwardRoute { origin: name("outbox", origin)?, destination: name("outbox", id)? });
    (!origin.is_empty()).then(route).transpose()
}

/// Decodes a reference from its columns.
pub(crate) fn reference(table: &'static str, origin: &str, id: &str) -> Result<PduRef, BadRow> {
    let id = id.parse().map_err(|error| BadRow::new(table, &format!("{id:?}: {error}")))?;
    Ok(PduRef { origin: name(table, origin)?, id })
}

/// Encodes references one after the other, each text after its length in one byte: neither names nor ids exceed 255
/// bytes.
pub(crate) fn refs_to_row<'a>(references: impl IntoIterator<Item = &'a PduRef>) -> Vec<u8> {
    let mut row = Vec::new();
    for reference in references {
        for text in [reference.origin.as_str(), reference.id.as_str()] {
            row.push(u8::try_from(text.len()).expect("names and ids are at most 255 bytes"));
            row.extend_from_slice(text.as_bytes());
        }
    }
    row
}

pub(crate) fn refs_from_row(table: &'static str, mut row: &[u8]) -> Result<Vec<PduRef>, BadRow> {
    let mut references = Vec::new();
    while !row.is_empty() {
        let (Some(origin), Some(id)) = (text(&mut row), text(&mut row)) else {
            return Err(BadRow::new(table, &"a list of references that ends early"));
        };
        references.push(reference(table, origin, id)?);
    }
    Ok(references)
}

fn text<'a>(row: &mut &'a [u8]) -> Option<&'a str> {
    let (length, rest) = row.split_first()?;
    let (text, rest) = rest.split_at_checked(usize::from(*length))?;
    *row = rest;
    str::from_utf8(text).ok()
}
