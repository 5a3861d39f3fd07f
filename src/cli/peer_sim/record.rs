//! What came, as lines of JSON in a file: for whoever looks at the run afterwards.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::Context;
use serde_json::{Value, json};

use crate::cli::output::remark;

/// One request as it was recorded.
pub(super) struct Line<'a> {
    pub(super) peer: &'a str,
    pub(super) from: &'a str,
    /// The push's `seq`, or the transaction's id.
    pub(super) number: &'a str,
    pub(super) items: &'a [String],
    pub(super) answer: &'a str,
    pub(super) time: u64,
}

/// The file, where there is one.
pub(super) struct Recorder(Option<BufWriter<File>>);

impl Recorder {
    pub(super) fn open(path: Option<&Path>) -> anyhow::Result<Self> {
        let open = |path: &Path| File::create(path).with_context(|| format!("--record {}", path.display()));
        Ok(Self(path.map(open).transpose()?.map(BufWriter::new)))
    }

    /// A file that takes no more ends the recording, not the peer.
    pub(super) fn note(&mut self, line: &Line<'_>) {
        let Some(file) = &mut self.0 else { return };
        let Line { peer, from, number, items, answer, time } = line;
        let text: Value =
            json!({"peer": peer, "from": from, "number": number, "items": items, "answer": answer, "time": time});
        if let Err(error) = writeln!(file, "{text}").and_then(|()| file.flush()) {
            remark!("the record ends here: {error}");
            self.0 = None;
        }
    }
}

/// Microseconds since 1970: what a sender on the same machine can compare its own clock with.
#[expect(clippy::disallowed_methods, reason = "a tool of its own, outside of any gateway and its clock")]
pub(super) fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}
