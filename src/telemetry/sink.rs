//! The sink of log lines. Its own thread writes them, so that a slow or failing output blocks no other thread.
//!
//! Lines that cannot be written, or that find the queue full, are lost and counted. `/metrics` has the count, and the log
//! has it too once it can be written again.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

use tracing_subscriber::fmt::MakeWriter;

/// The thread of a sink, its bound, and the words for its lost lines.
#[derive(Clone, Copy)]
pub(super) struct SinkKind {
    /// Name of the thread.
    pub(super) thread: &'static str,
    /// Maximum bytes of queued lines.
    pub(super) bytes_max: usize,
    /// Logs that this many lines were lost since it was told last.
    pub(super) tell_lost: fn(u64),
}

/// The sink of the process's log.
pub(super) const PROCESS_LOG: SinkKind = SinkKind {
    thread: "log",
    bytes_max: 1 << 20,
    tell_lost: |lines| tracing::warn!(lines, "lines of the log are lost, because it could not be written"),
};

/// The queue of lines and its thread. Clones share one.
#[derive(Clone)]
pub(super) struct LogSink(Arc<SinkShared>);

struct SinkShared {
    kind: SinkKind,
    waiting: Mutex<QueuedLines>,
    /// Notified when lines were added, and when all lines are written.
    changed: Condvar,
    lost: AtomicU64,
}

#[derive(Default)]
struct QueuedLines {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// True while the thread writes a line.
    writing: bool,
}

impl LogSink {
    /// Starts a sink that writes to `out`. It fails if the system cannot start a thread.
    pub(super) fn start(kind: SinkKind, out: impl Write + Send + 'static) -> io::Result<Self> {
        let shared = SinkShared { kind, waiting: Mutex::default(), changed: Condvar::new(), lost: AtomicU64::new(0) };
        let sink = Self(Arc::new(shared));
        let writes = sink.clone();
        thread::Builder::new().name(kind.thread.to_owned()).spawn(move || writes.write(out))?;
        Ok(sink)
    }

    fn waiting(&self) -> MutexGuard<'_, QueuedLines> {
        self.0.waiting.lock()
    }

    /// Adds a line to the queue. If the queue is full, the line is lost and counted.
    pub(super) fn push(&self, line: &[u8]) {
        let mut waiting = self.waiting();
        if waiting.bytes + line.len() > self.0.kind.bytes_max {
            self.0.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        waiting.bytes += line.len();
        waiting.lines.push_back(line.to_vec());
        drop(waiting);
        self.0.changed.notify_all();
    }

    /// Returns the number of lost lines.
    pub(super) fn lost(&self) -> u64 {
        self.0.lost.load(Ordering::Relaxed)
    }

    /// Waits until all lines are written or lost, for at most `patience`.
    pub(super) fn flush(&self, patience: Duration) {
        let busy = |waiting: &mut QueuedLines| waiting.writing || !waiting.lines.is_empty();
        self.0.changed.wait_while_for(&mut self.waiting(), busy, patience);
    }

    fn next(&self) -> Vec<u8> {
        let mut waiting = self.waiting();
        waiting.writing = false;
        loop {
            if let Some(line) = waiting.lines.pop_front() {
                waiting.bytes -= line.len();
                waiting.writing = true;
                return line;
            }
            self.0.changed.notify_all();
            self.0.changed.wait(&mut waiting);
        }
    }

    fn write(&self, mut out: impl Write) {
        let (mut torn, mut told) = (false, 0);
        loop {
            let line = self.next();
            match whole(&mut out, &line, torn) {
                Ok(()) => {
                    torn = false;
                    let lost = self.lost();
                    if lost > told && self.waiting().lines.is_empty() {
                        (self.0.kind.tell_lost)(lost - told);
                        told = lost;
                    }
                }
                Err(begun) => {
                    torn |= begun;
                    self.0.lost.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }
}

/// Writes a line, after the end of a line that was written in part. The error tells whether this line was written in part.
fn whole(out: &mut impl Write, line: &[u8], torn: bool) -> Result<(), bool> {
    let line = if torn { [b"\n", line].concat() } else { line.to_vec() };
    let mut rest = &line[..];
    while !rest.is_empty() {
        match out.write(rest) {
            Ok(0) => return Err(rest.len() < line.len()),
            Ok(written) => rest = &rest[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Err(rest.len() < line.len()),
        }
    }
    Ok(())
}

/// A writer for one event, which the subscriber writes in one call.
pub(super) struct LogLine<'a>(&'a LogSink);

impl Write for LogLine<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogSink {
    type Writer = LogLine<'a>;

    fn make_writer(&'a self) -> LogLine<'a> {
        LogLine(self)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    /// An output that accepts a limited number of bytes and then fails.
    #[derive(Clone, Default)]
    struct Out(Arc<Mutex<Told>>);

    #[derive(Default)]
    struct Told {
        text: Vec<u8>,
        /// Number of bytes that are still accepted.
        room: Option<usize>,
    }

    impl Out {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().text.clone()).expect("text")
        }

        fn room(&self, room: Option<usize>) {
            self.0.lock().room = room;
        }
    }

    impl Write for Out {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut told = self.0.lock();
            let count = told.room.map_or(bytes.len(), |room| room.min(bytes.len()));
            if count == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            told.room = told.room.map(|room| room - count);
            told.text.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn full_disk_loses_and_counts_lines() {
        let out = Out::default();
        let sink = LogSink::start(PROCESS_LOG, out.clone()).expect("a thread");
        sink.push(b"one\n");
        sink.flush(LONG);
        out.room(Some(2));
        sink.push(b"two\n");
        sink.push(b"three\n");
        sink.flush(LONG);
        assert_eq!((out.text().as_str(), sink.lost()), ("one\ntw", 2));
        out.room(None);
        sink.push(b"four\n");
        sink.flush(LONG);
        assert_eq!((out.text().as_str(), sink.lost()), ("one\ntw\nfour\n", 2));
    }

    #[test]
    fn lines_nobody_reads_hold_up_nobody() {
        /// An output whose writes wait for the reader, as with a full pipe.
        struct Pipe(mpsc::Receiver<()>);
        impl Write for Pipe {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                // `recv` fails once the reader is dropped; from then on every write succeeds.
                let _ = self.0.recv();
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (reads, pipe) = mpsc::channel();
        let sink = LogSink::start(PROCESS_LOG, Pipe(pipe)).expect("a thread");
        let line = vec![b'x'; PROCESS_LOG.bytes_max / 4];
        for _ in 0..9 {
            sink.push(&line);
        }
        // The thread may have taken one line out of the queue already.
        assert!((4..=5).contains(&sink.lost()), "{}", sink.lost());
        sink.flush(Duration::ZERO);
        drop(reads);
        sink.flush(LONG);
        sink.push(b"read again\n");
        sink.flush(LONG);
        assert!((4..=5).contains(&sink.lost()), "{}", sink.lost());
    }
}
