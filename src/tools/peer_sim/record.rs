//! Records the received requests in a file, as lines of JSON.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::Context;
use serde_json::{Value, json};

use crate::terminal::output::remark;

/// The record of one request.
pub(super) struct RecordLine<'a> {
    pub(super) peer: &'a str,
    pub(super) from: &'a str,
    /// `seq` of the push, or id of the transaction.
    pub(super) number: &'a str,
    pub(super) items: &'a [String],
    pub(super) answer: &'a str,
    pub(super) time: u64,
}

/// The file, if one was given.
pub(super) struct SimRecorder(Option<BufWriter<File>>);

impl SimRecorder {
    pub(super) fn open(path: Option<&Path>) -> anyhow::Result<Self> {
        let open = |path: &Path| File::create(path).with_context(|| format!("--record {}", path.display()));
        Ok(Self(path.map(open).transpose()?.map(BufWriter::new)))
    }

    /// Records a request. If the file cannot be written, recording ends and the peer continues.
    pub(super) fn note(&mut self, line: &RecordLine<'_>) {
        let Some(file) = &mut self.0 else { return };
        let RecordLine { peer, from, number, items, answer, time } = line;
        let text: Value =
            json!({"peer": peer, "from": from, "number": number, "items": items, "answer": answer, "time": time});
        if let Err(error) = writeln!(file, "{text}").and_then(|()| file.flush()) {
            remark!("the record ends here: {error}");
            self.0 = None;
        }
    }
}

/// Returns microseconds since 1970, which a sender on the same machine can compare with its own clock.
#[expect(clippy::disallowed_methods, reason = "a tool of its own, outside of any gateway and its clock")]
pub(super) fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}
