//! The course of one run: the last events for people, and a hash over all of them for telling two courses apart.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hasher};
use std::sync::{Arc, Mutex};

use tokio::time::Instant;

/// Events kept for people.
const KEPT: usize = 4000;

/// The trace of a run so far. Clones share it.
#[derive(Clone)]
pub(crate) struct Trace(Arc<Mutex<Inner>>);

struct Inner {
    since: Instant,
    lines: VecDeque<String>,
    hasher: DefaultHasher,
    speaks: bool,
}

impl Trace {
    /// An empty trace, from now on. One that speaks prints every line at once.
    pub(crate) fn new(speaks: bool) -> Self {
        let (lines, hasher) = (VecDeque::new(), DefaultHasher::new());
        Self(Arc::new(Mutex::new(Inner { since: Instant::now(), lines, hasher, speaks })))
    }

    /// Something happened.
    pub(crate) fn note(&self, what: &str) {
        let mut inner = self.0.lock().expect("no holder panics");
        let line = format!("{:>9.3} {what}", inner.since.elapsed().as_secs_f64());
        inner.hasher.write(line.as_bytes());
        if inner.speaks {
            println!("{line}");
        }
        if inner.lines.len() == KEPT {
            inner.lines.pop_front();
        }
        inner.lines.push_back(line);
    }

    /// The hash over everything noted.
    pub(crate) fn hash(&self) -> u64 {
        self.0.lock().expect("no holder panics").hasher.finish()
    }

    /// The last lines.
    pub(crate) fn tail(&self, count: usize) -> String {
        let inner = self.0.lock().expect("no holder panics");
        let skipped = inner.lines.len().saturating_sub(count);
        inner.lines.iter().skip(skipped).map(|line| format!("    {line}\n")).collect()
    }
}
